"""The web app: the published site, health, metrics and runs, for readers only.

    web_server   sockets, deadlines, the thread      auth         login and names
    web          what every request goes through     site_files   the site
                                                     web_api      what comes from the ledger

`/healthz` and `/readyz` are open to everyone and say nothing about a day; all else needs the login when
there is one, and a Host that is known.
"""

from __future__ import annotations

import logging
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gx.policy import POLICY
from pipeline.settings import Settings
from scheduler import auth
from scheduler.site_files import Site
from scheduler.web_api import Api, Health
from scheduler.web_server import ImpatientProtocol, Running, listen, serve

log = logging.getLogger(__name__)

#: Sent with every answer.
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "x-frame-options": "DENY",
}
_RAW_HEADERS: Final = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
_METHODS: Final = frozenset({"GET", "HEAD"})
#: What a container's health check asks, under whatever name it knows.
_OPEN: Final = frozenset({"/healthz", "/readyz"})
#: Requests answered at one time; more wait outside.
MOST_REQUESTS: Final = 64


def start(settings: Settings, health: Health, *, protocol: type[ImpatientProtocol] = ImpatientProtocol) -> Running:
    """Serve until `stop` is called on what is returned.

    The database need not be there; what comes from the ledger is told as soon as it is.

    Args:
        settings: where, under which names, for whom, which site and which ledger.
        health: asked for by `/healthz`.
        protocol: how long clients are waited for.

    Raises:
        SettingsError: the address cannot be used, or the site would be open beyond this machine.
    """
    doorkeeper = auth.doorkeeper(settings)
    routes = [*Api(settings, health).routes(), Route("/{path:path}", Site(settings.site_folder).serve)]
    guarded = Guard(Router(routes, redirect_slashes=False), doorkeeper=doorkeeper, names=auth.known_names(settings))
    return serve(guarded, listen(settings.web_host, settings.web_port), protocol=protocol)


class Guard:
    """Everything that is decided before a request is looked at, and said with every answer."""

    def __init__(self, app: ASGIApp, *, doorkeeper: auth.Doorkeeper, names: frozenset[str]) -> None:
        self._app = app
        self._doorkeeper = doorkeeper
        self._names = names
        self._under_way = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; whatever goes wrong inside is a 500 without a word about it."""
        started = False

        async def headed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message = {**message, "headers": [*message["headers"], *_RAW_HEADERS]}
            await send(message)

        self._under_way += 1
        try:
            answer = self._refused(Request(scope)) or self._app
            await answer(scope, receive, headed)
        except Exception as error:  # noqa: BLE001  # the web's boundary: a bug costs one answer, not the service
            log.error("A bug in the web: %s.", type(error).__name__)  # noqa: TRY400  # a traceback may hold values
            if not started:
                await _refusal(500, "Something went wrong.")(scope, receive, headed)
        finally:
            self._under_way -= 1

    def _refused(self, request: Request) -> Response | None:
        """Why the request goes no further; None when it may."""
        headers = request.headers
        if request.method not in _METHODS:
            return _refusal(405, "This site is for reading.", allow="GET, HEAD")
        if headers.get("content-length", "0") != "0" or "transfer-encoding" in headers:
            return _refusal(400, "A request for reading has no body.")
        if request.scope["path"] in _OPEN:
            return None
        if self._under_way > MOST_REQUESTS:
            return _refusal(503, "Too many requests.", retry_after="1")
        return self._stranger(request)

    def _stranger(self, request: Request) -> Response | None:
        """Why this client gets nothing; None when it may read."""
        if auth.name_of(request.headers.get("host", "")) not in self._names:
            return _refusal(421, "This site is not known under that name; DAYGATE_WEB_HOSTS lists its names.")
        if not self._doorkeeper(_raw(request, b"authorization")):
            return _refusal(401, "", www_authenticate='Basic realm="daygate", charset="UTF-8"')
        return None


def _refusal(status: int, words: str, **headers: str) -> Response:
    """A short answer that ends the connection, so that no unread body is taken for the next request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    text = f"{words}\n" if words else ""
    return PlainTextResponse(
        text, status_code=status, headers={**named, "cache-control": "no-store", "connection": "close"}
    )


def _raw(request: Request, wanted: bytes) -> bytes | None:
    return next((value for name, value in request.scope["headers"] if name == wanted), None)
