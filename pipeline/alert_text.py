"""The pure formatter: an alert's facts become a message, within Slack's limits whatever the facts hold.

Everything that is not one of our own words is shown inert: no mention, link, formatting, control or
reordering character survives, and what looks like an id is masked. The one link leads to the site of the settings.
"""

from __future__ import annotations

import html
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from pipeline import lateness
from pipeline.alerts import mask
from pipeline.records import OUTSIDE, Alert
from pipeline.volume import ARRIVED, REVENUE
from pipeline.wording import about, floored, visible
from pipeline.words import Language, Words

#: Slack refuses a message that exceeds any of these, and the alert would be lost.
MAX_HEADER: Final = 150
MAX_SECTION: Final = 3000
MAX_BLOCKS: Final = 50
MAX_TEXT: Final = 4000
#: Checks worded one by one; the rest is counted.
_MAX_CHECKS: Final = 40
_MAX_VALUE: Final = 300
#: Values in common that are told of a check, and days that are named one by one.
_COMMON: Final = 2
_NAMED: Final = 10
_LOG_LEVELS: Final = {
    "gate_failed": logging.ERROR,
    "step_failed": logging.ERROR,
    "still_bad": logging.ERROR,
    "day_completed": logging.INFO,
    "recovered": logging.WARNING,
    "day_released": logging.WARNING,
    "late": logging.ERROR,
}

#: Underscores that Slack would read as italics; those inside a name are harmless.
_EDGE_UNDERSCORE: Final = re.compile(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
#: What Slack reads as formatting, a mention or a link, and a look-alike that it does not.
_INERT: Final = str.maketrans({"`": "'", "*": "\u2217", "~": "\u223c", "@": "\uff20", "#": "\uff03", "|": "\u00a6"})
_NO_BRACKETS: Final = str.maketrans({"<": "\u2039", ">": "\u203a"})
#: Kinds of days that were judged, and so have a page.
_WITH_PAGE: Final = frozenset({"gate_failed", "day_completed", "recovered", "day_released", "still_bad"})

_Facts = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class SlackMessage:
    """What goes to Slack; `text` is the whole message for notifications, old clients and the log."""

    text: str
    blocks: tuple[dict[str, Any], ...]
    level: int = logging.INFO


def compose(alert: Alert, *, language: Language = "en", site: str | None = None, again: bool = False) -> SlackMessage:
    """Word an alert.

    Args:
        alert: what happened.
        language: of our own words.
        site: where the pages are reached; with it the message links to the day's page.
        again: the day was told to be bad before, and is still.
    """
    say = Words(language)
    header, paragraphs = _COMPOSERS[alert.kind](alert, say)
    if again:
        header = say("alert.again", header=header)
    footer = say("alert.footer", run=_inert(alert.facts["run_id"])) if "run_id" in alert.facts else ""
    text = "\n".join(filter(None, [_escaped(header), *paragraphs, footer]))
    if site is not None and alert.kind in _WITH_PAGE:
        footer += f" · <{site.rstrip('/')}/days/{alert.day}/index.html|{say('alert.page')}>"
    return _message(header, paragraphs, footer, text=text, level=_LOG_LEVELS[alert.kind])


def summary(alerts: Sequence[Alert], *, language: Language = "en") -> SlackMessage:
    """Many alerts as one message: which kinds, how many, which days."""
    say = Words(language)
    kinds: dict[str, list[date]] = {}
    for alert in alerts:
        kinds.setdefault(alert.kind, []).append(alert.day)
    worst_first = sorted(kinds, key=lambda kind: (-_LOG_LEVELS[kind], kind))
    paragraphs = [say("alert.many_said")]
    paragraphs += [
        say("alert.many_kind", kind=say(f"kind.{kind}"), count=len(kinds[kind]), days=_days(kinds[kind]))
        for kind in worst_first
    ]
    header = say("alert.many_header", count=len(alerts))
    text = "\n".join([header, *paragraphs])
    level = max(_LOG_LEVELS[kind] for kind in kinds)
    return _message(header, paragraphs, say("alert.many_footer"), text=text, level=level)


def _message(header: str, paragraphs: Sequence[str], footer: str, *, text: str, level: int) -> SlackMessage:
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": _cut(header, MAX_HEADER), "emoji": False}},
        *(_section(paragraph) for paragraph in paragraphs[: MAX_BLOCKS - 2]),
        *([{"type": "context", "elements": [_mrkdwn(footer)]}] if footer else []),
    ]
    return SlackMessage(text=_cut_escaped(text, MAX_TEXT), blocks=tuple(blocks), level=level)


# -- one composer a kind: header and paragraphs --------------------------------------------------


def _gate_failed(alert: Alert, say: Words) -> tuple[str, list[str]]:
    facts: _Facts = alert.facts
    checks: Sequence[_Facts] = facts["checks"]
    blocking = [check for check in checks if check["severity"] == "critical"]
    if blocking or facts["problems"]:
        found = say("alert.gate_found", failed=len(blocking), of=facts["all_checks"], lines=_count(facts["lines"]))
    else:
        found = say("alert.gate_volume", lines=_count(facts["lines"]))
    if facts["failing_lines"] is not None:
        found += " " + say("alert.gate_quarantined", lines=_count(facts["failing_lines"]))
    said = [
        found,
        *(say("alert.problem", problem=_inert(say.again(problem))) for problem in facts["problems"][:5]),
        *_checks(facts, say),
        *_volume(facts, say),
        say("alert.gate_next", day=alert.day),
    ]
    return say("alert.gate_header", day=alert.day, verdict=say.state(facts["verdict"])), said


def _step_failed(alert: Alert, say: Words) -> tuple[str, list[str]]:
    facts: _Facts = alert.facts
    header = say("alert.step_header", day=alert.day, step=_unformatted(facts["step"]))
    said = say("alert.step_said", step=_inert(facts["step"]), attempt=facts["attempt"], error=_inert(facts["error"]))
    return header, [said]


def _still_bad(alert: Alert, say: Words) -> tuple[str, list[str]]:
    said = say("alert.still_said", day=alert.day, since=_inert(alert.facts["since"]))
    return say("alert.still_header", day=alert.day), [said, say("alert.gate_next", day=alert.day)]


def _day_completed(alert: Alert, say: Words) -> tuple[str, list[str]]:
    facts: _Facts = alert.facts
    paragraphs = [
        _figures(facts, say),
        "\n".join(f"{_inert(check)}: {_inert(rate)}" for check, rate in facts["rates"]),
        *_volume(facts, say),
    ]
    if facts["warnings"]:
        names = ", ".join(_inert(check) for check in facts["warnings"])
        paragraphs.append(say("alert.day_warnings", checks=names))
    return say("alert.day_header", day=alert.day), [p for p in paragraphs if p]


def _recovered(alert: Alert, say: Words) -> tuple[str, list[str]]:
    _, paragraphs = _day_completed(alert, say)
    said = say("alert.recovered_said", since=_inert(alert.facts["since"]))
    return say("alert.recovered_header", day=alert.day), [said, *paragraphs]


def _day_released(alert: Alert, say: Words) -> tuple[str, list[str]]:
    facts: _Facts = alert.facts
    said = say("alert.released_said", by=_inert(facts["by"]), reason=_inert(facts["reason"]))
    over = say("alert.released_over", run=_inert(facts["released_run"]))
    header = say("alert.released_header", day=alert.day)
    return header, [said, _figures(facts, say), over, *_checks(facts, say)]


_COMPOSERS: Final[dict[str, Callable[[Alert, Words], tuple[str, list[str]]]]] = {
    "gate_failed": _gate_failed,
    "step_failed": _step_failed,
    "still_bad": _still_bad,
    "day_completed": _day_completed,
    "recovered": _recovered,
    "day_released": _day_released,
    "late": lateness.worded,
}


# -- what they are made of -----------------------------------------------------------------------


def _checks(facts: _Facts, say: Words) -> list[str]:
    checks: Sequence[_Facts] = facts["checks"]
    changes = {change["check_id"]: change for change in facts.get("changes", ())}
    said = [
        " ".join([_check_words(check, say), *_change_words(changes.get(check["id"]), say)])
        for check in checks[:_MAX_CHECKS]
    ]
    more = len(checks) - _MAX_CHECKS
    return [*said, say("alert.more", count=more)] if more > 0 else said


def _check_words(check: _Facts, say: Words) -> str:
    name = _inert(check["id"])
    if check["error"] is not None:
        return say("alert.check_error", name=name, error=_inert(say.again(check["error"])))
    said = say(
        "alert.check_warning" if check["severity"] == "warning" else "alert.check_failed",
        name=name,
        rate=check["rate"],
        needed=check["needed"],
        failed=_count(check["failed_rows"]),
        of=_count(check["evaluated_rows"]),
    )
    if check["worst_rule"] is not None:
        said += " " + say("alert.worst", rule=_inert(check["worst_rule"]), count=_count(check["worst_rows"]))
    if check["sample_lines"]:
        said += " " + say("alert.lines", lines=", ".join(_count(line) for line in check["sample_lines"]))
    return said


def _change_words(change: _Facts | None, say: Words) -> list[str]:
    """Since when, how it usually is, and what the lines have in common, as far as it is known."""
    if change is None:
        return []
    first, last_good, usual = change["first_bad_day"], change["last_good_day"], change["usual_pass_rate"]
    said = []
    if last_good is not None:
        said.append(say("alert.change_since", first=_inert(first), last_good=_inert(last_good)))
    if usual is not None:
        said.append(say("alert.change_usual", rate=floored(usual)))
    common = [_common_words(one, say) for one in change["commonalities"][:_COMMON]]
    return [*said, say("alert.common", found="; ".join(common))] if common else said


def _common_words(one: _Facts, say: Words) -> str:
    return say(
        "alert.common_value",
        dimension=say.known(f"dimension.{one['dimension']}", _inert(one["dimension"])),
        value=say("alert.outside") if one["value"] == OUTSIDE else _inert(one["value"]),
        failing=about(one["failing_share"]),
        overall=about(one["overall_share"]),
    )


def _volume(facts: _Facts, say: Words) -> list[str]:
    return [unusual(found, say) for found in facts.get("volume", ())]


def unusual(found: _Facts, say: Words) -> str:
    """A figure of the day that left its usual band, in a sentence."""
    if found["metric"] == ARRIVED:
        value, median = (f"{found[name]:,.1f}" for name in ("value", "median"))
        return say("alert.volume_arrived", value=value, median=median, days=found["days"])
    value, median, low, high = (_figure(found, found[name]) for name in ("value", "median", "low", "high"))
    amount = say(f"amount.{found['metric']}", value=value)
    return say("alert.volume", amount=amount, median=median, low=low, high=high, days=found["days"])


def _figure(found: _Facts, value: float) -> str:
    return f"{value:,.0f}" + (" ₩" if found["metric"] == REVENUE else "")


def _figures(facts: _Facts, say: Words) -> str:
    return say(
        "alert.day_figures",
        events=_count(facts["events"]),
        users=_count(facts["users"]),
        purchases=_count(facts["purchases"]),
        revenue=_won(facts["revenue"]),
        quarantined=_count(facts["quarantined"]),
    )


def _days(days: Sequence[date]) -> str:
    """Named one by one, or from the first to the last."""
    known = sorted(set(days))
    return ", ".join(map(str, known)) if len(known) <= _NAMED else f"{known[0]} – {known[-1]}"


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
