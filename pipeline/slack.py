"""Posting one message to Slack, by webhook or as a bot: never raises, never waits without end, never tells the address.

slack_sdk makes the requests; redirects are not followed, answers are read up to a limit, and what the transport
raises is told by its type alone, because its text may hold the address.
"""

from __future__ import annotations

import html
import json
import logging
import queue
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Literal
from urllib.error import HTTPError, URLError

from pydantic import SecretStr
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.webhook import WebhookClient, WebhookResponse

from pipeline.alert_text import SlackMessage
from pipeline.settings import Settings

#: sent: Slack has it. again: a later try may succeed. refused: not in this form; plain text may pass.
#: lasting: no try will succeed before somebody changes the settings.
How = Literal["sent", "again", "refused", "lasting"]

#: Seconds without a sign from the server, and for a whole try.
TIMEOUT: Final = 5.0
DEADLINE: Final = 10.0
_MOST_BYTES: Final = 1 << 16
_FORM: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_LASTING: Final = frozenset(
    {
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.FORBIDDEN,
        HTTPStatus.NOT_FOUND,
        HTTPStatus.GONE,
        HTTPStatus.METHOD_NOT_ALLOWED,
    }
)
#: The words of chat.postMessage that are not worth a further try as they are.
_FORM_WORDS: Final = frozenset(
    {"invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "no_text"}
)
_LASTING_WORDS: Final = frozenset(
    {
        *("invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "no_permission"),
        *("missing_scope", "not_allowed_token_type", "channel_not_found", "not_in_channel", "is_archived"),
        *("restricted_action", "restricted_action_read_only_channel", "team_access_not_granted", "access_denied"),
    }
)

log = logging.getLogger("daygate.alerts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Channel:
    """Where alerts go: a webhook, or a bot's token and channel."""

    webhook: SecretStr | None = None
    token: SecretStr | None = None
    channel: str | None = None
    api: str = ""

    @property
    def threads(self) -> bool:
        """Whether messages can answer to an earlier one; a webhook does not learn what Slack calls a message."""
        return self.webhook is None


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """What became of a message; the detail never holds the address."""

    how: How
    detail: str
    #: Seconds the server asked for.
    retry_after: float | None = None
    #: What Slack calls the message; of a bot only.
    ts: str | None = None

    @property
    def ok(self) -> bool:
        """Whether somebody got it."""
        return self.how == "sent"


def channel_of(settings: Settings) -> Channel | None:
    """Where the settings say; None for the log."""
    if settings.slack_webhook_url is not None:
        return Channel(webhook=settings.slack_webhook_url)
    if settings.slack_token is not None:
        return Channel(token=settings.slack_token, channel=settings.slack_channel, api=settings.slack_api_url)
    return None


def send(
    message: SlackMessage, channel: Channel | None, *, timeout: float = TIMEOUT, deadline: float = DEADLINE
) -> Delivered:
    """Deliver a message once, and tell the log what nobody else was told.

    Args:
        message: what to say.
        channel: the log when None.
        timeout: as `post`.
        deadline: as `post`.
    """
    if channel is None:
        log.log(message.level, "%s", plain(message))
        return Delivered(how="sent", detail="logged")
    delivered = post(message, channel, timeout=timeout, deadline=deadline)
    if not delivered.ok:
        log.error("Slack did not take an alert (%s).\n%s", delivered.detail, plain(message))
    return delivered


def post(
    message: SlackMessage,
    channel: Channel,
    *,
    thread: str | None = None,
    broadcast: bool = False,
    timeout: float = TIMEOUT,
    deadline: float = DEADLINE,
) -> Delivered:
    """Try once; a message that is refused for its form is tried once more as text alone.

    Args:
        message: what to say.
        channel: where.
        thread: what Slack calls the message to answer to.
        broadcast: show the answer in the channel as well.
        timeout: seconds without a sign from the server.
        deadline: seconds for a whole request, also against a server that answers byte by byte.
    """
    request = _Request(message=message, channel=channel, thread=thread, broadcast=broadcast, timeout=timeout)
    delivered = _within(request, deadline)
    if delivered.how != "refused":
        return delivered
    # Better the bare words than nothing; they stand in the channel, since the thread may be what was refused.
    bare = SlackMessage(text=message.text, blocks=(), level=message.level)
    again = _within(_Request(message=bare, channel=channel, timeout=timeout), deadline)
    return again if again.how != "refused" else Delivered(how="lasting", detail=again.detail)


def plain(message: SlackMessage) -> str:
    """The text without Slack's escapes; it is inert in a log as well."""
    return html.unescape(message.text)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    message: SlackMessage
    channel: Channel
    thread: str | None = None
    broadcast: bool = False
    timeout: float

    def answer(self) -> Delivered:
        """What Slack says; whatever the transport raises is a reason to try again."""
        try:
            return self._by_webhook() if self.channel.webhook is not None else self._as_bot()
        except Exception as error:  # noqa: BLE001  # its text may hold the address
            reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
            return Delivered(how="again", detail=type(reason).__name__)

    def _by_webhook(self) -> Delivered:
        assert self.channel.webhook is not None  # noqa: S101  # the caller looked
        address = self.channel.webhook.get_secret_value()
        client = _Webhook(address, timeout=self.timeout, logger=_SILENT, retry_handlers=[])  # type: ignore[arg-type]
        told = client.send(**self._content())
        headers: Mapping[str, Any] = told.headers
        return _judged(told.status_code, headers)

    def _as_bot(self) -> Delivered:
        token = self.channel.token.get_secret_value() if self.channel.token is not None else ""
        client = _Bot(token, base_url=self.channel.api, timeout=self.timeout, logger=_SILENT, retry_handlers=[])  # type: ignore[arg-type]
        try:
            told = client.chat_postMessage(
                channel=self.channel.channel or "",
                thread_ts=self.thread,
                reply_broadcast=self.broadcast or None,
                **self._content(),
            )
        except SlackApiError as error:
            told = error.response
        return _judged(told.status_code, told.headers, told.data)

    def _content(self) -> dict[str, Any]:
        blocks = {"blocks": list(self.message.blocks)} if self.message.blocks else {}
        return {"text": self.message.text, **blocks, "unfurl_links": False, "unfurl_media": False}


def _within(request: _Request, deadline: float) -> Delivered:
    """The answer, if it comes in time; a thread that waits on is left alone."""
    answers: queue.SimpleQueue[Delivered] = queue.SimpleQueue()
    threading.Thread(target=lambda: answers.put(request.answer()), name="slack", daemon=True).start()
    try:
        return answers.get(timeout=deadline)
    except queue.Empty:
        return Delivered(how="again", detail=f"no answer within {deadline:g} s")


def _judged(status: int, headers: Mapping[str, Any], said: Any = None) -> Delivered:
    """What an answer means.

    Args:
        status: of HTTP.
        headers: of the answer.
        said: the JSON of chat.postMessage; None of a webhook.
    """
    word = str(said.get("error", "")) if isinstance(said, Mapping) else ""
    known = word if word in _FORM_WORDS | _LASTING_WORDS else ""
    detail = f"HTTP {status}" + (f", {known}" if known else "")
    if status == HTTPStatus.OK and (said is None or (isinstance(said, Mapping) and said.get("ok") is True)):
        return Delivered(how="sent", detail=detail, ts=None if said is None else str(said.get("ts", "")) or None)
    how: How = "again"
    if status in _LASTING or word in _LASTING_WORDS:
        how = "lasting"
    elif status in _FORM or word in _FORM_WORDS:
        how = "refused"
    return Delivered(how=how, detail=detail, retry_after=_seconds(headers))


def _seconds(headers: Mapping[str, Any]) -> float | None:
    """Retry-After in seconds; its other form, a date, is not worth trusting two clocks."""
    said = next((str(value) for name, value in headers.items() if name.lower() == "retry-after"), "")
    return float(said) if said.isascii() and said.isdigit() else None


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the alert to a host nobody named; it counts as a refusal."""

    def redirect_request(self, *_: Any) -> None:
        """No request to go on with."""


def _opened(client: Any, request: urllib.request.Request) -> Any:
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=client.ssl))
    return opener.open(request, timeout=client.timeout)


class _Webhook(WebhookClient):
    """slack_sdk's client, without following redirects and without reading endless answers."""

    def _perform_http_request_internal(self, url: str, req: urllib.request.Request) -> WebhookResponse:
        with _opened(self, req) as answer:
            body = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            return WebhookResponse(url=url, status_code=answer.status, body=body, headers=dict(answer.headers))


class _Bot(WebClient):
    """The same for the Web API; an answer that is no JSON is told by its status."""

    def _perform_urllib_http_request_internal(self, url: str, req: urllib.request.Request) -> dict[str, Any]:  # noqa: ARG002  # slack_sdk's signature
        try:
            answer = _opened(self, req)
        except HTTPError as refused:
            answer = refused
        with answer:
            body = answer.read(_MOST_BYTES).decode("utf-8", "replace")
            return {"status": answer.status, "headers": dict(answer.headers), "body": _json_or_nothing(body)}


def _json_or_nothing(body: str) -> str:
    try:
        return body if isinstance(json.loads(body), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


#: slack_sdk logs the address; this logger has no parent and lets nothing through.
_SILENT: Final = logging.Logger("daygate.alerts.transport", level=logging.CRITICAL + 1)  # noqa: LOG001  # see above
