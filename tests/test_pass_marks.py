"""Where exactly a check, a rule and a day stop passing: every boundary from both sides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expectations_custom import ALL, rules
from expectations_custom.expectations import reaches
from expectations_custom.metric import METRIC
from expectations_custom.outcomes import Counts, Outcomes
from gx.verdict import Judged, decide
from pipeline import contract as contracts
from pipeline.check_ids import CHECK_IDS
from pipeline.records import Verdict
from pipeline.wording import percent

RULES = rules.table(contracts.load()).rules
EVERY_RULE = pytest.mark.parametrize("rule", RULES, ids=[f"{rule.check}/{rule.id}" for rule in RULES])


def counts(evaluated: int, failed: int) -> Counts:
    return Counts(evaluated_rows=evaluated, failed_rows=failed)


def passes(check: str, total: Counts, by_rule: dict[str, Counts] | None = None, **settings: object) -> bool:
    """What the check's expectation says of these counts; rules that are not named found nothing."""
    found = {(rule.check, rule.id): counts(total.evaluated_rows, 0) for rule in RULES}
    found |= {(check, rule): each for rule, each in (by_rule or {}).items()}
    outcomes = Outcomes(
        lines=total.evaluated_rows,
        checks={each: total if each == check else counts(total.evaluated_rows, 0) for each in CHECK_IDS},
        rules=found,
        samples={each: [] for each in CHECK_IDS},
    )
    expectation = next(kind for kind in ALL if kind.check.id == check)
    return expectation(**settings)._validate({METRIC: outcomes})["success"]


@pytest.mark.parametrize(
    ("evaluated", "failed", "share", "enough"),
    [
        (100, 1, 0.99, True),
        (100, 2, 0.99, False),
        (101, 1, 0.99, True),
        (99, 1, 0.99, False),
        (10, 9, 0.1, True),  # as a binary fraction, 0.1 is more than a tenth
        (1000, 29, 0.971, True),
        (10**17, 10**15, 0.99, True),
        (10**17, 10**15 + 1, 0.99, False),
        (10, 0, 1.0, True),
        (10**9, 1, 1.0, False),
        (10, 10, 0.0, True),
        (1, 1, 0.0001, False),
        (0, 0, 1.0, True),
    ],
)
def test_the_share_of_good_lines_is_compared_exactly(evaluated, failed, share, enough):
    """Counts, not rounded rates: one line decides, however many there are."""
    assert reaches(counts(evaluated, failed), share) is enough


@given(st.integers(1, 10**12), st.integers(0, 10_000), st.data())
def test_one_more_failing_line_never_helps(evaluated, hundredths, data):
    """Below the mark once, below it ever after."""
    failed, share = data.draw(st.integers(0, evaluated - 1)), hundredths / 10_000

    assert reaches(counts(evaluated, failed), share) >= reaches(counts(evaluated, failed + 1), share)


@pytest.mark.parametrize("check", CHECK_IDS)
def test_a_check_passes_at_its_threshold_and_not_below(check):
    """All seven read their own counts and their own threshold."""
    assert passes(check, counts(100, 1), mostly=0.99)
    assert not passes(check, counts(100, 2), mostly=0.99)
    assert passes(check, counts(100, 2), mostly=0.98)


@EVERY_RULE
def test_every_rule_has_a_floor(rule):
    """A rule below the floor fails its check whatever the check's own rate."""
    total = counts(1_000_000, 6)

    assert passes(rule.check, total, {rule.id: counts(50, 5)})
    assert not passes(rule.check, total, {rule.id: counts(49, 5)})


@pytest.mark.parametrize(("failed", "enough"), [(4, True), (5, False)])
def test_the_floor_needs_five_failing_lines(failed, enough):
    """Four of four are too few to judge a rule by; five of five are not."""
    assert passes("order_total", counts(1000, failed), {"total_amount": counts(failed, failed)}) is enough


def test_the_floor_and_its_lines_are_settings():
    """From one line on, or at another share."""
    one_of_two = {"total_amount": counts(2, 1)}

    assert passes("order_total", counts(1000, 1), one_of_two)
    assert not passes("order_total", counts(1000, 1), one_of_two, rule_floor_lines=1)
    assert passes("order_total", counts(1000, 1), one_of_two, rule_floor_lines=1, rule_floor=0.5)


def test_a_rule_may_have_a_floor_of_its_own():
    """It replaces the common floor for that rule and for no other, in both directions."""
    half = {"purchase": counts(20, 10)}

    assert not passes("funnel_order", counts(10_000, 10), half)
    assert passes("funnel_order", counts(10_000, 10), half, rule_floors={"purchase": 0.5})
    assert not passes("funnel_order", counts(10_000, 10), half, rule_floors={"purchase": 0.51})
    assert not passes("funnel_order", counts(10_000, 10), half, rule_floors={"add_to_cart": 0.5})
    assert not passes("funnel_order", counts(10_000, 10), {"purchase": counts(100, 5)}, rule_floors={"purchase": 0.96})


def test_the_rate_and_every_floor_must_hold():
    """Neither makes up for the other."""
    good, bad = {"total_amount": counts(100, 10)}, {"total_amount": counts(100, 11)}

    assert passes("order_total", counts(1000, 10), good)
    assert not passes("order_total", counts(1000, 11), good)
    assert not passes("order_total", counts(1000, 10), bad)


def test_a_check_that_looked_at_nothing_passes():
    """No orders, no wrong orders."""
    assert passes("order_total", counts(0, 0), {"total_amount": counts(0, 0), "extra_data": counts(0, 0)}, mostly=1.0)


@pytest.mark.parametrize(
    ("evaluated", "failed", "shown"),
    [(100, 1, "99.00 %"), (100_000, 1001, "98.99 %"), (10**9, 1, "99.99 %"), (3, 3, "0.00 %"), (7, 0, "100.00 %")],
)
def test_a_missed_threshold_is_never_shown_as_met(evaluated, failed, shown):
    """Rates are rounded down."""
    assert percent(evaluated - failed, evaluated) == shown


GOOD = [Judged(name=check, check=check, severity="critical", success=True, lines=1) for check in CHECK_IDS]
GUARD = Judged(name="at least one line", check=None, severity="critical", success=True)


def verdict(*judged: Judged, lines: int = 1) -> Verdict:
    return decide(judged, expected=CHECK_IDS, staged_lines=lines).verdict


def test_a_day_of_one_good_line_passes():
    """Small is not empty; guards and expectations of one's own need not say how many lines they saw."""
    assert verdict(*GOOD, GUARD) is Verdict.PASS


def test_what_cannot_be_judged_outweighs_what_failed():
    """A day with a raised check is INCONCLUSIVE even when another check failed: its figures are not complete."""
    failed = replace(GOOD[0], success=False)
    raised = replace(GOOD[1], success=None)

    assert verdict(failed, *GOOD[1:]) is Verdict.FAIL
    assert verdict(failed, raised, *GOOD[2:]) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"success": None}, Verdict.INCONCLUSIVE),
        ({"success": None, "severity": "warning"}, Verdict.INCONCLUSIVE),
        ({"success": False}, Verdict.FAIL),
        ({"success": False, "severity": "warning"}, Verdict.PASS),
    ],
)
def test_a_guard_counts_by_its_severity_and_must_be_judged(change, expected):
    """The guards of the suite and what a user adds are held to the same."""
    assert verdict(*GOOD, replace(GUARD, **change)) is expected


@pytest.mark.parametrize("lines", [0, 2, None])
def test_a_check_must_have_looked_at_exactly_the_staged_lines(lines):
    """Not fewer, not more, and it must say how many."""
    assert verdict(replace(GOOD[0], lines=lines), *GOOD[1:]) is Verdict.INCONCLUSIVE


def test_a_check_nobody_asked_for_is_inconclusive():
    """An eighth check means that suite and code are not the same."""
    assert verdict(*GOOD, replace(GOOD[0], check="unheard_of")) is Verdict.INCONCLUSIVE
