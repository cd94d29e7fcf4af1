"""Alerts: builders that state facts, a pure formatter that words them for Slack, and a sender that never raises.

Facts per kind (JSON-ready, no values from events):

- `gate_failed`: run_id, verdict, lines, failing_lines, problems, all_checks, checks [{id, verdict,
  severity, rate, needed, failed_rows, evaluated_rows, worst_rule, worst_rows, sample_lines, error}]
- `step_failed`: run_id, step, attempt, error
- `day_completed`: run_id, events, users, purchases, revenue, quarantined, rates [[check id, rate]], warnings
- `day_released`: run_id, released_run, by, reason, events, users, purchases, revenue, quarantined, checks as above
- `late`: see `pipeline.lateness`

Everything that is not one of our own words is shown inert: no mention, link, formatting, control or
reordering character survives, and what looks like an id is masked.
"""

from __future__ import annotations

import html
import logging
import queue
import re
import threading
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from http import HTTPStatus
from typing import Any, Final
from urllib.error import URLError

from pydantic import SecretStr
from slack_sdk.webhook import WebhookClient, WebhookResponse

from pipeline import lateness
from pipeline.alert_words import WORDS, Language
from pipeline.marts import MartTables
from pipeline.records import Alert, CheckReport, CheckResult, Release, Run, Verdict
from pipeline.wording import percent, share, visible

#: Slack refuses a message that exceeds any of these, and the alert would be lost.
MAX_HEADER: Final = 150
MAX_SECTION: Final = 3000
MAX_BLOCKS: Final = 50
MAX_TEXT: Final = 4000
#: Checks worded one by one; the rest is counted.
_MAX_CHECKS: Final = 40
_MAX_VALUE: Final = 300
_LOG_LEVELS: Final = {
    "gate_failed": logging.ERROR,
    "step_failed": logging.ERROR,
    "day_completed": logging.INFO,
    "day_released": logging.WARNING,
    "late": logging.ERROR,
}

#: UUIDs, and a few letters before many digits: how customers, orders and visits are named.
_ID: Final = re.compile(r"\b(?:[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|[A-Za-z]{1,8}[-_]?[0-9]{5,})\b")
#: Underscores that Slack would read as italics; those inside a name are harmless.
_EDGE_UNDERSCORE: Final = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What Slack reads as formatting, a mention or a link, and a look-alike that it does not.
_INERT: Final = str.maketrans({"`": "'", "*": "\u2217", "~": "\u223c", "@": "\uff20", "#": "\uff03", "|": "\u00a6"})

_NO_BRACKETS: Final = str.maketrans({"<": "\u2039", ">": "\u203a"})

log = logging.getLogger("daygate.alerts")


@dataclass(frozen=True, kw_only=True, slots=True)
class SlackMessage:
    """What goes to Slack; `text` is the whole message for notifications, old clients and the log."""

    text: str
    blocks: tuple[dict[str, Any], ...]
    level: int = logging.INFO


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivered:
    """Whether someone got the message, and what happened; the detail never holds the address."""

    ok: bool
    detail: str


def gate_failed(
    *,
    day: date,
    run_id: str,
    verdict: Verdict,
    checks: Sequence[CheckResult],
    lines: int,
    failing_lines: int | None = None,
    problems: Sequence[str] = (),
) -> Alert:
    """The gate stayed closed.

    Args:
        checks: all of them; the alert tells of those that did not pass.
        lines: lines of the delivery.
        failing_lines: lines in quarantine; None when not known yet.
        problems: why the verdict is INCONCLUSIVE.
    """
    return Alert(
        kind="gate_failed",
        day=day,
        dedupe_key=f"gate_failed:{day}:{run_id}",
        facts={
            "run_id": run_id,
            "verdict": str(verdict),
            "lines": lines,
            "failing_lines": failing_lines,
            "problems": [mask(problem) for problem in problems],
            "all_checks": len(checks),
            "checks": [_check_facts(check) for check in checks if check.verdict is not Verdict.PASS],
        },
    )


def step_failed(*, day: date, run_id: str, step: str, attempt: int, error: str) -> Alert:
    """A step of the day failed; `error` is the message of a DaygateError or the type of another one."""
    return Alert(
        kind="step_failed",
        day=day,
        dedupe_key=f"step_failed:{day}:{run_id}:{step}:{attempt}",
        facts={"run_id": run_id, "step": step, "attempt": attempt, "error": mask(error)},
    )


def day_completed(*, run: Run, report: CheckReport, rows: int, totals: MartTables) -> Alert:
    """A day is about to be published with `rows` events; takes effect with the same commit."""
    return Alert(
        kind="day_completed",
        day=run.day,
        dedupe_key=f"day_completed:{run.day}:{run.run_id}",
        facts={
            **_day_facts(run, report, rows, totals),
            "rates": [[check.id, _rate(check)] for check in report.checks],
            "warnings": [check.id for check in report.checks if check.verdict is not Verdict.PASS],
        },
    )


def day_released(*, run: Run, report: CheckReport, rows: int, totals: MartTables, release: Release) -> Alert:
    """The good lines of a day that failed are about to be published; takes effect with the same commit."""
    return Alert(
        kind="day_released",
        day=run.day,
        dedupe_key=f"day_released:{run.day}:{run.run_id}",
        facts={
            **_day_facts(run, report, rows, totals),
            "released_run": release.run_id,
            "by": release.by,
            "reason": mask(release.reason),
            "checks": [_check_facts(check) for check in report.checks if check.verdict is not Verdict.PASS],
        },
    )


def _day_facts(run: Run, report: CheckReport, rows: int, totals: MartTables) -> dict[str, object]:
    return {
        "run_id": run.run_id,
        "events": rows,
        "users": totals.unique_users,
        "purchases": totals.purchases,
        "revenue": totals.revenue,
        "quarantined": report.failing_lines,
    }


def mask(text: str) -> str:
    """The text with everything that looks like an id of a person, visit or order cut to its first and last sign."""
    return _ID.sub(lambda found: f"{found[0][0]}…{found[0][-1]}", text)


def compose(alert: Alert, *, language: Language = "en") -> SlackMessage:
    """Word an alert; pure, and within Slack's limits whatever the facts hold."""
    words = WORDS[language]
    header, paragraphs = _COMPOSERS[alert.kind](alert, words)
    footer = words["footer"].format(run=_inert(alert.facts.get("run_id", "–")))
    sections = [_section(paragraph) for paragraph in paragraphs[: MAX_BLOCKS - 2]]
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(header, MAX_HEADER), "emoji": False}},
        *sections,
        {"type": "context", "elements": [_mrkdwn(footer)]},
    ]
    text = "\n".join([_escaped(header), *paragraphs, footer])
    return SlackMessage(text=_cut_escaped(text, MAX_TEXT), blocks=tuple(blocks), level=_LOG_LEVELS[alert.kind])


def send(
    message: SlackMessage, webhook: SecretStr | None, *, timeout: float = 5.0, deadline: float = 10.0
) -> Delivered:
    """Deliver a message once; never raises.

    Args:
        webhook: incoming webhook; the log when None.
        timeout: seconds without a sign from the server.
        deadline: seconds for the whole attempt, also against a server that answers byte by byte.
    """
    if webhook is None:
        log.log(message.level, "%s", _plain(message))
        return Delivered(ok=True, detail="logged")
    answer: queue.SimpleQueue[Delivered] = queue.SimpleQueue()
    threading.Thread(target=lambda: answer.put(_post(message, webhook, timeout)), daemon=True).start()
    try:
        delivered = answer.get(timeout=deadline)
    except queue.Empty:
        delivered = Delivered(ok=False, detail=f"no answer within {deadline:g} s")
    if not delivered.ok:
        log.error("Slack did not take an alert (%s).\n%s", delivered.detail, _plain(message))
    return delivered


def _check_facts(check: CheckResult) -> dict[str, Any]:
    worst = check.worst_rule
    return {
        "id": check.id,
        "verdict": str(check.verdict),
        "severity": check.severity,
        "rate": _rate(check),
        "needed": share(check.threshold),
        "failed_rows": check.failed_rows,
        "evaluated_rows": check.evaluated_rows,
        "worst_rule": None if worst is None else worst.id,
        "worst_rows": 0 if worst is None else worst.failed_rows,
        "sample_lines": sorted({sample.line for sample in check.samples})[:2],
        "error": None if check.error is None else mask(check.error),
    }


def _rate(check: CheckResult) -> str:
    return percent(check.evaluated_rows - check.failed_rows, check.evaluated_rows) or "–"


def _gate_failed(alert: Alert, words: Mapping[str, str]) -> tuple[str, list[str]]:
    facts: Mapping[str, Any] = alert.facts
    checks: Sequence[Mapping[str, Any]] = facts["checks"]
    blocking = [check for check in checks if check["severity"] == "critical"]
    found = words["gate_found"].format(failed=len(blocking), of=facts["all_checks"], lines=_count(facts["lines"]))
    if facts["failing_lines"] is not None:
        found += " " + words["gate_quarantined"].format(lines=_count(facts["failing_lines"]))
    paragraphs = [found, *(words["problem"].format(problem=_inert(problem)) for problem in facts["problems"][:5])]
    return words["gate_header"].format(day=alert.day, verdict=facts["verdict"]), paragraphs + _checks(checks, words)


def _checks(checks: Sequence[Mapping[str, Any]], words: Mapping[str, str]) -> list[str]:
    said = [_check_words(check, words) for check in checks[:_MAX_CHECKS]]
    more = len(checks) - _MAX_CHECKS
    return [*said, words["more"].format(count=more)] if more > 0 else said


def _check_words(check: Mapping[str, Any], words: Mapping[str, str]) -> str:
    name = _inert(check["id"])
    if check["error"] is not None:
        return words["check_error"].format(name=name, error=_inert(check["error"]))
    said = words["check_warning" if check["severity"] == "warning" else "check_failed"].format(
        name=name,
        rate=check["rate"],
        needed=check["needed"],
        failed=_count(check["failed_rows"]),
        of=_count(check["evaluated_rows"]),
    )
    if check["worst_rule"] is not None:
        said += " " + words["worst"].format(rule=_inert(check["worst_rule"]), count=_count(check["worst_rows"]))
    if check["sample_lines"]:
        said += " " + words["lines"].format(lines=", ".join(_count(line) for line in check["sample_lines"]))
    return said


def _step_failed(alert: Alert, words: Mapping[str, str]) -> tuple[str, list[str]]:
    facts: Mapping[str, Any] = alert.facts
    header = words["step_header"].format(day=alert.day, step=_unformatted(facts["step"]))
    said = words["step_said"].format(step=_inert(facts["step"]), attempt=facts["attempt"], error=_inert(facts["error"]))
    return header, [said]


def _day_completed(alert: Alert, words: Mapping[str, str]) -> tuple[str, list[str]]:
    facts: Mapping[str, Any] = alert.facts
    paragraphs = [
        _figures(facts, words),
        "\n".join(f"{_inert(check)}: {_inert(rate)}" for check, rate in facts["rates"]),
    ]
    if facts["warnings"]:
        names = ", ".join(_inert(check) for check in facts["warnings"])
        paragraphs.append(words["day_warnings"].format(checks=names))
    return words["day_header"].format(day=alert.day), [p for p in paragraphs if p]


def _day_released(alert: Alert, words: Mapping[str, str]) -> tuple[str, list[str]]:
    facts: Mapping[str, Any] = alert.facts
    said = words["released_said"].format(by=_inert(facts["by"]), reason=_inert(facts["reason"]))
    over = words["released_over"].format(run=_inert(facts["released_run"]))
    header = words["released_header"].format(day=alert.day)
    return header, [said, _figures(facts, words), over, *_checks(facts["checks"], words)]


def _figures(facts: Mapping[str, Any], words: Mapping[str, str]) -> str:
    return words["day_figures"].format(
        events=_count(facts["events"]),
        users=_count(facts["users"]),
        purchases=_count(facts["purchases"]),
        revenue=_won(facts["revenue"]),
        quarantined=_count(facts["quarantined"]),
    )


_COMPOSERS: Final[dict[str, Callable[[Alert, Mapping[str, str]], tuple[str, list[str]]]]] = {
    "gate_failed": _gate_failed,
    "step_failed": _step_failed,
    "day_completed": _day_completed,
    "day_released": _day_released,
    "late": lateness.worded,
}


def _inert(value: object) -> str:
    """A value as text that Slack shows and does nothing else with."""
    return _escaped(_disarmed(value))


def _unformatted(value: object) -> str:
    """A value for a header, where Slack knows no escapes."""
    return _disarmed(value).translate(_NO_BRACKETS)


def _disarmed(value: object) -> str:
    shown = mask(visible(str(value), limit=_MAX_VALUE)).translate(_INERT).replace("://", ":\u2215\u2215")
    return _EDGE_UNDERSCORE.sub("ˍ", shown)


def _escaped(text: str) -> str:
    return html.escape(text, quote=False)


def _count(value: int) -> str:
    return f"{value:,}"


def _won(exact: str) -> str:
    whole, _, decimals = exact.partition(".")
    grouped = f"{int(whole):,}" if whole.lstrip("-").isdigit() else _inert(whole)
    return f"{grouped}.{_inert(decimals)}" if decimals.strip("0") else grouped


def _section(paragraph: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(paragraph)}


def _mrkdwn(text: str) -> dict[str, Any]:
    """`verbatim` keeps Slack from making links and mentions out of plain words."""
    return {"type": "mrkdwn", "text": _cut_escaped(text, MAX_SECTION), "verbatim": True}


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _cut_escaped(text: str, limit: int) -> str:
    """Cut text that holds `&amp;`-like escapes without leaving half of one."""
    return text if len(text) <= limit else re.sub(r"&[a-z]{0,3}$", "", text[: limit - 1]) + "…"


def _plain(message: SlackMessage) -> str:
    """The text without Slack's escapes; it is inert in a log as well."""
    return html.unescape(message.text)


def _post(message: SlackMessage, webhook: SecretStr, timeout: float) -> Delivered:
    try:
        client = _Client(webhook.get_secret_value(), timeout=timeout, logger=_SILENT, retry_handlers=[])  # type: ignore[arg-type]
        response = client.send(text=message.text, blocks=list(message.blocks), unfurl_links=False, unfurl_media=False)
    except Exception as error:  # noqa: BLE001  # whatever the transport raises; its text may hold the address
        reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
        return Delivered(ok=False, detail=type(reason).__name__)
    return Delivered(ok=response.status_code == HTTPStatus.OK, detail=f"HTTP {response.status_code}")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the alert to a host nobody named; it counts as a refusal."""

    def redirect_request(self, *_: Any) -> None:
        """No request to go on with."""


class _Client(WebhookClient):
    """slack_sdk's client, without following redirects and without reading endless answers."""

    def _perform_http_request_internal(self, url: str, req: urllib.request.Request) -> WebhookResponse:
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=self.ssl))
        with opener.open(req, timeout=self.timeout) as answer:
            body = answer.read(4096).decode("utf-8", "replace")
            return WebhookResponse(url=url, status_code=answer.status, body=body, headers=dict(answer.headers))


#: slack_sdk logs the address; this logger has no parent and lets nothing through.
_SILENT: Final = logging.Logger("daygate.alerts.transport", level=logging.CRITICAL + 1)  # noqa: LOG001  # see above
