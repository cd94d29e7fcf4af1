"""Disks that are full or gone: a clear error or a warning, and everything is well again when there is room."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from invariants import ask, assert_invariants, digest
from services import needs
from staged_days import CONTRACT, claim, event, stage_day

from pipeline import database, load, marts, publish
from pipeline.errors import ExitCode, TransientError
from scheduler import app
from scheduler.child import pages_command

ROOT = Path(__file__).parent.parent


class Disk:
    """A small disk, mounted where only the processes that enter its namespace see it."""

    def __init__(self, folder: Path, size: str) -> None:
        self.folder = folder
        self._holder = subprocess.Popen(
            ["unshare", "-m", "--propagation", "private", "sh", "-c",
             'mount -t tmpfs -o "size=$1,mode=0755" tmpfs "$2" && echo ready && exec sleep 1000', "sh", size, folder],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert self._holder.stdout.readline() == b"ready\n"
        #: Whose namespace it is.
        self.pid = self._holder.pid

    @property
    def seen(self) -> Path:
        """The folder as it is in there."""
        return Path(f"/proc/{self.pid}/root{self.folder}")

    def fill(self, leave: int) -> Path:
        """Leave so many bytes free; the file that takes the rest."""
        file = self.seen / "filler"
        free = os.statvfs(self.seen)
        file.write_bytes(b"\0" * (free.f_bavail * free.f_frsize - leave))
        return file

    def close(self) -> None:
        """The disk goes away with the last process that sees it."""
        self._holder.kill()
        self._holder.communicate()


@pytest.fixture
def disk():
    """Mounts small disks."""
    needs(os.geteuid() == 0 and shutil.which("unshare"), "root and unshare")
    disks = []

    def mount(folder, size):
        folder.mkdir(parents=True, exist_ok=True)
        disks.append(Disk(folder, size))
        return disks[-1]

    yield mount
    for one in disks:
        one.close()


@pytest.fixture
def run(warm_python, variables, tmp_path):
    """Runs `daygate run`; exit code and everything it said."""

    def run(day, file):
        done = subprocess.run(
            [warm_python, "-m", "scheduler", "run", "--date", str(day), "--file", str(file)],
            cwd=tmp_path, env=variables, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def finish_pages(warm_python, variables):
    """Finishes the site as the service does."""

    def finish():
        command = [warm_python, *pages_command()[1:]]
        with subprocess.Popen(command, env=variables, stdin=subprocess.PIPE) as process:  # as long as it is open
            assert process.wait(timeout=300) == 0

    return finish


def test_fault_27_a_full_disk_under_a_run_is_a_failed_step(run, disk, plan, land, day, database_url, settings):
    """No space for staged parts: what, where and what to do; nothing visible, and the next run is well."""
    file = land(day)
    plan(day, mounts=disk(settings.runs_folder, "16k").pid)
    code, said = run(day, file)
    after = ask(database_url, "SELECT status, error LIKE '%No space left%' FROM pipeline_run_log")
    visible = ask(database_url, "SELECT count(*) FROM raw_events")
    alerts = ask(database_url, "SELECT kind FROM alert_outbox")
    again, _ = run(day, file)

    assert code == ExitCode.INCONCLUSIVE
    assert "No space left" in said
    assert "DAYGATE_HOME" in said
    assert (after, visible, alerts) == ([("failed", True)], [(0,)], [("step_failed",)])
    assert again == ExitCode.OK
    assert_invariants(database_url, settings.home)


def test_fault_28_a_full_disk_under_the_site_holds_up_no_day(
    run, disk, plan, land, day, database_url, settings, finish_pages
):
    """Published all the same, with a warning and no half page; later the pages are finished."""
    file = land(day)
    small = disk(settings.site_folder, "16k")
    plan(day, mounts=small.pid)
    code, said = run(day, file)
    half = [path.name for path in small.seen.rglob("*.html") if "</html>" not in path.read_text(encoding="utf-8")]
    finish_pages()

    assert code == ExitCode.OK
    assert "could not be published" in said
    assert half == []
    assert_invariants(database_url, settings.home)


def test_fault_61_a_site_that_is_gone_is_made_again(run, land, day, database_url, settings, finish_pages):
    """Somebody removed it, and put something else in its place: the day stands, and so does the site afterwards."""
    file = land(day)
    settings.home.mkdir(parents=True, exist_ok=True)
    settings.site_folder.write_text("in the way", encoding="utf-8")
    code, said = run(day, file)
    settings.site_folder.unlink()
    missing = app.unfinished_pages(settings, database_url)
    finish_pages()

    assert (code, len(missing)) == (ExitCode.OK, 1)
    assert "could not be" in said
    assert_invariants(database_url, settings.home)
    shutil.rmtree(settings.site_folder)
    finish_pages()
    assert_invariants(database_url, settings.home)


@contextmanager
def folder_for_all():
    """An empty folder that PostgreSQL's account reaches, too."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


_SERVER = "import sys, pathlib\nfrom pipeline import postgres\nprint(postgres.{}(pathlib.Path(sys.argv[1])))"


def in_there(small: Disk, what: str) -> str:
    """Start or stop a server whose home is on that disk."""
    return subprocess.run(
        ["nsenter", "-m", "-t", str(small.pid), sys.executable, "-c", _SERVER.format(what), small.folder / "home"],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip


@pytest.mark.long
def test_fault_29_a_full_disk_under_the_database_is_a_passing_trouble(disk, tmp_path, day):
    """The load is rolled back and tried again; with room it goes through, and nothing is left of the first try."""
    with folder_for_all() as folder:
        small = disk(folder, "400m")
        url = in_there(small, "ensure_running")
        try:
            database.upgrade(url)
            made = stage_day(tmp_path, [event(n, user=n % 100, session=n % 500, second=n) for n in range(20_000)])
            run = claim(url, tmp_path)
            filler = small.fill(leave=512 * 1024)
            with pytest.raises(TransientError, match="SQLSTATE 53100"):
                load.load(url, run, made.staged, made.report, CONTRACT)
            filler.unlink()
            receipt = load.load(url, run, made.staged, made.report, CONTRACT)
            built = marts.build(url, run, receipt)
            told = publish.publish(url, run, made.staged, made.report, receipt, built, ())
            found = digest(url)
        finally:
            in_there(small, "stop")

    assert (told.status, told.loaded) == ("published", 20_000)
    assert found["raw_events", str(day)][0] == 20_000
