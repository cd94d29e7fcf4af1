"""What `check` and `run` print for a person: pure functions from records to text.

Reads well in 80 columns, without colour and without Unicode; every outcome is a word.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Final

from pipeline.records import (
    OUTSIDE,
    Change,
    CheckReport,
    CheckResult,
    Commonality,
    DaySummary,
    RuleResult,
    Sample,
    Verdict,
    VolumeFinding,
)
from pipeline.wording import about, percent, share, visible, won
from pipeline.words import Words
from scheduler.arguments import day_of_file
from scheduler.output import Align, Look, Role, columns, seconds, wide

#: Mark, mark in ASCII and colour that go with a word.
_MARKS: Final[dict[str, tuple[str, str, Role]]] = {
    "PASS": ("✓", "+", "good"),
    "FAIL": ("✗", "x", "bad"),
    "FAIL (warning)": ("!", "!", "warn"),
    "INCONCLUSIVE": ("!", "!", "warn"),
    "not applicable": ("\N{EN DASH}", "-", "faint"),
}
_ROLES: Final[dict[Verdict, Role]] = {Verdict.PASS: "good", Verdict.FAIL: "bad", Verdict.INCONCLUSIVE: "warn"}
#: The terminal speaks English.
_ENGLISH: Final = Words("en")
_MOST_IN_COMMON: Final = 2
_CHECK_ALIGNS: Final[tuple[Align, ...]] = ("<", "<", ">", ">")


def checked(
    report: CheckReport,
    *,
    file: str,
    day: date,
    engine: str,
    took: float,
    page: Path | None,
    failed_rows: Path | None,
    samples: int,
    look: Look,
) -> str:
    """Everything `daygate check` says about one file; the last line is verdict, counts, seconds.

    `file` is the name as it was given (hostile text), `failed_rows` where all failing lines were
    written, `samples` the most failing lines to show per rule, `took` seconds.
    """
    title = look.dot.join((visible(file), day.isoformat(), engine))
    lines = [look.paint(title, "strong"), "", *body(report, samples=samples, look=look)]
    if failed_rows is not None:
        lines.append(f"  all failing lines: {visible(str(failed_rows))}")
    elif report.failing_lines:
        dated = "" if day_of_file(file) == day else f" --date {day}"
        command = f"daygate check {_argument(file)}{dated}"
        lines.append(f"  all failing lines: {command} --failed-rows failing.jsonl")
        if shown := [sample.line for check in report.checks for sample in check.samples]:
            lines.append(f"  one of them in full: {command} --explain {min(shown)}")
    lines += _page(page)
    if lines[-1]:
        lines.append("")
    lines.append(look.paint(report.verdict.value, _ROLES[report.verdict]) + f": {counts(report, took)}")
    return "\n".join(lines)


def counts(report: CheckReport, took: float) -> str:
    """Lines, good and failing ones, seconds."""
    return f"{report.lines:,} lines, {report.good_lines:,} good, {report.failing_lines:,} failing, {seconds(took)}"


def ran(
    summary: DaySummary,
    report: CheckReport | None,
    *,
    page: Path | None,
    unchanged: bool,
    timings: Mapping[str, float],
    took: float,
    samples: int,
    look: Look,
) -> str:
    """Everything `daygate run` says about one day; the last line is verdict, day, counts, seconds.

    `timings` are seconds per step in the order they ran; the ledger's own come back in no order.
    """
    title = look.dot.join((f"day {summary.day}", f"run {visible(summary.run_id)}", summary.engine))
    lines = [look.paint(title, "strong"), ""]
    if report is not None:
        lines += body(report, samples=samples, look=look)
    if unchanged:
        lines.append("  Published before from the same delivery and contract; nothing was changed.")
    lines += _figures(summary, timings, look)
    if summary.quarantined:
        lines.append(f"  failing lines: daygate quarantine show {summary.day}")
    lines += _page(page)
    if lines[-1]:
        lines.append("")
    return "\n".join([*lines, last_line(summary, took=took, look=look)])


def tried(report: CheckReport, *, day: date, took: float, samples: int, look: Look) -> str:
    """What a dry run found; the last line is the verdict, what would happen, counts, seconds."""
    would = "would be published" if report.verdict is Verdict.PASS else "would stay shut"
    word = look.paint(report.verdict.value, _ROLES[report.verdict])
    last = f"{word} {day}: {would}, {counts(report, took)}; nothing was written"
    return "\n".join([*body(report, samples=samples, look=look), last])


def last_line(summary: DaySummary, *, took: float, look: Look) -> str:
    """Verdict, day, what became of it, counts, seconds; for a run that ended without a verdict, its status."""
    word = summary.verdict.value if summary.verdict else summary.status.upper()
    role: Role = _ROLES[summary.verdict] if summary.verdict else "bad"
    return look.paint(word, role) + (
        f" {summary.day}: {visible(summary.outcome)}, {summary.lines:,} lines, {summary.loaded:,} loaded, "
        f"{summary.quarantined:,} quarantined, {seconds(took)}"
    )


def word_of(check: CheckResult) -> str:
    """The outcome of one check as people read it."""
    if check.verdict is Verdict.PASS and check.evaluated_rows == 0:
        return "not applicable"
    if check.verdict is Verdict.FAIL and check.severity == "warning":
        return "FAIL (warning)"
    return check.verdict.value


def body(report: CheckReport, *, samples: int, look: Look) -> list[str]:
    """The checks as aligned lines, what could not be judged or is unusual, then each failing check in detail."""
    lines = [*_overview(report, look), ""]
    if report.problems:
        lines += ["Could not be judged:", *(f"  {visible(problem)}" for problem in report.problems), ""]
    if report.findings.volume:
        lines += [*_volume(report.findings.volume, look), ""]
    failing = [check for check in report.checks if check.verdict is not Verdict.PASS]
    for check in sorted(failing, key=_urgency):
        found = next((one for one in report.findings.changes if one.check_id == check.id), None)
        lines += [*detail(check, samples=samples, look=look, change=found), ""]
    return lines


def _volume(found: Sequence[VolumeFinding], look: Look) -> Iterator[str]:
    """As alerts say it."""
    from pipeline.alert_text import unusual  # a check of a file has no use for it

    for one in found:
        yield from wrap(unusual(asdict(one), _ENGLISH), look.width, subsequent_indent="  ")


def _urgency(check: CheckResult) -> tuple[bool, bool, float]:
    """Sorts what blocks before what warns, what could not be judged first, then the lowest rate."""
    return (check.severity == "warning", check.verdict is Verdict.FAIL, check.pass_rate or 0.0)


def _overview(report: CheckReport, look: Look) -> Iterator[str]:
    table = columns([_row(check) for check in report.told], _CHECK_ALIGNS, indent=4)
    longest = max((wide(line) for line in table), default=0)
    for check, line in zip(report.told, table, strict=True):
        mark, ascii_mark, role = _MARKS[word_of(check)]
        painted = look.paint(mark if look.unicode else ascii_mark, role)
        worst = look.fit(visible(check.worst_rule.id), look.width - longest - 2) if check.worst_rule else ""
        yield f"  {painted} {line[4:]}" + (" " * (longest - wide(line)) + "  " + worst if worst else "")


def _row(check: CheckResult) -> tuple[str, ...]:
    counts = f"{check.failed_rows:,}/{check.evaluated_rows:,}" if check.evaluated_rows else ""
    return (
        visible(check.id),
        word_of(check),
        percent(check.evaluated_rows - check.failed_rows, check.evaluated_rows),
        counts,
    )


def detail(check: CheckResult, *, samples: int, look: Look, change: Change | None = None) -> Iterator[str]:
    """One check in words: what is wrong with it, what its failing lines have in common, then its broken rules.

    The rules stand worst first, each with sample lines.
    """
    mark, ascii_mark, role = _MARKS[word_of(check)]
    head = f"{mark if look.unicode else ascii_mark} {visible(check.id)}: "
    yield look.paint(head, role) + (visible(check.error) if check.error else _why(check))
    # That a value is a wrong one the rule below says itself.
    common = [one for one in change.commonalities if one.value != OUTSIDE] if change is not None else []
    if common:
        said = "in common: " + ", ".join(map(_common, common[:_MOST_IN_COMMON]))
        yield from wrap(said, look.width, initial_indent=" " * 4, subsequent_indent=" " * 6, break_on_hyphens=False)
    rules = sorted((r for r in check.rules if r.failed_rows), key=lambda r: r.failed_rows, reverse=True)
    rows = [
        (
            visible(r.id),
            f"{r.failed_rows:,}/{r.evaluated_rows:,} failing",
            percent(r.evaluated_rows - r.failed_rows, r.evaluated_rows) + " good",
        )
        for r in rules
    ]
    for rule, line in zip(rules, columns(rows, ("<", ">", ">"), indent=4), strict=True):
        yield line
        yield from _evidence([s for s in check.samples if s.rule == rule.id], rule, samples=samples, look=look)


def _common(one: Commonality) -> str:
    """As alerts say it: the value, its share among the failing lines, and among all lines."""
    dimension = _ENGLISH.known(f"dimension.{one.dimension}", one.dimension)
    shares = f"({about(one.failing_share)} of them, {about(one.overall_share)} of all lines)"
    return visible(f"{dimension} {one.value} {shares}")


def _evidence(found: Sequence[Sample], rule: RuleResult, *, samples: int, look: Look) -> Iterator[str]:
    """Each reason once, under it the lines that have it."""
    shown = found[:samples]
    more = rule.failed_rows - len(shown)
    for reason, group in groupby(sorted(shown, key=lambda s: s.reason), key=lambda s: s.reason):
        yield from _wrapped(visible(reason, limit=1000), look)
        yield from _wrapped("line " + ", ".join(str(s.line) for s in group), look)
    if shown and more:
        yield f"      {look.more} and {more:,} more"


def _wrapped(text: str, look: Look) -> list[str]:
    return wrap(text, look.width, initial_indent=" " * 6, subsequent_indent=" " * 8, break_on_hyphens=False)


def _why(check: CheckResult) -> str:
    good = check.evaluated_rows - check.failed_rows
    rate = f"{percent(good, check.evaluated_rows)} of {check.evaluated_rows:,} lines are good"
    if good >= Fraction(str(check.threshold)) * check.evaluated_rows:
        return f"{rate}, but one rule fails too often"
    return f"{rate}, {share(check.threshold)} are needed"


def _figures(summary: DaySummary, timings: Mapping[str, float], look: Look) -> Iterator[str]:
    if summary.loaded:
        figures = (
            f"{summary.unique_users:,} users",
            f"{summary.sessions:,} sessions",
            f"{summary.purchases:,} purchases",
            f"{won(summary.revenue)} won",
        )
        yield "  published: " + look.dot.join(figures)
    if timings:
        steps = "steps: " + look.dot.join(f"{visible(name)} {seconds(took)}" for name, took in timings.items())
        yield from wrap(steps, look.width, initial_indent="  ", subsequent_indent=" " * 9)


def _page(page: Path | None) -> list[str]:
    return [f"  page: {visible(str(page))}"] if page is not None else []


def _argument(file: str) -> str:
    """The file as it can be typed again; a placeholder when its name holds what a terminal must not see."""
    return "FILE" if visible(file) != file else shlex.quote(file)
