"""Releases: a person publishes the good lines of a day that the gate blocked with FAIL.

What may be released is decided twice: before any work from the ledger, and once more from what the gate says of
the same delivery now. The decision is a `Release`; without one `publish.publish` takes nothing but a PASS.
"""

from __future__ import annotations

import os
import pwd
from datetime import date
from typing import Final

from pipeline import ledger
from pipeline.database import Connection, translated
from pipeline.errors import SettingsError, StepFailed
from pipeline.records import CheckReport, DaySummary, Release, Verdict

_LONGEST_NAME: Final = 100
_LONGEST_REASON: Final = 1000


def require_words(day: date, *, by: str | None, reason: str) -> None:
    """Refuse what would tell nobody anything.

    Raises:
        SettingsError: no reason, or one (or a name) that is too long.
    """
    if not reason.strip():
        raise SettingsError("A release needs a reason.", hint=f'daygate release {day} --reason "why"')
    if len(reason) > _LONGEST_REASON or len(by or "") > _LONGEST_NAME:
        raise SettingsError(f"A reason has at most {_LONGEST_REASON} characters, a name {_LONGEST_NAME}.")


def decision(blocked: DaySummary, *, by: str | None, reason: str) -> Release:
    """The decision to release a blocked run.

    Args:
        blocked: as `releasable` found it.
        by: name of who decides; the login alone when None.
        reason: why, as `require_words` took it.
    """
    name = (by or "").strip()
    return Release(run_id=blocked.run_id, by=f"{name} ({login()})" if name else login(), reason=reason.strip())


def login() -> str:
    """The login of the operating system, which no variable can change."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user without an entry
        return f"uid {os.getuid()}"


def releasable(connection: Connection, day: date) -> DaySummary:
    """The blocked run of the day that a person may override.

    Raises:
        SettingsError: the day is published, was never judged, was judged other than FAIL, or has no good line.
    """
    published = ledger.published(connection, day)
    if published is not None:
        how = "published already" if published.released_by is None else "released already"
        raise SettingsError(f"{day} is {how}, by run {published.run_id}.", hint=f"daygate quarantine show {day}")
    blocked = ledger.judged(connection, day)
    if blocked is None:
        raise SettingsError(f"{day} is not blocked: the gate never judged it.", hint=f"daygate run --date {day}")
    if blocked.verdict is not Verdict.FAIL:
        raise SettingsError(
            f"{day} is {blocked.verdict}: what could not be judged cannot be released.",
            hint=f"daygate run --date {day} --force",
        )
    if blocked.quarantined >= blocked.lines:
        raise SettingsError(
            f"{day} has no good line to release.", hint=f"daygate run --date {day} --file PATH, with a better delivery"
        )
    return blocked


def require_same_answer(connection: Connection, release: Release, report: CheckReport) -> None:
    """Refuse a gate that answers otherwise than when the day was blocked: the decision was about that answer.

    Raises:
        StepFailed: another verdict, other failing checks or other counts.
    """
    blocked = ledger.by_id(connection, release.run_id)
    if blocked is None:
        raise StepFailed(f"Run {release.run_id} is not in the ledger.", step="check")
    if report.verdict is not Verdict.FAIL:
        raise StepFailed(
            f"The delivery is {report.verdict} now and was FAIL in run {release.run_id}; nothing was released.",
            step="check",
            hint=f"daygate run --date {blocked.day} --file PATH, with the same delivery",
        )
    now = {check.id for check in report.checks if check.verdict is Verdict.FAIL and check.severity == "critical"}
    if (now, report.lines, report.failing_lines) != (
        _failed_checks(connection, release.run_id),
        blocked.lines,
        blocked.quarantined,
    ):
        raise StepFailed(
            f"The delivery fails otherwise now than in run {release.run_id}; nothing was released.",
            step="check",
            hint=f"daygate run --date {blocked.day} --file PATH, read its answer, then release the day",
        )


def _failed_checks(connection: Connection, run_id: str) -> set[str]:
    with translated("reading the quality log"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT check_id FROM quality_check_log WHERE run_id = %s AND verdict = 'FAIL' AND severity = 'critical'",
            (run_id,),
        )
        return {check for (check,) in cursor.fetchall()}
