"""What the quarantine commands print: pure functions from records to text, 80 columns, every value inert."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Final

from pipeline.records import DaySummary
from pipeline.wording import visible
from scheduler.output import Align, Look, columns

if TYPE_CHECKING:
    from pipeline.quarantine import QuarantinedLine, Reason
    from pipeline.replay import Recovery
    from scheduler.repair import QuarantinedDay, Shown

_HEAD: Final = ("day", "outcome", "check", "rule", "lines")
_ALIGNS: Final[tuple[Align, ...]] = ("<", "<", "<", "<", ">")
#: Cells of a rule's name, so that a row fits 80.
_RULE: Final = 28
#: Characters of a line that are shown.
_RAW: Final = 400


def days(found: Sequence[QuarantinedDay], *, back: int, look: Look) -> str:
    """Each day with its lines by check and rule, worst first; a line may break several rules."""
    if not found:
        return f"No lines in quarantine in the last {back} days."
    rows: list[tuple[str, ...]] = [_HEAD]
    for one in found:
        rows.append((str(one.run.day), _outcome(one.run), "all", "", f"{one.run.quarantined:,}"))
        rows += [("", "", visible(c.check), look.fit(visible(c.rule), _RULE), f"{c.lines:,}") for c in one.counts]
    lines = columns(rows, _ALIGNS, indent=0)
    return "\n".join([look.paint(lines[0], "faint"), *lines[1:]])


def lines(shown: Shown, look: Look, *, archived: Path | None = None) -> str:
    """Some lines of a day with their reasons and their bytes as text that cannot act.

    `archived` is the delivery they came in, if it is still there: in it a line can be explained.
    """
    run = shown.run
    title = look.dot.join((f"day {run.day}", f"run {visible(run.run_id)}", _outcome(run)))
    text = [look.paint(title, "strong")]
    for one in shown.lines:
        text += ["", look.paint(f"line {one.line}", "strong"), *_reasons(one.reasons, look), *_raw(one, look)]
    text.append("")
    if archived is not None and shown.lines:
        file = shlex.quote(str(archived))
        text.append(f"  one in full: daygate check {file} --date {run.day} --explain {shown.lines[0].line}")
    text.append(f"{len(shown.lines):,} of {shown.found:,} lines shown")
    if shown.found > len(shown.lines):
        text.append(f"  all: daygate quarantine export {run.day} --output quarantine_{run.day:%Y%m%d}.jsonl")
    return "\n".join(text)


def recovered(recovery: Recovery, *, day: date, dry: bool, look: Look) -> str:
    """How many lines a replay recovered, and why the others did not."""
    head = f"recovered {recovery.recovered:,} of {recovery.quarantined:,} quarantined lines"
    text = [look.paint(head, "strong")]
    left = recovery.quarantined - recovery.recovered
    for one in recovery.still:
        text += [f"  line {one.line} still fails", *_reasons(one.reasons, look, indent=4)]
    if left > len(recovery.still):
        more = "" if dry else f": daygate quarantine show {day}"
        text.append(f"  {look.more} and {left - len(recovery.still):,} more{more}")
    if recovery.newly:
        text.append(f"  {recovery.newly:,} lines that were good fail now")
    return "\n".join(text)


def _outcome(run: DaySummary) -> str:
    return visible(f"{run.verdict} {run.outcome}")


def _reasons(reasons: Sequence[Reason], look: Look, *, indent: int = 2) -> Iterator[str]:
    for one in reasons:
        said = visible(f"{one.check} {one.rule}: {one.reason}", limit=_RAW)
        yield from _wrapped(said, look, indent=indent)


def _raw(one: QuarantinedLine, look: Look) -> list[str]:
    if one.head is None:
        return [f"  {one.length:,} bytes, too long to show"]
    if not one.head:
        return ["  (nothing)"]
    text = one.head.decode("utf-8", "backslashreplace")
    cut = text if len(text) > _RAW or one.length == len(one.head) else text + "…"
    return _wrapped(visible(cut, limit=_RAW), look, indent=2)


def _wrapped(text: str, look: Look, *, indent: int) -> list[str]:
    return wrap(
        text, look.width, initial_indent=" " * indent, subsequent_indent=" " * (indent + 2), break_on_hyphens=False
    )
