"""The named faults: each plants one kind of defect, which exactly one check catches."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from itertools import pairwise

import oracle
import polars as pl
import pytest

from expectations_custom import rules
from expectations_custom.expectations import reaches
from expectations_custom.outcomes import evaluate
from pipeline import contract as contracts
from pipeline import simulate
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import SettingsError
from pipeline.parse import parse_range
from pipeline.settings import Settings
from pipeline.simulate.plant import PLANTINGS

DAY = date(2026, 1, 15)
FAULTS = tuple(simulate.FAULTS.values())
EVERY_FAULT = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)


@pytest.fixture(scope="module")
def contract():
    """The shipped contract."""
    return contracts.load()


@pytest.fixture(scope="module")
def by_user(tmp_path_factory):
    """A contract whose funnel is judged per customer instead of per visit; its path."""
    schema = json.loads(oracle.SCHEMA.read_text(encoding="utf-8"))
    schema["x-funnel-sequence"]["scope"] = "user_id"
    path = tmp_path_factory.mktemp("contract") / "by_user.json"
    path.write_text(json.dumps(schema), encoding="utf-8")
    return path


@pytest.fixture
def generate(contract, tmp_path):
    """Generates a day; a small one unless told otherwise."""

    def generate(*, name="events.jsonl", seed=7, events=2000, contract=contract, **more):
        return simulate.generate(
            DAY, contract=contract, output=tmp_path / name, users=2000, seed=seed, events=events, **more
        )

    return generate


def failing_lines(found):
    """Failing lines per check, as far as there are any."""
    return {check: len(lines) for check, lines in found.failing.items() if lines}


def meant(planted):
    """What the checks must find when these faults were planted."""
    expected = Counter()
    for name, lines in planted.items():
        expected[simulate.FAULTS[name].caught_by] += lines
    return dict(expected)


def test_every_check_has_at_least_two_faults():
    """No check goes unproved."""
    count = Counter(fault.caught_by for fault in FAULTS)

    assert set(count) == set(CHECK_IDS)
    assert min(count.values()) >= 2


def test_the_list_people_see_is_the_list_that_is_planted():
    """Names and plantings belong together, and every fault says what it does."""
    assert set(PLANTINGS) == set(simulate.FAULTS)
    assert all(fault.describes and name == fault.name for name, fault in simulate.FAULTS.items())


@EVERY_FAULT
def test_a_fault_breaks_exactly_the_planted_lines_of_its_check(generate, fault):
    """As many lines as planted fail the check meant for them, and no line fails another."""
    made = generate(faults={fault.name: 0.1})
    found = oracle.judge(made.path, DAY)

    assert failing_lines(found) == {fault.caught_by: made.planted[fault.name]}
    assert found.lines == made.lines


@EVERY_FAULT
def test_a_fault_at_its_default_rate_fails_its_check_on_a_default_day(generate, contract, fault, tmp_path):
    """Through the real parser and rules: that check falls below its threshold or rule floor, the six others hold."""
    made = generate(events=None, faults={fault.name: fault.rate})
    frame = parse_range(made.path.read_bytes(), first_line=1, first_offset=0, contract=contract, day=DAY).frame
    outcomes = evaluate(frame, rules.table(contract), sample_lines=0, failing=tmp_path / "failing.parquet")
    found = pl.read_parquet(tmp_path / "failing.parquet")

    assert failed(outcomes) == {fault.caught_by}
    assert set(found["check"]) == {fault.caught_by}
    assert found["line_no"].n_unique() == made.planted[fault.name]


def failed(outcomes):
    """Ids of the checks that fail by the default settings."""
    settings = Settings()
    checks = {check for check, counts in outcomes.checks.items() if not reaches(counts, settings.threshold(check))}
    return checks | {
        check
        for (check, _), counts in outcomes.rules.items()
        if counts.failed_rows >= settings.rule_floor_lines and not reaches(counts, settings.rule_floor)
    }


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("scope", ["session_id", "user_id"])
def test_faults_planted_together_do_not_disturb_each_other(generate, by_user, seed, scope):
    """All faults at once: every check finds its own lines, whatever the scope of the funnel."""
    schema = by_user if scope == "user_id" else oracle.SCHEMA
    made = generate(
        seed=seed, events=6000, contract=contracts.load(schema), faults=dict.fromkeys(simulate.FAULTS, 0.02)
    )
    found = oracle.judge(made.path, DAY, schema)

    assert failing_lines(found) == meant(made.planted)
    assert found.lines == made.lines


@EVERY_FAULT
def test_a_fault_planted_wherever_it_can_be_still_breaks_one_check(generate, by_user, fault):
    """Even at a rate of 1 and with the funnel judged per customer, no other check is disturbed."""
    made = generate(events=1500, contract=contracts.load(by_user), faults={fault.name: 1.0})

    assert failing_lines(oracle.judge(made.path, DAY, by_user)) == {fault.caught_by: made.planted[fault.name]}


@pytest.mark.parametrize("rate", [0.01, 0.25, 1.0])
def test_the_rate_is_the_share_of_the_lines_the_rule_looks_at(generate, rate):
    """total_mismatch=0.25 breaks a quarter of the purchases, not of all lines."""
    purchases = generate().path.read_text(encoding="utf-8").count('"event_type":"purchase"')

    assert generate(faults={"total_mismatch": rate}).planted == {"total_mismatch": max(1, round(rate * purchases))}


def test_at_least_one_line_is_planted(generate):
    """A rate too small for the day still plants the defect once."""
    assert generate(faults={"line_truncated": 1e-9}).planted == {"line_truncated": 1}


def test_faults_are_deterministic(generate):
    """The same faults give the same bytes in whatever order they are named."""
    some = {"day_wrong": 0.05, "order_id_repeated": 0.3, "line_repeated": 0.02}
    made = generate(faults=some).path.read_bytes()

    assert made == generate(faults=dict(reversed(some.items()))).path.read_bytes()
    assert made != generate(seed=8, faults=some).path.read_bytes()


def test_all_other_lines_stay_as_they_were(generate):
    """A damaged day differs from the clean one in the planted lines only."""
    clean = generate(name="clean").path.read_bytes().split(b"\n")
    made = generate(name="damaged", faults={"browser_unknown": 0.02, "total_mismatch": 0.5, "event_id_repeated": 0.01})
    damaged = made.path.read_bytes().split(b"\n")

    assert len(clean) == len(damaged)
    assert sum(a != b for a, b in zip(clean, damaged, strict=True)) == sum(made.planted.values())


def test_a_repeated_line_follows_its_original(generate):
    """The second copy is the same bytes, right behind the first, and adds a line."""
    made = generate(faults={"line_repeated": 0.01})
    lines = made.path.read_bytes().split(b"\n")

    assert made.lines == 2000 + made.planted["line_repeated"]
    assert sum(a == b for a, b in pairwise(lines)) == made.planted["line_repeated"]


@pytest.mark.parametrize("rate", [0, -0.1, 1.5, float("nan")])
def test_a_rate_that_is_no_share_is_refused(generate, tmp_path, rate):
    """The rate must be above 0 and at most 1."""
    with pytest.raises(SettingsError, match="line_truncated must be above 0 and at most 1"):
        generate(faults={"line_truncated": rate})
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_fault_is_refused_with_the_known_ones(generate):
    """The message lists what can be planted."""
    with pytest.raises(SettingsError, match=r"'chaos' is not a fault .*line_truncated"):
        generate(faults={"chaos": 0.1})


def test_a_fault_without_a_line_to_plant_it_in_is_refused(generate, tmp_path):
    """One event is a page_view; no order can be damaged there, and nothing is written."""
    with pytest.raises(SettingsError, match="total_mismatch finds no line") as raised:
        generate(events=1, faults={"total_mismatch": 0.1})

    assert "daygate generate --events" in raised.value.hint
    assert list(tmp_path.iterdir()) == []
