"""The verdict, in pure code with no Great Expectations object in sight. Fail closed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.records import Severity, Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """One expectation's answer, reduced to what the verdict needs.

    `check` is one of the seven ids, or None for a guard or an expectation that a user added.
    """

    name: str
    check: str | None
    severity: Severity
    #: None when it could not be evaluated.
    success: bool | None
    #: Lines in the batch it was evaluated over; None when it does not say.
    lines: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The verdict and, when it is INCONCLUSIVE, why."""

    verdict: Verdict
    problems: tuple[str, ...] = ()


def decide(judged: Sequence[Judged], *, expected: Sequence[str], staged_lines: int) -> Decision:
    """Decide a day.

    PASS only if every expected check came back exactly once, each evaluated over all staged lines
    (at least one), nothing raised, and everything critical succeeded. What could not be judged makes
    the day INCONCLUSIVE whatever else failed: its figures cannot be trusted to be complete.
    """
    problems = tuple(_problems(judged, expected=expected, staged_lines=staged_lines))
    if problems:
        return Decision(verdict=Verdict.INCONCLUSIVE, problems=problems)
    failed = any(answer.success is False and answer.severity == "critical" for answer in judged)
    return Decision(verdict=Verdict.FAIL if failed else Verdict.PASS)


def _problems(judged: Sequence[Judged], *, expected: Sequence[str], staged_lines: int) -> list[str]:
    problems = []
    if staged_lines < 1:
        problems.append("the delivery has no lines")
    if not expected:
        problems.append("no check is expected")
    counted = Counter(answer.check for answer in judged if answer.check is not None)
    problems += [f"{check} came back {counted[check]} times, not once" for check in expected if counted[check] != 1]
    problems += [f"{check} came back but was not asked for" for check in sorted(counted.keys() - set(expected))]
    for answer in judged:
        if answer.success is None:
            problems.append(f"{answer.name} could not be judged")
        elif answer.check is not None and answer.lines != staged_lines:
            problems.append(f"{answer.name} looked at {answer.lines} of {staged_lines} lines")
    return problems
