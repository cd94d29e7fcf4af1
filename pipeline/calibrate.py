"""Calibration: what past deliveries measured -> thresholds, severities and rule floors that fit the shop.

Pure: judged days go in, a proposal with its evidence comes out. A default stays wherever the usual days
pass with it. What is usual is the upper median of the days' rates and their median distance from it, so
fewer than half of the days, however bad, cannot move a proposal; days far below are set aside by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from math import floor, sqrt
from statistics import median_high, median_low
from typing import Any, Final, Literal, TypedDict

from pipeline.check_ids import CHECK_IDS
from pipeline.records import CheckResult, RuleResult, Severity
from pipeline.settings import Settings

#: With fewer, a bad day cannot be told from a usual one, so nothing is written.
FEWEST_DAYS: Final = 3
#: With fewer, the spread is hardly known.
FEW_DAYS: Final = 7
#: Checks whose failing lines can be loaded as they are. The others find lines that have no identity, no place in
#: time or no meaning: those stay critical.
_LOADABLE: Final = ("funnel_order", "order_total", "platform_device")
#: A check that usually fails on more than this share of its lines is bad by nature, not by accident.
_BY_NATURE: Final = 0.95
#: Where less than this share is usually good, the contract does not fit, and no threshold should hide it.
_CONTRACT: Final = 0.50
#: Standard deviations: from the usual rate down to the threshold, from the worst usual day, and to what is unusual.
_MARGIN, _BELOW_WORST, _UNUSUAL = 3, 1, 5
#: Makes a median distance comparable to a standard deviation.
_NORMAL: Final = 1.4826
#: Days differ at least by this share, however alike the measured ones are.
_LEAST_SCALE: Final = 0.001
#: Proposals are rounded down: to 0.1 % near the top, to 1 % below.
_FINE_FROM: Final = 0.95

#: keep: the usual days pass as it is. lower: a lower rate is proposed. contract: so bad on usual days that the
#: contract must be looked at first; nothing is proposed.
Kind = Literal["keep", "lower", "contract"]


class _Fitting(TypedDict):
    """The part of an Advice that follows from the rates alone."""

    kind: Kind
    usual: Usual
    default: float
    proposed: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One judged delivery."""

    day: date
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """One check or rule on one day."""

    day: date
    evaluated: int
    failed: int

    @property
    def share(self) -> float:
        """Of good lines."""
        return 1 - self.failed / self.evaluated

    def reaches(self, least: float) -> bool:
        """Whether the share of good lines is at least that, by exact counts."""
        return _reach(self.evaluated, self.failed, least)


@dataclass(frozen=True, kw_only=True, slots=True)
class Usual:
    """How a rate behaves over the days; all figures are shares of good lines."""

    #: Days that had lines to look at.
    days: int
    rate: float
    #: Median distance of the days from the usual rate, as a standard deviation.
    spread: float
    worst: Rate
    #: The worst of the days that are not set aside.
    lowest: float
    #: Days far below the usual; they have no influence on the proposal.
    unusual: tuple[Rate, ...]
    #: The larger of the spread and what counting so few lines brings about by itself.
    scale: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """What is proposed for one check, or for one rule (then `proposed` is its floor), and why."""

    check: str
    rule: str | None
    kind: Kind
    usual: Usual
    default: float
    proposed: float
    severity: Severity
    #: Measured days that this check or rule alone blocks, with the defaults and with the proposal.
    blocked_by_default: int = 0
    blocked_by_proposal: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Blocked:
    """A measured day that stays shut, and the checks that shut it."""

    day: date
    checks: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """Everything that is proposed, with what it would have done to the measured days."""

    days: tuple[date, ...]
    #: Checks in their order, each followed by those of its rules that fall below the floor.
    advice: tuple[Advice, ...]
    #: Checks that had no lines to look at on any day.
    unmeasured: tuple[str, ...]
    blocked_by_default: tuple[Blocked, ...]
    blocked_by_proposal: tuple[Blocked, ...]
    #: thresholds, severities, rule_floors -> key -> value: what differs from the defaults or from what is set now.
    changes: dict[str, dict[str, Any]]

    @property
    def provisional(self) -> bool:
        """Too few days to be written down."""
        return len(self.days) < FEWEST_DAYS


def propose(measured: Iterable[Measured], settings: Settings) -> Proposal:
    """Thresholds, severities and rule floors that let the shop's usual days pass.

    Args:
        measured: at least one judged delivery, in any order.
        settings: what is set now. A severity `warning` and a stricter value that fits are kept.
    """
    days = sorted(measured, key=lambda one: one.day)
    default = settings.model_copy(update={"thresholds": {}, "severities": {}, "rule_floors": {}})
    advisor = _Advisor(days, settings, default)
    advice = [one for check in CHECK_IDS for one in advisor.advise(check)]
    measured_checks = {one.check for one in advice}
    changes = _changes(advice, default, settings)
    proposed = settings.model_copy(
        update={table: {**getattr(settings, table), **values} for table, values in changes.items()}
    )
    return Proposal(
        days=tuple(one.day for one in days),
        advice=tuple(
            replace(
                one,
                blocked_by_default=_days_shut_by(one, days, default),
                blocked_by_proposal=_days_shut_by(one, days, proposed),
            )
            for one in advice
        ),
        unmeasured=tuple(check for check in CHECK_IDS if check not in measured_checks),
        blocked_by_default=_blocked(days, default),
        blocked_by_proposal=_blocked(days, proposed),
        changes=changes,
    )


def _usual(rates: Sequence[Rate]) -> Usual:
    """The usual rate of at least one day, robust while fewer than half of the days are bad."""
    shares = [rate.share for rate in rates]
    centre = median_high(shares)
    spread = _NORMAL * median_low([abs(share - centre) for share in shares])
    lines = median_low([rate.evaluated for rate in rates])
    failing = max(1 - centre, 1 / (lines + 2))
    scale = max(spread, sqrt(failing * (1 - failing) / lines), _LEAST_SCALE)
    unusual = tuple(rate for rate in rates if rate.share < centre - _UNUSUAL * scale)
    return Usual(
        days=len(rates),
        rate=centre,
        spread=spread,
        worst=min(rates, key=lambda rate: rate.share),
        lowest=min(rate.share for rate in rates if rate not in unusual),
        unusual=unusual,
        scale=scale,
    )


class _Advisor:
    """Advises on one check after another from the same days."""

    def __init__(self, days: Sequence[Measured], settings: Settings, default: Settings) -> None:
        self.days = days
        self.settings = settings
        self.default = default

    def advise(self, check: str) -> list[Advice]:
        """The check first, then its rules that need attention; nothing when no day had lines for it."""
        found = [
            (one.day, result)
            for one in self.days
            for result in one.checks
            if result.id == check and result.evaluated_rows
        ]
        if not found:
            return []
        rates = [Rate(day=day, evaluated=result.evaluated_rows, failed=result.failed_rows) for day, result in found]
        rules = self.rates_of_rules(found)
        rule_by_nature = any(_usual(r).rate < self.default.rule_floor for r in rules.values())
        by_nature = _usual(rates).rate < _BY_NATURE or rule_by_nature
        set_so = self.settings.severity(check) == "warning"
        severity: Severity = "warning" if set_so or (by_nature and check in _LOADABLE) else "critical"
        proposed = self.fitting(rates, self.default.threshold(check), self.settings.threshold(check), severity)
        first = Advice(check=check, rule=None, severity=severity, **proposed)
        return [first, *(self.advise_rule(check, rule, rates, severity) for rule, rates in rules.items())]

    def rates_of_rules(self, found: Sequence[tuple[date, CheckResult]]) -> dict[str, list[Rate]]:
        """The rules that break the floor on some day, or have one of their own."""
        rates: dict[str, list[Rate]] = {}
        for day, result in found:
            for rule in result.rules:
                if rule.evaluated_rows:
                    rate = Rate(day=day, evaluated=rule.evaluated_rows, failed=rule.failed_rows)
                    rates.setdefault(rule.id, []).append(rate)
        own = self.settings.floors_of(found[0][1].id)
        floor_of_all = self.default.rule_floor
        return {
            rule: of_rule
            for rule, of_rule in rates.items()
            if rule in own or not all(rate.reaches(floor_of_all) for rate in self.counting(of_rule))
        }

    def counting(self, rates: Iterable[Rate]) -> list[Rate]:
        """The days on which a rule has enough failing lines for its floor to count."""
        return [rate for rate in rates if rate.failed >= self.default.rule_floor_lines]

    def advise_rule(self, check: str, rule: str, rates: Sequence[Rate], severity: Severity) -> Advice:
        """The floor of one rule."""
        default = self.default.rule_floor
        now = self.settings.floors_of(check).get(rule, default)
        proposed = self.fitting(rates, default, now, severity, floors=True)
        return Advice(check=check, rule=rule, severity=severity, **proposed)

    def fitting(
        self, rates: Sequence[Rate], default: float, now: float, severity: Severity, *, floors: bool = False
    ) -> _Fitting:
        """The strictest of what is set now, the default, and what all usual days reach."""
        behaviour = _usual(rates)
        days = [rate for rate in rates if rate not in behaviour.unusual]
        judged = self.counting(days) if floors else days
        strict = max(default, now)
        for value in (strict, default):
            if all(rate.reaches(value) for rate in judged):
                return _Fitting(kind="keep", usual=behaviour, default=default, proposed=value)
        if severity == "critical" and behaviour.rate < _CONTRACT:
            return _Fitting(kind="contract", usual=behaviour, default=default, proposed=default)
        return _Fitting(kind="lower", usual=behaviour, default=default, proposed=_below(behaviour))


def _below(behaviour: Usual) -> float:
    """A share that every usual day reaches with room to spare, and no unusual day."""
    scale = behaviour.scale
    least = min(behaviour.rate - _MARGIN * scale, behaviour.lowest - _BELOW_WORST * scale)
    least = max(0.0, least, behaviour.rate - _UNUSUAL * scale)
    above = max((rate.share for rate in behaviour.unusual), default=-1.0)
    for steps in (1000 if least >= _FINE_FROM else 100, 10_000):
        if (rounded := floor(least * steps) / steps) > above:
            return rounded
    return least


def _changes(advice: Iterable[Advice], default: Settings, settings: Settings) -> dict[str, dict[str, Any]]:
    """What differs from the defaults, or from what is set now."""
    changes: dict[str, dict[str, Any]] = {"thresholds": {}, "severities": {}, "rule_floors": {}}
    for one in advice:
        if one.rule is not None:
            name = f"{one.check}/{one.rule}"
            if {one.proposed, settings.rule_floors.get(name, one.default)} != {one.default}:
                changes["rule_floors"][name] = one.proposed
            continue
        if {one.proposed, settings.threshold(one.check)} != {default.threshold(one.check)}:
            changes["thresholds"][one.check] = one.proposed
        if {one.severity, settings.severity(one.check)} != {default.severity(one.check)}:
            changes["severities"][one.check] = one.severity
    return {table: values for table, values in changes.items() if values}


def _reach(evaluated: int, failed: int, least: float) -> bool:
    return evaluated - failed >= Fraction(str(least)) * evaluated


def _breaks_floor(check: str, rule: RuleResult, policy: Settings) -> bool:
    least = policy.floors_of(check).get(rule.id, policy.rule_floor)
    return rule.failed_rows >= policy.rule_floor_lines and not _reach(rule.evaluated_rows, rule.failed_rows, least)


def _shuts(check: CheckResult, policy: Settings) -> bool:
    """Whether the check blocks its day under some thresholds, severities and floors."""
    if policy.severity(check.id) == "warning":
        return False
    missed = not _reach(check.evaluated_rows, check.failed_rows, policy.threshold(check.id))
    return missed or any(_breaks_floor(check.id, rule, policy) for rule in check.rules)


def _days_shut_by(one: Advice, days: Iterable[Measured], policy: Settings) -> int:
    """Measured days that the advised check, or rule, blocks by itself."""
    mine = [check for day in days for check in day.checks if check.id == one.check]
    if one.rule is None:
        return sum(_shuts(check, policy) for check in mine)
    if policy.severity(one.check) == "warning":
        return 0
    rules = [rule for check in mine for rule in check.rules if rule.id == one.rule]
    return sum(_breaks_floor(one.check, rule, policy) for rule in rules)


def _blocked(days: Iterable[Measured], policy: Settings) -> tuple[Blocked, ...]:
    found = (Blocked(day=one.day, checks=tuple(c.id for c in one.checks if _shuts(c, policy))) for one in days)
    return tuple(blocked for blocked in found if blocked.checks)
