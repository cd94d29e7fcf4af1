"""The web server: uvicorn in a thread with a loop of its own, and a protocol that waits for nobody for long."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.errors import DaygateError, SettingsError

log = logging.getLogger(__name__)

#: Open connections; each costs a file descriptor, of which a process usually has 1,024.
MOST_CONNECTIONS: Final = 256
#: A client has this long to send a request's head, and to take the last bytes of an answer.
HEAD_SECONDS: Final = 10.0
#: A whole request and its answer take no longer.
EXCHANGE_SECONDS: Final = 60.0
_KEEP_ALIVE_SECONDS: Final = 5
_LONGEST_HEAD: Final = 16 * 1024
_GRACE_SECONDS: Final = 5
_START_SECONDS: Final = 10.0


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 with a deadline on everything a client does; uvicorn has one for idle connections only.

    When too many are open, the one that has been waiting for a request longest makes room.
    """

    head_seconds = HEAD_SECONDS
    exchange_seconds = EXCHANGE_SECONDS
    most_connections = MOST_CONNECTIONS

    #: When the client was last given time, by the loop's clock.
    since = 0.0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock, and make room."""
        super().connection_made(transport)
        self._wait(self.head_seconds)
        # Those that are being closed leave the set only when the loop turns.
        others = [one for one in self.connections if not one.transport.is_closing()]
        if len(others) > self.most_connections:
            idle = [one for one in others if isinstance(one, ImpatientProtocol) and not one.busy]
            min(idle, key=lambda one: one.since, default=self).transport.abort()

    def data_received(self, data: bytes) -> None:
        """A request that begins has time for the whole exchange; bytes of a head buy no time."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before and self.busy:
            self._wait(self.exchange_seconds)

    def on_response_complete(self) -> None:
        """The next exchange, or the last bytes of this one."""
        super().on_response_complete()
        self._wait(self.exchange_seconds if self.busy else self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock."""
        if self._deadline is not None:
            self._deadline.cancel()
        super().connection_lost(exc)

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self, seconds: float) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self.since = self.loop.time()
        # Not close(): that would wait for a client that takes nothing.
        self._deadline = self.loop.call_later(seconds, self.transport.abort)


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A server that answers."""

    #: `http://127.0.0.1:8080`.
    address: str
    server: uvicorn.Server
    thread: threading.Thread

    @property
    def alive(self) -> bool:
        """Whether it still does; a server that died should take the service with it."""
        return self.thread.is_alive()

    def stop(self) -> None:
        """Let answers under way end, a few seconds at most, and stop."""
        self.server.should_exit = True
        self.thread.join(_GRACE_SECONDS + 1)
        if self.thread.is_alive():
            self.server.force_exit = True
            self.thread.join(1)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on the address.

    Raises:
        SettingsError: there is no such address here, or the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise SettingsError(
            f"The site cannot be served on port {port} of DAYGATE_WEB_HOST ({error.strerror}).",
            hint="Choose another DAYGATE_WEB_PORT or DAYGATE_WEB_HOST",
        ) from None
    return listener


def serve(app: ASGIApp, listener: socket.socket, *, protocol: type[ImpatientProtocol] = ImpatientProtocol) -> Running:
    """Serve the app on the socket from a thread, until stopped.

    Raises:
        DaygateError: it did not start.
    """
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        h11_max_incomplete_event_size=_LONGEST_HEAD,
    )
    # A line for every malformed request would let anyone fill the log.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    server = _Server(config)
    host, port = listener.getsockname()[:2]
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="http", daemon=True)
    thread.start()
    if not server.listening.wait(_START_SECONDS):
        server.should_exit = True
        raise DaygateError("The web server did not start.", hint="daygate doctor")
    shown = f"[{host}]" if ":" in host else host
    return Running(address=f"http://{shown}:{port}", server=server, thread=thread)


class _Server(uvicorn.Server):
    """Tells when it takes requests."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and tell."""
        await super().startup(sockets=sockets)
        self.listening.set()
