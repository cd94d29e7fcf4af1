"""A check as one line of a summary, made of its record: alike on the page of a run and on the page of its day."""

from __future__ import annotations

from dataclasses import dataclass

from gx.look import named
from pipeline.records import CheckResult, Verdict
from pipeline.wording import percent, share
from pipeline.words import FAILED, NOT_APPLICABLE, NOT_JUDGED, PASSED, WARNED, State


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckLine:
    """A check as one line of the summary."""

    id: str
    title: str
    #: CSS class and word.
    state: State
    #: Share of good lines as text; empty when there were none to look at.
    rate: str
    needed: str
    failed: int
    evaluated: int
    worst: str | None
    worst_failed: int
    #: Failing share over the share that is allowed; None when nothing was looked at.
    allowance_used: float | None
    #: Where the check is told in full; None when nowhere.
    href: str | None

    @property
    def judged(self) -> bool:
        """Whether its figures mean anything."""
        return self.state != NOT_JUDGED

    @property
    def good(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.state in (PASSED, NOT_APPLICABLE)


def line(check: CheckResult, *, href: str | None) -> CheckLine:
    """The line of a check.

    Args:
        check: one of the seven, or an expectation that was added.
        href: where it is told in full.
    """
    state = state_of(check)
    worst = check.worst_rule
    failed, evaluated = check.failed_rows, check.evaluated_rows
    return CheckLine(
        id=check.id,
        title=named(check.id),
        state=state,
        rate="" if state == NOT_JUDGED else percent(evaluated - failed, evaluated),
        needed=share(check.threshold),
        failed=failed,
        evaluated=evaluated,
        worst=worst.id if worst else None,
        worst_failed=worst.failed_rows if worst else 0,
        allowance_used=_allowance(failed, evaluated, check.threshold),
        href=href,
    )


def state_of(check: CheckResult) -> State:
    """CSS class and word of what a check found."""
    if check.verdict is Verdict.INCONCLUSIVE:
        return NOT_JUDGED
    if check.verdict is Verdict.FAIL:
        return WARNED if check.severity == "warning" else FAILED
    return NOT_APPLICABLE if check.evaluated_rows == 0 else PASSED


def _allowance(failed: int, evaluated: int, threshold: float) -> float | None:
    if evaluated == 0:
        return None
    allowed = (1 - threshold) * evaluated
    return failed / allowed if allowed else 2.0 * bool(failed)
