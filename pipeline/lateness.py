"""Alerts about days that are not where they should be by now; one message however often it is looked.

Facts of the kind `late`: reason (missing, unpublished or cut), days (ISO, oldest first), by (HH:MM, Asia/Seoul),
limit (days; only of cut).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, time
from typing import Any, Final

from pipeline.records import Alert
from pipeline.words import Words

#: Days named one by one; more are told as a range.
_NAMED: Final = 5


def missing(late: Sequence[date], *, by: time) -> Alert:
    """No file of these days has landed by their deadline."""
    return _late("missing", late, newest=late[-1], by=f"{by:%H:%M}")


def unpublished(late: Sequence[date], *, by: time) -> Alert:
    """These days are not published by the time promised."""
    return _late("unpublished", late, newest=late[-1], by=f"{by:%H:%M}")


def cut(left_out: Sequence[date], *, limit: int) -> Alert:
    """These days lie further back than the service catches up."""
    # Named for the oldest day: the range moves on every day, and the message need not come every day.
    return _late("cut", left_out, newest=left_out[0], limit=limit)


def _late(reason: str, late: Sequence[date], *, newest: date, **facts: object) -> Alert:
    return Alert(
        kind="late",
        day=newest,
        dedupe_key=f"late:{reason}:{newest}",
        facts={"reason": reason, "days": [day.isoformat() for day in late], **facts},
    )


def worded(alert: Alert, say: Words) -> tuple[str, list[str]]:
    """Header and paragraphs; everything in them is a word, a day or a time of ours."""
    facts: Mapping[str, Any] = alert.facts
    late: Sequence[str] = facts["days"]
    named = ", ".join(late) if len(late) <= _NAMED else f"{late[0]} – {late[-1]} ({len(late)})"
    values = {name: facts.get(name) for name in ("by", "limit")}
    said = say(f"late.{facts['reason']}", days=named, first=late[0], last=late[-1], **values)
    return say("alert.late_header", day=alert.day), [said]
