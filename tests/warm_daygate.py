"""Serves `daygate` processes that need not import anything: it imports once and forks for each request.

A process of its own is what many tests are about (it is killed, it has its own environment and streams); the seconds
in which it imports Great Expectations are not. Requests come as one message each over the socket whose descriptor is
the only argument: words, folder and environment as JSON, with the child's three streams and a socket for the answer.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import time
from typing import Any, NoReturn

import scheduler.commands
from scheduler.boundary import main

#: What commands import when they run.
HEAVY = ("gx.gate", "scheduler.app", "scheduler.repair")
#: A request with the whole environment of a process is far smaller.
MESSAGE = 1 << 17


def serve(requests: socket.socket) -> None:
    """Fork a handler for each request until the tests are over."""
    while True:
        message, streams, _, _ = socket.recv_fds(requests, MESSAGE, 4)
        if not message:
            return
        if not os.fork():
            requests.close()
            answer(json.loads(message), streams)
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def answer(request: dict[str, Any], streams: list[int]) -> NoReturn:
    """Fork the command, tell its process id, wait for it and tell its exit code."""
    with socket.socket(fileno=streams.pop()) as replies:
        child = os.fork()
        if not child:
            replies.close()
            become(request, streams)
            main()
        for stream in streams:
            os.close(stream)
        replies.sendall(f"{child}\n".encode())
        replies.sendall(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n".encode())
    os._exit(0)


def become(request: dict[str, Any], streams: list[int]) -> None:
    """Take on the arguments, folder, environment and streams of the command."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.chdir(request["folder"])
    encoding = os.environ.get("PYTHONIOENCODING", "utf-8")
    sys.argv = ["daygate", *request["words"]]
    sys.stdin = open(0, encoding=encoding, closefd=False)  # noqa: SIM115  # open as long as the process
    sys.stdout = open(1, "w", encoding=encoding, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding=encoding, errors="backslashreplace", closefd=False)  # noqa: SIM115


if __name__ == "__main__":
    commands = pkgutil.iter_modules(scheduler.commands.__path__, "scheduler.commands.")
    for module in (*HEAVY, *(command.name for command in commands)):
        importlib.import_module(module)
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as requests:
        serve(requests)
