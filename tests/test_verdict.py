"""The verdict: three outcomes, fail closed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gx.verdict import Judged, decide
from pipeline.check_ids import CHECK_IDS
from pipeline.records import Verdict

LINES = 100


def good(check: str) -> Judged:
    return Judged(name=check, check=check, severity="critical", success=True, lines=LINES)


ALL_GOOD = [good(check) for check in CHECK_IDS]

answers = st.builds(
    Judged,
    name=st.just("x"),
    check=st.sampled_from([*CHECK_IDS, None, "unheard_of"]),
    severity=st.sampled_from(["critical", "warning"]),
    success=st.sampled_from([True, False, None]),
    lines=st.sampled_from([LINES, LINES - 1, 0, None]),
)


def test_all_seven_good_over_all_lines_is_a_pass():
    """The one way to PASS."""
    assert decide(ALL_GOOD, expected=CHECK_IDS, staged_lines=LINES).verdict is Verdict.PASS


@pytest.mark.parametrize("check", CHECK_IDS)
def test_one_failing_critical_check_is_a_fail(check):
    """Every one of the seven can close the gate."""
    judged = [replace(a, success=False) if a.check == check else a for a in ALL_GOOD]

    assert decide(judged, expected=CHECK_IDS, staged_lines=LINES).verdict is Verdict.FAIL


@pytest.mark.parametrize("check", CHECK_IDS)
def test_a_failing_warning_reports_without_blocking(check):
    """Severity `warning` never closes the gate."""
    judged = [replace(a, success=False, severity="warning") if a.check == check else a for a in ALL_GOOD]

    assert decide(judged, expected=CHECK_IDS, staged_lines=LINES).verdict is Verdict.PASS


@pytest.mark.parametrize("check", CHECK_IDS)
@pytest.mark.parametrize("damage", ["missing", "twice", "raised", "fewer lines", "no line count"])
def test_a_check_that_could_not_be_judged_is_inconclusive(check, damage):
    """What came back damaged is never taken for a PASS or a FAIL."""
    mine = good(check)
    rest = [a for a in ALL_GOOD if a.check != check]
    damaged = {
        "missing": [],
        "twice": [mine, mine],
        "raised": [replace(mine, success=None)],
        "fewer lines": [replace(mine, lines=LINES - 1)],
        "no line count": [replace(mine, lines=None)],
    }[damage]

    decision = decide(rest + damaged, expected=CHECK_IDS, staged_lines=LINES)

    assert decision.verdict is Verdict.INCONCLUSIVE
    assert any(check in problem for problem in decision.problems)


def test_an_empty_day_is_inconclusive():
    """No lines prove nothing."""
    judged = [replace(a, lines=0) for a in ALL_GOOD]

    assert decide(judged, expected=CHECK_IDS, staged_lines=0).verdict is Verdict.INCONCLUSIVE


def test_a_suite_without_checks_is_inconclusive():
    """An empty suite succeeds in Great Expectations; here it blocks."""
    assert decide([], expected=(), staged_lines=LINES).verdict is Verdict.INCONCLUSIVE


def test_a_failing_expectation_that_a_user_added_closes_the_gate():
    """Expectations beside the seven count by their severity."""
    added = Judged(name="expect_something", check=None, severity="critical", success=False)

    assert decide([*ALL_GOOD, added], expected=CHECK_IDS, staged_lines=LINES).verdict is Verdict.FAIL


@given(st.lists(answers, max_size=12), st.integers(min_value=0, max_value=LINES))
def test_pass_needs_every_check_once_over_all_lines_and_nothing_critical_failing(judged, staged_lines):
    """Whatever comes back, PASS implies the whole promise."""
    decision = decide(judged, expected=CHECK_IDS, staged_lines=staged_lines)

    if decision.verdict is Verdict.PASS:
        assert sorted(a.check for a in judged if a.check) == sorted(CHECK_IDS)
        assert all(a.lines == staged_lines for a in judged if a.check)
        assert staged_lines > 0
        assert not any(a.success is None for a in judged)
        assert not any(a.success is False and a.severity == "critical" for a in judged)


@given(st.permutations(ALL_GOOD), st.integers(min_value=0, max_value=6), st.sampled_from([True, False, None]))
def test_the_order_of_answers_does_not_matter(judged, index, success):
    """Great Expectations returns results in any order."""
    changed = [replace(a, success=success) if a.check == CHECK_IDS[index] else a for a in judged]
    in_order = sorted(changed, key=lambda a: a.name)

    assert decide(changed, expected=CHECK_IDS, staged_lines=LINES) == decide(
        in_order, expected=CHECK_IDS, staged_lines=LINES
    )


@given(st.lists(answers, max_size=12), answers)
def test_one_more_bad_answer_never_opens_the_gate(judged, extra):
    """Adding an answer that is not good can only keep the gate shut."""
    bad = replace(extra, success=False, severity="critical")
    before = decide(judged, expected=CHECK_IDS, staged_lines=LINES).verdict
    after = decide([*judged, bad], expected=CHECK_IDS, staged_lines=LINES).verdict

    assert after is not Verdict.PASS or before is Verdict.PASS
    assert after is not Verdict.PASS
