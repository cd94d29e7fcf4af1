"""Processes that start warm: forked from one that has imported everything, which takes five seconds, already.

`warm_python` is a program that stands for the interpreter: `warm_python -m scheduler serve` is `python -m scheduler
serve` in a new session, with the caller's environment, folder, standard streams, exit code and signals. A program
that it starts by `sys.executable` starts warm as well.

What a process is to suffer is left for it in the folder `WARM_PLANS`, in a file named as the day it runs (or `service`
for one that runs none): once read the file is gone, so the next try is undisturbed. A line each: `failpoint=NAME`,
`kill=SECONDS`, `files=N` (most open files), `mounts=PID` (of a process whose mount namespace it enters).
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import gc
import importlib
import json
import os
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from pathlib import Path

import pytest

CLIENT = Path(__file__).parent / "warm_client.py"
#: What a service, a run or a command would import.
IMPORTED = (
    "gx.gate",
    "gx.site",
    "gx.slack",
    "scheduler.app",
    "scheduler.child",
    "scheduler.cli",
    "scheduler.commands",
    "scheduler.service",
)
_CLONE_NEWNS = 0x20000


def program(folder: Path) -> Path:
    """A program in a folder that speaks to the server on `folder/socket`."""
    file = folder / "warm_python"
    text = CLIENT.read_text(encoding="utf-8").replace('SOCKET = ""', f"SOCKET = {str(folder / 'socket')!r}")
    file.write_text(f"#!{sys.executable} -IS\n{text}", encoding="utf-8")
    file.chmod(0o755)
    return file


@contextlib.contextmanager
def interpreter():
    """Path of a program that stands for the interpreter and starts warm."""
    # Not below pytest's folder: the path of a socket is short.
    with tempfile.TemporaryDirectory(prefix="warm-") as folder:
        variables = {**os.environ, "PYTHONPATH": str(CLIENT.parent.parent), "OPENBLAS_NUM_THREADS": "1"}
        server = subprocess.Popen(
            [sys.executable, __file__, folder], env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            assert server.stdout.readline() == b"ready\n"
            yield program(Path(folder))
        finally:
            server.communicate()


@pytest.fixture(scope="session")
def warm_python():
    """The interpreter, started warm."""
    with interpreter() as program:
        yield program


class Worker:
    """A forked process, as the server sees it."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.connection = connection
        self.handle = os.pidfd_open(pid)

    def kill(self) -> None:
        """As the system does with the program that stands for it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def bury(self) -> None:
        """Tell how it ended."""
        _, status = os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            self.connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(self.handle)
        self.connection.close()


def serve(folder: Path) -> None:
    """Fork a worker per connection until standard input ends."""
    for module in IMPORTED:
        importlib.import_module(module)
    gc.freeze()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(folder / "socket"))
    listener.listen(64)
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(listener, selectors.EVENT_READ)
    workers: dict[int, Worker] = {}
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    while True:
        for key, _ in selector.select():
            if key.fileobj == 0:
                for worker in workers.values():
                    worker.kill()
                return
            if key.fileobj is listener:
                connection, _ = listener.accept()
                worker = _fork(connection, keep_closed=[listener.fileno(), *workers])
                workers[worker.handle] = worker
                selector.register(worker.handle, selectors.EVENT_READ)
                selector.register(connection, selectors.EVENT_READ, worker)
            elif isinstance(key.data, Worker):
                selector.unregister(key.fileobj)
                key.data.kill()
            elif key.fd in workers:
                worker = workers.pop(key.fd)
                selector.unregister(worker.handle)
                with contextlib.suppress(KeyError):
                    selector.unregister(worker.connection)
                worker.bury()


def _fork(connection: socket.socket, keep_closed: list[int]) -> Worker:
    size = 3 * array.array("i").itemsize
    head, ancillary, _, _ = connection.recvmsg(65536, socket.CMSG_SPACE(size))
    streams = list(array.array("i", ancillary[0][2][:size]))
    while not head.endswith(b"\n"):
        head += connection.recv(65536)
    asked = json.loads(head)
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            connection.sendall(f"{pid}\n".encode())
        return Worker(pid, connection)
    code = 70
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for handle in [*streams, *keep_closed, connection.fileno()]:
            with contextlib.suppress(OSError):
                os.close(handle)
        code = _run(asked)
    finally:
        os._exit(code)


def _run(asked: dict) -> int:
    """Be the interpreter with these arguments."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.chdir(asked["folder"])
    Path("/proc/self/comm").write_text(f"warm-{asked['pid']}", encoding="utf-8")
    sys.executable = asked["program"]
    sys.argv = asked["arguments"]
    _open_streams(os.environ.get("PYTHONIOENCODING", "utf-8"))
    _suffer(sys.argv)
    warnings.simplefilter("ignore", RuntimeWarning)  # runpy's, about modules that were imported before
    try:
        if sys.argv[0] == "-m":
            name = sys.argv.pop(0) and sys.argv[0]
            runpy.run_module(name, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as told:
        return told.code if isinstance(told.code, int) else int(told.code is not None)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
    return 0


def _open_streams(encoding: str) -> None:
    """The caller's streams, as an interpreter opens them."""
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115  # open as long as the process
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115


def _suffer(arguments: list[str]) -> None:
    name = arguments[arguments.index("--date") + 1] if "--date" in arguments else "service"
    file = Path(os.environ.get("WARM_PLANS", "/nowhere")) / name
    try:
        plan = file.read_text(encoding="utf-8").splitlines()
        file.unlink()
    except FileNotFoundError:
        return
    for line in plan:
        what, _, value = line.partition("=")
        if what == "failpoint":
            os.environ["DAYGATE_FAILPOINT"] = value
        elif what == "kill":
            threading.Timer(float(value), os.kill, (os.getpid(), signal.SIGKILL)).start()
        elif what == "files":
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(value), int(value)))
        elif what == "mounts":
            with Path(f"/proc/{value}/ns/mnt").open("rb") as namespace:
                libc = ctypes.CDLL(None, use_errno=True)
                # A namespace of its own first: setns wants nobody else to share root and working folder.
                if libc.unshare(_CLONE_NEWNS) or libc.setns(namespace.fileno(), _CLONE_NEWNS):
                    raise OSError(ctypes.get_errno(), "setns")
        else:
            raise ValueError(line)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
