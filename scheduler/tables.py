"""Tables of days, of rules and of the doctor's findings: pure functions from records to text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from pipeline.records import DaySummary, Severity
from pipeline.wording import share, visible
from scheduler.output import Align, Look, Role, columns, pad, wide

if TYPE_CHECKING:
    from expectations_custom.checks import Check
    from expectations_custom.rule import Rule
    from scheduler.doctor import Finding

#: A run's id holds its attempt.
_DAY_HEAD: Final = ("day", "outcome", "lines", "loaded", "quarantined", "run")
_DAY_ALIGNS: Final[tuple[Align, ...]] = ("<", "<", ">", ">", ">", "<")
_LONGEST_PATH: Final = 1000
#: Cells a sentence gets at least, however long the name before it.
_NARROWEST: Final = 30
_MISSING: Final = "missing"


def status(history: Iterable[DaySummary], *, last: date, days: int, look: Look) -> str:
    """The days up to `last`, newest first; days without a run stand together under the newest of them.

    `history` may be in any order; of a day's runs the newest attempt is shown. `days` is how many days
    to look back, `last` included.
    """
    newest: dict[date, DaySummary] = {}
    for summary in sorted(history, key=lambda s: s.attempt):
        newest[summary.day] = summary
    first = last - timedelta(days=days - 1)
    wanted = [last - timedelta(days=n) for n in range(days)]
    wanted = sorted((day for day in newest if day > last), reverse=True) + wanted
    if not any(day in newest for day in wanted):
        return f"No runs from {first} to {last}.\n  try: daygate run"
    rows: list[tuple[str, ...]] = [_DAY_HEAD]
    for known, group in groupby(wanted, key=newest.get):
        rows.append(_day(known) if known else _missing(list(group)))
    lines = columns(rows, _DAY_ALIGNS, indent=0)
    good = sum(newest[day].status == "published" for day in wanted if day in newest)
    return "\n".join([look.paint(lines[0], "faint"), *lines[1:], "", f"{good} of {len(wanted)} days published"])


def days(summaries: Sequence[DaySummary], look: Look) -> str:
    """The given runs in their order, as a table."""
    lines = columns([_DAY_HEAD, *map(_day, summaries)], _DAY_ALIGNS, indent=0)
    return "\n".join([look.paint(lines[0], "faint"), *lines[1:]])


def _day(summary: DaySummary) -> tuple[str, ...]:
    word = f"{summary.verdict} {summary.outcome}" if summary.verdict else summary.status
    return (
        summary.day.isoformat(),
        visible(word),
        f"{summary.lines:,}",
        f"{summary.loaded:,}",
        f"{summary.quarantined:,}",
        visible(summary.run_id),
    )


def _missing(group: list[date]) -> tuple[str, ...]:
    word = _MISSING if len(group) == 1 else f"{len(group)} days {_MISSING}"
    return (group[0].isoformat(), word, "", "", "", "")


def rules(
    table: Iterable[tuple[Check, Sequence[Rule]]],
    *,
    source: str,
    thresholds: Mapping[str, float],
    severities: Mapping[str, Severity],
    floor: float,
    floor_lines: int,
    floors: Mapping[str, float] = MappingProxyType({}),
    look: Look,
) -> str:
    """Every check with its threshold, and under it each rule with its place in the contract.

    `source` is the contract's path; thresholds and floors are shares, `floors` of single rules by check/rule.
    """
    text = [
        f"Contract: {visible(source, limit=_LONGEST_PATH)}",
        "The places below are JSON pointers into it.",
        f"Every single rule also needs {share(floor)} once {floor_lines} lines fail it.",
    ]
    for check, members in table:
        head = f"{visible(check.id)} ({check.type}, {severities[check.id]})"
        text += ["", look.paint(head, "strong") + f": {share(thresholds[check.id])} of lines must be good."]
        text += textwrap.wrap(check.says, look.width - 2, initial_indent="  ", subsequent_indent="  ")
        if not members:
            text.append("    no rules in this contract: not applicable")
        width = max((wide(visible(rule.id)) for rule in members), default=0)
        for rule in members:
            floor_of_its_own = floors.get(f"{check.id}/{rule.id}")
            needs = "" if floor_of_its_own is None else f" (needs {share(floor_of_its_own)})"
            text += _hanging(visible(rule.id), f"{visible(rule.says)} [{visible(rule.source)}]{needs}", width, look)
    return "\n".join(text)


def _hanging(name: str, says: str, width: int, look: Look) -> list[str]:
    """The name once, the sentence beside it in as many lines as it takes."""
    indent = 4 + width + 2
    return textwrap.wrap(
        says,
        max(look.width, indent + _NARROWEST),
        initial_indent="    " + pad(name, width + 2),
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def findings(found: Sequence[Finding], look: Look) -> str:
    """The doctor's findings as aligned lines, each with what to do when it is bad."""
    words = [("ok" if f.ok else "PROBLEM", visible(f.name), visible(f.detail)) for f in found]
    lines = []
    for finding, line in zip(found, columns(words, ("<", "<", "<")), strict=True):
        role: Role = "good" if finding.ok else "bad"
        word = "ok" if finding.ok else "PROBLEM"
        lines.append(line.replace(word, look.paint(word, role), 1))
        if finding.hint and not finding.ok:
            lines.append(f"    try: {visible(finding.hint)}")
    bad = sum(not f.ok for f in found)
    lines += ["", "Everything is in order." if not bad else f"{bad} of {len(found)} need attention."]
    return "\n".join(lines)
