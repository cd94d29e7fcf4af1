"""The catalogue of languages: whole, used, and telling every rule, reason and problem in each language."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from typing import get_args, get_type_hints

import pytest

from expectations_custom import reasons, rules
from expectations_custom.checks import CHECKS
from expectations_custom.rule import limits
from gx import suite
from gx.look import TEMPLATES
from gx.verdict import Judged, decide
from pipeline import contract, volume
from pipeline.alert_text import compose
from pipeline.alerts import gate_failed
from pipeline.records import Alert, CheckResult, Verdict
from pipeline.settings import Settings
from pipeline.words import CATALOGUE, Words, catalogue, speaking

CONTRACT = contract.load()
ENGLISH, KOREAN = Words("en"), Words("ko")
#: Sections whose names are made up from records, and the names they are made of.
KINDS = set(get_args(get_type_hints(Alert)["kind"]))
COUNTED = {volume.EVENTS, volume.USERS, volume.ORDERS, volume.REVENUE}
MADE_UP = {"state", "status", "trigger", "title", "says", "dimension", "figure", "frame", "trends", "date"}
AGAIN = {"rule", "breach", "problem", "guard"}
#: What stays as it is in a Korean sentence: fields, events, the parts of an order, and what has no other name.
EVENTS = CONTRACT.field("event_type").enum or ()
NAMED = {*CONTRACT.names, *EVENTS, "products", "discount_amount", "shipping_fee", "value_ranges"}
NAMES = re.compile(r"JSON|UTF|NUL|NaN|Infinity|RFC|Asia/Seoul|null|KeyError|Name", re.IGNORECASE)


def names(section: str) -> set[str]:
    """The names in one section."""
    return {name.partition(".")[2] for name in catalogue() if name.startswith(f"{section}.")}


def test_the_catalogue_is_whole() -> None:
    """Every sentence in every language, with the same places to fill."""

    def places(text: str) -> list[str]:
        return sorted(re.findall(r"\{(\w+)\}", text)) + sorted(re.findall(r"\$([A-Za-z_]+)", text))

    for name, said in catalogue().items():
        assert set(said) == {"en", "ko"}, name
        assert name.startswith("date.") or places(said["en"]) == places(said["ko"]), name
    assert all(len(catalogue()[f"date.{n}"]["ko"].split()) == 12 for n in ("months", "short_months"))


def test_every_sentence_is_used_and_every_used_one_exists() -> None:
    """No template or module names a sentence that is not there, and none is left over."""
    root = CATALOGUE.parent.parent
    sources = [path for folder in ("gx", "expectations_custom", "pipeline", "scheduler")
               for path in (root / folder).rglob("*.py")]  # fmt: skip
    text = "\n".join(path.read_text("utf-8") for path in [*sources, *TEMPLATES.iterdir()])
    sections = "|".join({name.partition(".")[0] for name in catalogue()})
    used = set(re.findall(rf"""["']((?:{sections})\.[a-z_]+)["']""", text))
    asked = set(re.findall(r"""(?:\bsay|spoken\(\)|self)\(\s*["']([a-z_]+\.[a-z_]+)["']""", text))
    from_records = {"kind", "late", "amount", "volume"}
    left_over = {
        name for name in set(catalogue()) - used
        if name.partition(".")[0] not in MADE_UP | AGAIN | from_records and not name.endswith("_one")
    }  # fmt: skip

    assert asked
    assert asked <= set(catalogue())
    assert left_over == set()
    assert names("kind") == KINDS
    assert names("amount") == COUNTED
    assert names("volume") == COUNTED | {volume.ARRIVED, "hours"}
    assert names("late") == set(re.findall(r'_late\("(\w+)"', text))


def test_checks_have_the_same_words_on_pages_and_in_the_terminal() -> None:
    """The English of the catalogue is the code's own."""
    said = catalogue()
    assert {c.id: (c.title, c.says) for c in CHECKS} == {
        c.id: (said[f"title.{c.id}"]["en"], said[f"says.{c.id}"]["en"]) for c in CHECKS
    }


def test_dates_are_written_as_the_language_does() -> None:
    """Weekday and month by name."""
    with speaking("ko") as words:
        assert words.day(date(2026, 11, 22)) == "2026년 11월 22일 일요일"
    with speaking("en") as words:
        assert words.day(date(2026, 11, 22)) == "Sunday, 22 November 2026"


# -- what the gate says, again in another language -----------------------------------------------


def of_the_rules() -> Iterator[str]:
    """Every sentence of a rule of our contract, and every reason a line can fail it for."""
    for rule in rules.table(CONTRACT).rules:
        yield from [rule.says, *reasons.texts(rule.causes, rule.says)]
    short = replace(CONTRACT.field("element_id"), min_length=3)
    yield from (cause.says for cause in reasons.of_value(short, limits(short)))


def problems() -> Iterator[str]:
    """Everything the verdict finds wrong with what it was given, and the guards."""
    one = Judged(name="Name", check="x", severity="critical", success=None, lines=None)
    yield from decide([one], expected=["y"], staged_lines=5).problems
    yield from decide([replace(one, success=True, lines=3)], expected=[], staged_lines=0).problems
    yield from ("could not be judged (KeyError)", "the checkpoint raised KeyError", "failed")
    built = suite.build(Settings(), CONTRACT).expectations
    yield from (each.meta["guard"] for each in built if each.meta and "guard" in each.meta)


@pytest.mark.parametrize("said", sorted({*of_the_rules(), *problems()}))
def test_every_rule_reason_and_problem_is_said_in_korean(said: str) -> None:
    """What the gate writes in English is a Korean sentence to who reads Korean, with the same names and numbers."""
    korean = KOREAN.again(said)
    latin = set(re.findall(r"[A-Za-z_]{2,}", NAMES.sub(" ", korean)))

    assert re.search("[가-힣]", korean)
    assert latin <= NAMED & set(re.findall(r"[a-z_]+", said))
    assert sorted(re.findall(r"\d+(?:,\d{3})*", korean)) == sorted(re.findall(r"\d+(?:,\d{3})*", said))
    assert ENGLISH.again(said) == said


def test_no_sentence_about_rules_is_left_over() -> None:
    """Each one in the catalogue is what some rule, reason or problem looks like in English."""
    heard: set[str] = set()

    class Listening(Words):
        def __call__(self, name: str, /, **values: object) -> str:
            heard.add(name)
            return super().__call__(name, **values)

    for said in {*of_the_rules(), *problems()}:
        Listening("ko").again(said)

    assert {name for name in catalogue() if name.partition(".")[0] in AGAIN} - heard == set()


@pytest.mark.parametrize("text", ["", "x", "web is fine", "is below", "x is below average", "a, or b", "x" * 5000])
def test_other_texts_stay_as_they_are(text: str) -> None:
    """Names of added rules and whatever else comes along are nobody's sentence."""
    assert KOREAN.again(text) == text


def test_an_alert_is_korean_throughout() -> None:
    """Verdict, problem and error of a day that could not be judged."""
    raised = CheckResult(
        id="value_ranges", type="range_check", verdict=Verdict.INCONCLUSIVE, severity="critical", evaluated_rows=0,
        failed_rows=0, pass_rate=None, threshold=0.99, error="could not be judged (KeyError)",
    )  # fmt: skip
    alert = gate_failed(
        day=date(2026, 1, 15), run_id="20260115-1", verdict=Verdict.INCONCLUSIVE, checks=[raised], lines=10,
        problems=("value_ranges could not be judged",),
    )  # fmt: skip
    said = compose(alert, language="ko").text

    assert said.startswith("daygate 2026-01-15: 판정 불가\n")
    assert "판정 불가: value_ranges 검사를 판정할 수 없음\n" in said
    assert "*value_ranges* 판정할 수 없음 (KeyError)\n" in said
