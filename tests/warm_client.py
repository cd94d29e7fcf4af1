"""Stands for a process that the warm server forks: its streams, signals and end are this program's."""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path

SOCKET = ""


def main() -> None:
    """Ask for the worker, pass signals on, and end as it does."""
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(SOCKET)
    asked = {
        "program": sys.argv[0],
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "pid": os.getpid(),
    }
    signals = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    head = json.dumps(asked).encode() + b"\n"
    sent = socket.send_fds(connection, [head], [0, 1, 2])
    connection.sendall(head[sent:])
    answers = connection.makefile("r")
    worker = int(answers.readline())

    def pass_on(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, number)

    for number in signals:
        signal.signal(number, pass_on)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
    code = int(answers.readline() or "70")
    if code < 0:
        signal.signal(-code, signal.SIG_DFL) if -code not in (signal.SIGKILL, signal.SIGSTOP) else None
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), -code)
    os._exit(code)


main()
