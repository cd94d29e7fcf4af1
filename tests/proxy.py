"""A TCP proxy that is as bad as a network can be."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes between clients and a database, and can be slow, go silent, or hang up.

    As a context manager it is closed at the end.
    """

    def __init__(self, url: str, *, latency: float = 0.0, bytes_per_second: float | None = None) -> None:
        port = urlsplit(url).port
        self._server = ("127.0.0.1", port)
        self._latency = latency
        self._rate = bytes_per_second
        self._silent = threading.Event()
        self._pause = threading.Event()
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        #: The database as it is reached through here.
        self.url = url.replace(f":{port}/", f":{self._listener.getsockname()[1]}/")
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Hang up on everybody."""
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def fall_silent(self) -> None:
        """Take everything and pass on nothing more, while every connection stays open."""
        self._silent.set()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            self._open += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(16384):
                if self._silent.is_set():
                    continue
                wait = self._latency + (len(piece) / self._rate if self._rate else 0.0)
                if wait:
                    self._pause.wait(wait)
                target.sendall(piece)
        with suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)
