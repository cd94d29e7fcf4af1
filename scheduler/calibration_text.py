"""What `daygate calibrate` prints for a person: pure functions from a proposal to text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator
from decimal import ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Final

from pipeline.calibrate import FEW_DAYS, FEWEST_DAYS, Advice, Blocked, Proposal, Rate
from pipeline.settings_file import Changes, section
from pipeline.wording import share, visible
from scheduler.output import Align, Look, columns

_HEAD: Final = ("good lines, %", "usual", "spread", "worst day", "blocked", "proposal")
_ALIGNS: Final[tuple[Align, ...]] = ("<", ">", ">", ">", ">", "<")
#: Unusual days that are named one by one.
_NAMED: Final = 5


def proposed(proposal: Proposal, *, source: str, floor: float, look: Look) -> str:
    """The table, the reasons, what would have been blocked, and the section for `daygate.toml`.

    `source` says where the days came from, `floor` is the share every rule needs.
    """
    first, last, count = proposal.days[0], proposal.days[-1], len(proposal.days)
    title = look.dot.join((f"calibrate {_days(count)}, {first} to {last}", source))
    table = columns([_HEAD, *map(_row, proposal.advice)], _ALIGNS, indent=0)
    lines = [look.paint(title, "strong"), "", look.paint(table[0], "faint"), *table[1:], ""]
    lines += _wrapped(_legend(proposal, floor), look)
    for note in _notes(proposal):
        lines += ["", *_wrapped(note, look)]
    lines += ["", *_told("With the defaults", proposal.blocked_by_default, count, look)]
    lines += _told("With the proposal", proposal.blocked_by_proposal, count, look)
    lines.append("")
    text = section(changes(proposal))
    lines += (
        [look.paint("# daygate.toml", "faint"), text] if text else ["The defaults fit; daygate.toml needs nothing."]
    )
    return "\n".join(lines)


def ending(proposal: Proposal, *, written: Path | None) -> str:
    """What was written, or how to have it written; nothing when there is nothing to write."""
    if written is not None:
        return f"\nWritten to {visible(str(written), limit=1000)}; daygate rules shows what counts now."
    if not proposal.changes:
        return ""
    if proposal.provisional:
        return f"\nToo few days to be written; with {FEWEST_DAYS} or more: the same command with --write"
    return "\nTo write it into daygate.toml: the same command with --write"


def changes(proposal: Proposal) -> Changes:
    """The proposal's changes, each with its evidence as the comment beside it."""
    evidence = {one.check if one.rule is None else f"{one.check}/{one.rule}": one for one in proposal.advice}
    return {
        table: {key: (value, _evidence(evidence[key]) if table != "severities" else "") for key, value in found.items()}
        for table, found in proposal.changes.items()
    }


def _evidence(one: Advice) -> str:
    return f"usual {_percent(one.usual.rate)} %, worst usual day {_percent(one.usual.lowest)} %"


def _percent(value: float) -> str:
    """A share in percent with two decimals, rounded down."""
    return str((Decimal(repr(value)) * 100).quantize(Decimal("0.01"), ROUND_FLOOR))


def _row(one: Advice) -> tuple[str, ...]:
    worst = one.usual.worst
    word = share(one.proposed) if one.rule is None else f"floor {share(one.proposed)}"
    if one.kind == "contract":
        word = "contract"
    elif one.rule is None and one.severity == "warning":
        word += " warning"
    return (
        visible(one.check) if one.rule is None else f"  {visible(one.rule)}",
        _percent(one.usual.rate),
        f"{100 * one.usual.spread:.2f}",
        f"{_percent(worst.share)} {worst.day}",
        f"{one.blocked_by_default}->{one.blocked_by_proposal}",
        word,
    )


def _legend(proposal: Proposal, floor: float) -> str:
    text = (
        "usual: the day in the middle. blocked: days shut by this alone, with the defaults and with the proposal. "
        f"Rules stand under their check when they fell below {share(floor)} on some day."
    )
    if proposal.unmeasured:
        text += f" No lines to judge: {', '.join(proposal.unmeasured)}; they stay as they are."
    return text


def _notes(proposal: Proposal) -> Iterator[str]:
    count = len(proposal.days)
    if proposal.provisional:
        yield f"{count} of at least {FEWEST_DAYS} days: a bad day cannot be told from a usual one. Read, do not use."
    elif count < FEW_DAYS:
        yield f"{count} days are few: the proposal stays close to them. Calibrate again after {FEW_DAYS} days."
    for one in proposal.advice:
        name = visible(one.check if one.rule is None else f"{one.check}/{one.rule}")
        if words := [*_why(one), *_set_aside(one)]:
            yield f"{name}: " + " ".join(words)


def _why(one: Advice) -> Iterator[str]:
    failing = f"{100 * (1 - one.usual.rate):.1f} %"
    if one.kind == "contract":
        yield (
            f"on a usual day {failing} of its lines fail, so the contract does not describe this shop. No threshold is "
            "proposed: correct the place in the schema that daygate rules names, then calibrate again."
        )
    elif one.rule is None and one.severity == "warning":
        yield (
            f"on a usual day {failing} of its lines fail. As a warning it reports and flags, but blocks nothing and "
            "quarantines nothing."
        )
        if one.kind == "keep":
            yield "Usual days would pass without: take it out of severities to let it block."
    elif one.kind == "lower" and one.severity == "critical":
        yield (
            f"on a usual day {failing} of its lines fail; they go to quarantine each day. If they are right in your "
            "shop, change the contract instead (daygate rules names the place)."
        )


def _set_aside(one: Advice) -> Iterator[str]:
    unusual = one.usual.unusual
    # A rule that keeps the floor is told of by the day's check.
    if unusual and (one.rule is None or one.kind != "keep"):
        more = f" and {len(unusual) - _NAMED} more" if len(unusual) > _NAMED else ""
        yield f"Set aside as unusual: {', '.join(map(_day, unusual[:_NAMED]))}{more}."


def _days(count: int) -> str:
    return f"{count} day" + ("" if count == 1 else "s")


def _day(rate: Rate) -> str:
    return f"{rate.day:%a %Y-%m-%d} ({_percent(rate.share)} %)"


def _told(policy: str, blocked: Iterable[Blocked], count: int, look: Look) -> list[str]:
    found = list(blocked)
    lines = [f"{policy}: {len(found)} of {_days(count)} blocked" + (":" if found else ".")]
    for one in found[:_NAMED]:
        lines += textwrap.wrap(
            f"{one.day:%a %Y-%m-%d}  {', '.join(map(visible, one.checks))}",
            look.width,
            initial_indent="  ",
            subsequent_indent=" " * 18,
        )
    return [*lines, f"  {look.more} and {len(found) - _NAMED} more"] if len(found) > _NAMED else lines


def _wrapped(text: str, look: Look) -> list[str]:
    return textwrap.wrap(text, look.width, break_on_hyphens=False)
