"""The pages about days: what they say, that every value stays text, and that both languages are whole."""

from __future__ import annotations

import re
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import html5lib
import pytest
from docs_fixtures import DAY, facts, figures, summary
from test_data_docs import BENIGN, HOSTILE

from gx import blocks, charts, day_page, pages
from gx.charts import Series
from gx.look import ASSETS
from gx.pages import Place
from pipeline.check_ids import CHECK_IDS
from pipeline.records import Change, CheckResult, Commonality, Findings, RuleResult, Verdict, VolumeFinding
from pipeline.site_figures import CheckOfDay, Conversion, DayFigures, MonthOfDays, Usual
from pipeline.words import speaking
from pipeline.zone import ZONE

FAILED = CHECK_IDS[2]
SVG = "{http://www.w3.org/2000/svg}"


def tree(source: str) -> Any:
    return html5lib.parse(source, namespaceHTMLElements=False)


def seen(source: str) -> str:
    return re.sub(r" (?=[.,;:])", "", " ".join(" ".join(tree(source).find("body").itertext()).split()))


def place(depth: int = 0) -> Place:
    return Place(generated_at=facts().generated_at, has=lambda _: True, depth=depth)


def check(check: str = FAILED, **changes: Any) -> CheckResult:
    usual: dict[str, Any] = {
        "id": check, "type": "range_check", "verdict": Verdict.FAIL, "severity": "critical", "evaluated_rows": 1000,
        "failed_rows": 74, "pass_rate": 0.926, "threshold": 0.99,
        "rules": (RuleResult(id="browser", field="browser", evaluated_rows=1000, failed_rows=51),),
    }  # fmt: skip
    return CheckResult(**(usual | changes))


def bad_day(text: str = "nothing special", **changes: Any) -> DayFigures:
    """A blocked day with something on every place of its page, its free texts being `text`."""
    run = summary(verdict=Verdict.FAIL, status="blocked", is_current=False, loaded=0, quarantined=74, lines=1000)
    broken = summary(run_id="20260115-0", verdict=None, status="failed", is_current=False, error=text, trigger=text)
    released = summary(
        run_id="20260115-2", verdict=Verdict.FAIL, released_by=text, release_reason=text, released_run=run.run_id,
        finished_at=datetime(2026, 1, 16, 3, tzinfo=ZONE), trigger=text,
    )  # fmt: skip
    change = Change(
        check_id=FAILED, first_bad_day=DAY - timedelta(days=1), last_good_day=DAY - timedelta(days=2),
        usual_pass_rate=0.99999, pass_rate=0.926,
        commonalities=(
            Commonality(dimension=text, value=text, failing_share=0.7, overall_share=0.2, failing_lines=52),
        ),
    )  # fmt: skip
    unusual = VolumeFinding(metric="events", value=1000, low=2000, median=2500, high=3000, days=8)
    usual: dict[str, Any] = {
        "run": released, "attempts": (released, run, broken), "usual_of": 2, "after": DAY + timedelta(days=1),
        "checks": (check(rules=(RuleResult(id=text, field=text, evaluated_rows=1000, failed_rows=51),)),),
        "hours": tuple(range(24)), "usual_hours": tuple(float(hour) for hour in range(24)), "before": None,
        "findings": Findings(changes=(change,), volume=(unusual,), measured={"events": 1000.0}),
        "volume": (Usual(name="events", value=1000, usual=2500), Usual(name=text, value=1, usual=None)),
        "report": {"problems": [text]},
    }  # fmt: skip
    return DayFigures(**(usual | changes))


def many_days(text: str = "web-like") -> Any:
    """Ten days with a bad and a missing one, and their checks."""
    days = [summary(DAY - timedelta(days=n)) for n in range(10) if n != 4]
    days[0] = summary(DAY, verdict=Verdict.FAIL, status="blocked", is_current=False, quarantined=74)
    days[2] = summary(
        days[2].day, verdict=Verdict.FAIL, released_by=text, release_reason=text, released_run="x",
        finished_at=datetime(2026, 1, 16, 3, tzinfo=ZONE),
    )  # fmt: skip
    checks = tuple(
        CheckOfDay(
            day=run.day, id=name, verdict=Verdict.FAIL if run.day == DAY and name == FAILED else Verdict.PASS,
            severity="critical", evaluated_rows=1000, failed_rows=74 if run.day == DAY and name == FAILED else 0,
            pass_rate=0.926 if run.day == DAY and name == FAILED else 1.0, threshold=0.99, worst_rule=text,
        )
        for run in reversed(days) for name in CHECK_IDS
    )  # fmt: skip
    rates = tuple(Conversion(day=run.day, platform=text, rate=33.3) for run in days)
    month = MonthOfDays(first=DAY.replace(day=1), days=9, published=8)
    return figures(*days, checks=checks, conversions=rates, months=(month,))


def every_page(text: str) -> dict[str, str]:
    """All pages about days whose free texts are `text`."""
    many = many_days(text)
    told = pages.Told(sentence=text, broken=(text,))
    return {
        "calendar": pages.calendar(many, told, place()),
        "month": pages.month(many, place(2)),
        "trends": pages.trends(many, place(1)),
        "quarantine": pages.quarantine(many, place(1)),
        "day": day_page.day_page(bad_day(text), place(2)),
    }


def shape(source: str) -> Counter[tuple[Any, ...]]:
    return Counter((element.tag, *sorted(element.attrib.items())) for element in tree(source).iter())


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_no_text_becomes_markup(text: str) -> None:
    """Reasons, errors, names, rules, platforms and values that stand out: elements and attributes stay the same."""
    usual, attacked = every_page(BENIGN), every_page(text)
    # What a chart says of a column stands in elements, not attributes; series are sorted by their names.
    assert {name: shape(page) for name, page in usual.items()} == {
        name: shape(page.replace(f'aria-label="{text}"', f'aria-label="{BENIGN}"')) for name, page in attacked.items()
    }


def test_the_page_of_a_bad_day_says_what_since_when_and_what_to_do() -> None:
    """Who hears that yesterday is red knows after one page: what, how bad, since when, what next."""
    blocked = summary(verdict=Verdict.FAIL, status="blocked", is_current=False, loaded=0, quarantined=74, lines=1000)
    said = seen(day_page.day_page(bad_day(run=blocked, attempts=(blocked,), checks=(check(),)), place(2)))

    assert "Thursday, 15 January 2026 FAIL Values within the contract failed." in said
    assert "92.60 % good, 99 % needed; 74 of 1,000 lines fail, most by the rule browser." in said
    assert "Bad since Wednesday, 14 January 2026; last good on Tuesday, 13 January 2026." in said
    assert "Usually 99.99 % good, now 92.60 %." in said
    assert "70.00 % 20.00 % 52" in said
    assert "Events: 1,000 is outside the band of 2,000 to 3,000" in said
    assert "Events 1,000 2,500 −60.0 %" in said
    assert "daygate quarantine show 2026-01-15" in said
    assert "daygate quarantine replay 2026-01-15 --file lines-2026-01-15.jsonl" in said
    assert "daygate release 2026-01-15 --reason" in said


def test_a_run_that_broke_has_a_page_of_its_day() -> None:
    """No verdict, the error, every attempt, and the command to run it again."""
    broken = summary(verdict=None, status="failed", is_current=False, error="The step load met an error.")
    found = bad_day(run=broken, attempts=(broken,), checks=(), hours=(), findings=Findings(), volume=(), report={})
    said = seen(day_page.day_page(found, place(2)))

    assert "NO VERDICT The run did not come to a verdict: The step load met an error." in said
    assert "daygate run --date 2026-01-15" in said
    assert "The checks" not in said


def test_a_day_under_way_says_so_and_offers_nothing_to_do() -> None:
    """Whoever looks early sees that it goes on."""
    running = summary(verdict=None, status="running", is_current=False, error=None)

    assert day_page.sentence(running, ()) == "A run of this day is under way."
    assert day_page._commands(running) == []


def test_a_day_that_could_not_be_judged_is_run_again() -> None:
    """It is never released: nobody knows what would be published."""
    unjudged = summary(verdict=Verdict.INCONCLUSIVE, status="blocked", is_current=False, quarantined=0)

    assert [command for _, command in day_page._commands(unjudged)] == ["daygate run --date 2026-01-15 --force"]


def test_a_template_keeps_what_it_has_no_value_for() -> None:
    """Great Expectations leaves values out, or has none: neither is an error nor the word None."""
    found = blocks.segments({"template": "$$ between $low and $high, $other", "params": {"low": 1, "high": None}})

    assert "".join(one.text for one in found) == "$ between 1 and , $other"


def test_availability_counts_published_days_since_the_first() -> None:
    """Days before the first run are nobody's fault; released days are published; today does not count yet."""
    many = many_days()

    assert (many.availability(7).published, many.availability(7).of) == (4, 7)
    assert (many.availability(90).published, many.availability(90).of) == (8, 11)
    assert figures().availability(30).of == 0


def test_every_day_is_a_word_and_a_sign_not_a_colour_alone() -> None:
    """Each square of the calendar that is due holds the day, an icon and the word."""
    cells = [cell for cell in tree(pages.calendar(many_days(), None, place())).iter("td") if len(cell)]
    squares = [cell[0] for cell in cells if cell[0].find("span[@class='number']") is not None]
    squares = [square for square in squares if square.find(f"{SVG}svg") is not None]
    words = Counter("".join(square.find("span[@class='word']").itertext()) for square in squares)

    assert words == {"PASS": 7, "FAIL": 1, "RELEASED": 1, "MISSING": 2}


def test_pages_before_the_first_run_say_what_to_do() -> None:
    """No empty tables: the next command."""
    nothing = figures()
    for page in (
        pages.calendar(nothing, None, place()),
        pages.trends(nothing, place()),
        pages.quarantine(nothing, place()),
    ):
        assert "daygate run" in seen(page)
        assert not list(tree(page).iter("table"))


def test_a_chart_tells_the_same_figures_to_who_does_not_see_it() -> None:
    """A title, a sentence and a table with every value, gaps included."""
    source = pages.trends(many_days(), place(1))
    figure = next(one for one in tree(source).iter("figure") if one.get("id") == f"check-{FAILED}")
    drawing = figure.find(f".//{SVG}svg[@role='img']")
    rows = [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in figure.findall(".//tbody/tr")]

    assert drawing.get("aria-labelledby") == f"check-{FAILED}-t check-{FAILED}-d"
    assert "Did not pass on 1 of 9 days, last on Thursday, 15 January 2026." in "".join(
        drawing.find(f"{SVG}desc").itertext()
    )
    assert rows[-2] == ["15 Jan", "92.60 %", "99 %"]
    assert rows[-6] == ["11 Jan", "–", "–"]


def test_lines_are_interrupted_where_a_value_is_missing() -> None:
    """A gap is no zero; a value alone between gaps is a point."""
    drawn = charts.chart(
        "x", id="x", labels=list("abcde"), series=[Series(name="s", values=[0, 10, None, 5, None], bad=frozenset({1}))],
        scale=charts.from_zero([10]), shown=str, says="",
    ).series[0]  # fmt: skip

    assert (drawn.path.count("M"), drawn.path.count("L"), drawn.dots, drawn.bad_dots) == (
        1,
        1,
        "M700 100h0",
        "M300 6h0",
    )


@pytest.mark.parametrize(("highest", "top"), [(0, 1), (7, 8), (96, 100), (100, 100), (2_766, 3_000), (1.2e7, 1.5e7)])
def test_scales_end_at_round_numbers(highest: float, top: float) -> None:
    """No value exceeds the scale."""
    assert charts.from_zero([highest, None]).high == top


def luminance(colour: str) -> float:
    full = colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
    parts = [int(full[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_and_marks_have_enough_contrast(scheme: int) -> None:
    """WCAG AA: 4.5 for text on every ground it stands on, 3 for lines and bars."""
    blocks = re.findall(r":root \{(.*?)\}", (ASSETS / "daygate.css").read_text("utf-8"), re.DOTALL)
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{3,6});", blocks[scheme]))
    texts = [(text, ground) for text in ("ink", "faint", "link") for ground in ("ground", "card", "soft")]
    texts += [(state, f"{state}-soft") for state in ("pass", "fail", "warn", "error", "none", "held")]
    texts += [("none", "card")]
    marks = [(mark, "card") for mark in ("one", "two", "three", "four", "five", "six", "fail", "faint")]

    assert not {pair: round(contrast(*(colours[name] for name in pair)), 2) for pair in texts
                if contrast(*(colours[name] for name in pair)) < 4.5}  # fmt: skip
    assert not [pair for pair in marks if contrast(*(colours[name] for name in pair)) < 3]


# -- languages -----------------------------------------------------------------------------------

#: Words that are alike in every language: names, ids, units, commands.
ALIKE = re.compile(r"daygate|Great Expectations|SHA-256|KST|JSON|null|\bID\b|Asia/Seoul|\[\w+\]", re.IGNORECASE)


def latin(source: str) -> set[str]:
    """Latin words that a reader sees, but for what is alike in every language, code and the data of the fixture."""
    document = tree(source)
    for parent in list(document.iter()):
        for child in list(parent):
            if child.tag == "code":
                parent.remove(child)
    text = " ".join(
        [*document.itertext()]
        + [
            e.get(name) or ""
            for e in document.iter()
            for name in ("aria-label", "data-copy", "data-copied", "data-label")
        ]
    )
    return set(re.findall(r"[A-Za-z]{2,}", ALIKE.sub(" ", text)))


def test_no_sentence_is_left_untranslated() -> None:
    """In Korean no page about days shows a Latin word that is not a name, an id or data."""
    with speaking("ko"):
        made = every_page("가나다")
        broken = summary(verdict=None, status="failed", is_current=False, error="가")
        made["broken"] = day_page.day_page(
            bad_day("가", run=broken, attempts=(broken,), checks=(), usual_of=0, hours=(), findings=Findings()),
            place(2),
        )
        made |= {"empty": pages.calendar(figures(), None, place()), "none": pages.quarantine(figures(), place())}

    assert {name: latin(page) for name, page in made.items()} == {name: set() for name in made}
