"""The rules under mutation: every rule removed, inverted or weakened is noticed by the cases that specify it.

All cases are judged in one frame, once with the real rule table and once with a table of every mutant of every rule.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain

import narwhals as nw
import oracle
import polars as pl
import pytest
import source_mutants
from rule_cases import Cases

from expectations_custom import checks, rules
from expectations_custom import rule as shared
from expectations_custom.checks import CHECKS
from expectations_custom.outcomes import evaluate
from expectations_custom.rule import Rule, RuleTable
from pipeline import contract as contracts
from pipeline.parse import parse_range

#: (check, rule)
Key = tuple[str, str]
LOOKS_AT_ALL = ("required_fields", "line")
NEVER, ALWAYS = nw.col("line_no") < 0, nw.col("line_no") > 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What a rule table says: failing lines and number of lines looked at, per rule."""

    failing: dict[Key, set[int]]
    evaluated: dict[Key, int]
    #: Check -> lines looked at and lines failing.
    checks: dict[str, tuple[int, int]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def table():
    """The real rules."""
    return rules.table(contracts.load())


@pytest.fixture(scope="module")
def cases():
    """All cases of the shipped contract."""
    return Cases(contracts.load()).every()


@pytest.fixture(scope="module")
def data(cases, lines):
    """All cases as one delivery."""
    return b"".join(lines(*case.events) for case in cases)


@pytest.fixture(scope="module")
def judge(data, day, tmp_path_factory):
    """Judges the delivery by some rule table."""
    frame = parse_range(data, first_line=1, first_offset=0, contract=contracts.load(), day=day).frame

    def judge(table: RuleTable) -> Answers:
        path = tmp_path_factory.mktemp("judged") / "failing.parquet"
        outcomes = evaluate(frame, table, sample_lines=0, failing=path)
        failing = {key: set() for key in outcomes.rules}
        for line, check, rule in pl.read_parquet(path, columns=["line_no", "check", "rule"]).iter_rows():
            failing[check, rule].add(line)
        return Answers(
            failing=failing,
            evaluated={key: found.evaluated_rows for key, found in outcomes.rules.items()},
            checks={check: (found.evaluated_rows, found.failed_rows) for check, found in outcomes.checks.items()},
        )

    return judge


@pytest.fixture(scope="module")
def expected(cases, table, data, day):
    """What the cases say must fail, and the lines each rule must look at by the independent reference."""
    failing = {(rule.check, rule.id): set() for rule in table.rules}
    first = 0
    for case in cases:
        for line, rule in case.failing:
            check, _, rule_id = rule.partition("/")
            failing[check, rule_id].add(first + line)
        first += len(case.events)
    return Answers(failing=failing, evaluated=looked_at(data, day))


def looked_at(data: bytes, day) -> dict[Key, int]:
    """Lines each rule looks at, counted one line after another by the reference's reading of the schema."""
    schema = json.loads(oracle.SCHEMA.read_text(encoding="utf-8"))
    lines = [oracle.read(number, text, day, schema) for number, text in enumerate(data.splitlines(), start=1)]
    begun = {line.values.get("session_id") for line in lines if line.place and on_platform(line, schema)}
    found: Counter[Key] = Counter()
    for line in lines:
        found.update(set(required_rules(line, schema)))
        found.update(set(value_rules(line, schema)))
        found.update(set(other_rules(line, schema)))
        if on_platform(line, schema) and line.values.get("session_id") and line.values["session_id"] in begun:
            found["platform_device", "session"] += 1
    return dict(found)


def on_platform(line: oracle.Line, schema) -> bool:
    """The platform is one the contract has rules for."""
    return line.values.get("platform") in schema["x-platform-device-rules"]["allowed"]


def required_rules(line: oracle.Line, schema) -> Iterator[Key]:
    """Every line must be an object; an object must have what its type requires."""
    yield LOOKS_AT_ALL
    if line.raw is not None:
        common = set(schema["required"])
        for name in oracle.required_here(line, schema):
            yield "required_fields", name if name in common else f"{line.values['event_type']}.{name}"


def readable(line: oracle.Line, name: str, schema) -> bool:
    """Whether a text can be what it must be; one that is no instant, or no JSON, belongs to another check."""
    if "format" in schema["properties"][name]:
        return line.instant is not None
    if name != schema["x-order-total"]["details"] or oracle.unkept(line, name, schema):
        return True
    try:
        oracle.strict(line.values[name])
    except ValueError:
        return False
    return True


def value_rules(line: oracle.Line, schema) -> Iterator[Key]:
    """Present values; an empty one only where the event type does not require it."""
    for name in line.misfits:
        yield "value_ranges", name
    for name, value in line.values.items():
        if readable(line, name, schema) and (value != "" or name not in oracle.required_here(line, schema)):
            yield "value_ranges", name


def other_rules(line: oracle.Line, schema) -> Iterator[Key]:
    """Ids, funnel steps, instants, orders, and devices of a known platform."""
    event, order = line.values.get("event_type"), schema["x-order-total"]
    if line.values.get("event_id"):
        yield "unique_event_id", "event_id"
    steps = {step["event"] for step in schema["x-funnel-sequence"]["steps"]}
    if event in steps and line.values.get("session_id") and line.place is not None:
        yield "funnel_order", event
    if line.values.get("timestamp"):
        yield "timestamp_validity", "instant"
    if line.instant is not None:
        yield "timestamp_validity", "range"
        yield "timestamp_validity", "day"
    if event == order["event"]:
        yield from order_rules(line, order, schema)
    if on_platform(line, schema):
        for name in schema["x-platform-device-rules"]["allowed"][line.values["platform"]]:
            if line.values.get(name) in schema["properties"][name]["enum"]:
                yield "platform_device", name


def order_rules(line: oracle.Line, order, schema) -> Iterator[Key]:
    """Orders with an id, with details, and with details and a total that can be compared."""
    if line.values.get(order["order_id"]):
        yield "unique_event_id", order["order_id"]
    details = line.values.get(order["details"])
    if details:
        yield "order_total", order["details"]
        total = line.values.get(order["total"]) is not None and not oracle.outside(line, order["total"], schema)
        if total and oracle.order_sum(details, order) is not None:
            yield "order_total", order["total"]


def test_every_case_fails_as_specified(cases, table, judge):
    """Line by line, exactly the rules a case names; no case disturbs another."""
    failing = {(line, f"{check}/{rule}") for (check, rule), lines in judge(table).failing.items() for line in lines}
    wrong, first = {}, 0
    for case in cases:
        mine = {(line - first, rule) for line, rule in failing if first < line <= first + len(case.events)}
        first += len(case.events)
        if mine != case.failing:
            wrong[case.name] = mine ^ case.failing

    assert wrong == {}


def test_every_rule_looks_at_the_lines_the_reference_says(table, judge, expected):
    """The denominator of each rule, on which its floor rests, counted independently."""
    assert judge(table).evaluated == expected.evaluated


def test_the_reference_agrees_about_every_check(table, judge, data, day):
    """Failing lines and lines looked at per check, each line once however many of the check's rules it breaks."""
    found, reference = judge(table), oracle.judge(data, day)
    failing = {check: set() for check in oracle.CHECKS}
    for (check, _), failed in found.failing.items():
        failing[check] |= failed

    assert failing == reference.failing
    assert found.checks == {check: (reference.evaluated[check], len(failing[check])) for check in oracle.CHECKS}


def test_every_rule_is_broken_by_some_case(table, expected):
    """No rule of the table goes unproved."""
    unproved = {key for key, lines in expected.failing.items() if not lines}

    assert unproved == set()


def mutants(rule: Rule) -> Iterator[tuple[str, Rule]]:
    """The rule, wrong in one way each."""
    yield "never fails", replace(rule, fails=NEVER)
    yield "always fails", replace(rule, fails=ALWAYS)
    yield "inverted", replace(rule, fails=~rule.fails)
    yield "never applies", replace(rule, applies=NEVER)
    yield "applies where it should not", replace(rule, applies=~rule.applies)
    if (rule.check, rule.id) != LOOKS_AT_ALL:
        yield "applies everywhere", replace(rule, applies=ALWAYS)


def test_every_mutant_of_every_rule_is_noticed(table, judge, expected):
    """Removed, inverted, silenced, unleashed, or looking at other lines: the cases tell each from the real rule."""
    made = [(rule, replace(mutant, id=f"{rule.id} {how}")) for rule in table.rules for how, mutant in mutants(rule)]
    found = judge(replace(table, rules=tuple(mutant for _, mutant in made)))

    survivors = [
        f"{mutant.check}/{mutant.id}"
        for rule, mutant in made
        if found.failing[mutant.check, mutant.id] == expected.failing[rule.check, rule.id]
        and found.evaluated[mutant.check, mutant.id] == expected.evaluated[rule.check, rule.id]
    ]

    assert survivors == []
    assert len(made) > 5 * len(table.rules)


#: Wrong versions that mean the same as the original, and why. Any other survivor asks for a case in `rule_cases.py`.
SAME_MEANING = {
    "rule.one_of: if not values or len(values) > _FEW:\n    return nw.col(name).is_in(values): negated": "as is_in",
    "rule.one_of: not values: not negated": "as is_in",
    "rule.one_of: len(values) > _FEW: the other comparison": "as is_in",
    "rule.present: ~nw.col(name).is_null() & (nw.col(name) != ''): right side only": "null != '' is null, which is no",
    "value_ranges._judged_value: present & not_empty: right side only": "null is not not-empty either",
    "value_ranges._judged_value: False: the other constant": "of not_empty: `present` leaves absent values out anyway",
    "value_ranges._rules: False: the other constant": "a value no bound can judge is absent: not looked at",
    "required_fields._rules: is_object & (nw.col('event_type') == event): right side only": "no object, no event type",
    "required_fields._line: nw.col('line_no') > 0: the other comparison": "lines count from 1",
    "funnel_order._rules: nw.col(name) < nw.col('order_key'): the other comparison": "no step is its own evidence",
    "platform_device._stays: began.max: min": "one line began the visit, so there is one value",
    "unique_event_id._first: True: the other constant": "who can go without helper columns can have them too",
}


#: Where the rules are written.
SOURCES = (shared, *(import_module(f"{checks.__name__}.{check.id}") for check in CHECKS))


def changed(table: RuleTable, wrong: RuleTable) -> list[Rule]:
    """The rules of a wrong table that are not those of the real one; all when the windows differ."""
    if repr(wrong.windows) != repr(table.windows):
        return list(wrong.rules)
    real = {(rule.check, rule.id): repr((rule.applies, rule.fails)) for rule in table.rules}
    return [rule for rule in wrong.rules if repr((rule.applies, rule.fails)) != real.get((rule.check, rule.id))]


@pytest.mark.long
def test_every_wrong_version_of_the_rules_source_is_noticed(table, judge, expected):
    """One operator, bound or word of the rule table's own source changed at a time: the cases tell each."""
    survivors, noticed = [], 0
    for mutant in chain.from_iterable(source_mutants.mutants(module) for module in SOURCES):
        try:
            wrong = rules.table(contracts.load())
            suspects = changed(table, wrong)
            lost = {(rule.check, rule.id) for rule in wrong.rules} != set(expected.evaluated)
            if not suspects and not lost:
                continue  # other words for people, or a branch no rule of this contract takes
            same = not lost and agrees(judge(replace(wrong, rules=tuple(suspects))), expected)
        except Exception:  # noqa: BLE001  # a table that cannot be built or evaluated is noticed by every test
            same = False
        noticed += not same
        if same:
            survivors.append(mutant)

    assert sorted(survivors) == sorted(SAME_MEANING)
    assert noticed > 2 * len(table.rules)


def agrees(found: Answers, expected: Answers) -> bool:
    """Whether the rules that were judged say what they must."""
    return all(
        lines == expected.failing[key] and found.evaluated[key] == expected.evaluated[key]
        for key, lines in found.failing.items()
    )
