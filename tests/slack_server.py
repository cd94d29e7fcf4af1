"""A local server in Slack's place: webhooks and chat.postMessage, with every way to answer wrong."""

from __future__ import annotations

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: In every address; must be seen nowhere else.
CANARY = "SECRETCANARY"


class _Slack(BaseHTTPRequestHandler):
    """Answers as the script says, else as the last part of a webhook's path, and keeps what it was sent."""

    def do_POST(self) -> None:
        server: SlackServer = self.server  # type: ignore[assignment]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        as_bot = self.path.endswith("/chat.postMessage")
        mode = server.next_answer(None if as_bot else self.path.rsplit("/", 1)[-1])
        server.got.append((self.path, body))
        server.tokens.append(self.headers.get("Authorization"))
        if mode in ("hang", "drip"):
            server.hold(self, mode)
        elif mode == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
        else:
            self._answer(server, mode, as_bot=as_bot)

    do_GET = do_POST  # noqa: N815  # the name http.server calls

    def _answer(self, server: SlackServer, mode: str, *, as_bot: bool) -> None:
        """A status, or a word of chat.postMessage."""
        status = int(mode) if mode.isdigit() else 200
        self.send_response(status)
        if status == 302:
            self.send_header("Location", f"http://localhost:{server.server_port}/elsewhere/200")
        if status == 429:
            self.send_header("Retry-After", "30")
        said = {"ok": True, "ts": f"1700.{len(server.got):04d}"} if mode == "200" else {"ok": False, "error": mode}
        text = json.dumps(said) if as_bot and status == 200 else "ok"
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


class SlackServer(ThreadingHTTPServer):
    """What it got so far is in `got`, as (path, JSON)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Slack)
        self.got: list[tuple[str, Any]] = []
        self.tokens: list[str | None] = []
        #: The next answers; what comes after them is answered well.
        self.script: list[str] = []
        self.released = threading.Event()

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def texts(self) -> list[str]:
        """The messages it got."""
        return [body["text"] for _, body in self.got]

    def next_answer(self, asked: str | None) -> str:
        """That of the path when there is one."""
        if asked is not None and asked != "script":
            return asked
        return self.script.pop(0) if self.script else "200"

    def hold(self, request: BaseHTTPRequestHandler, mode: str) -> None:
        """Say nothing, or one byte at a time, until the test is over."""
        if mode == "drip":
            request.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not self.released.wait(0.05):
            if mode == "drip":
                request.wfile.write(b"x")
