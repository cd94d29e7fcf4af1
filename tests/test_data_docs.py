"""Data Docs: what a page says, that no value is ever markup, and that a site is never half there."""

from __future__ import annotations

import copy
import html
import logging
import re
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import html5lib
import pytest
from docs_fixtures import DAY, checked, event, facts, good_day, publish_front, summary
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationSuiteValidationResult
from great_expectations.expectations.core import ExpectColumnValuesToBeInSet
from great_expectations.render.renderer.page_renderer import ExpectationSuitePageRenderer, ValidationResultsPageRenderer
from great_expectations.render.view import DefaultJinjaPageView

from expectations_custom import ALL
from gx.look import ASSETS
from gx.policy import META_POLICY
from gx.published import DocsError, publish_page, write
from gx.site import check_lines, render_page
from gx.views import PageView
from pipeline.files import fresh_folder
from pipeline.records import Verdict

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "</code></td></table></style></title><svg onload=alert(1)>",
    '" onmouseover="alert(1)" x="',
    "' autofocus onfocus='alert(1)",
    "javascript:alert(1)",
    "<!--",
    "<![CDATA[",
    "]]>",
    "&lt;b&gt;&#x3C;i>",
    "$x ${x} $value $$PARAMETER",
    "{{7*7}} {% raw %} {0.__class__} %s %n",
    "https://evil.example/",
    "\u202edrowssap\u2066\u200b\ufeff",
    "\x1b[2J\x1b]8;;https://evil.example\x07\x08\x7f\x9b",
    "line\none\r\ntwo\u2028three",
    "\ud800",
    "<a href=//evil.example>" * 3,
    "ａ" * 5000,
)
BENIGN = "not-a-uuid"


def spoiled(*event_ids: str) -> list[dict[str, Any]]:
    """A day whose first lines have those ids, each of them outside the contract."""
    rows = good_day(400)
    for place, name in enumerate(event_ids):
        rows[place] = event(place + 1, event_id=name.encode("utf-8", "replace").decode())
    return rows


def with_text(result: CheckpointResult, text: str) -> ExpectationSuiteValidationResult:
    """The same result with `text` wherever a result can hold some: rules, samples, run name, a traceback."""
    validation = copy.deepcopy(next(iter(result.run_results.values())))
    validation.meta["run_id"] = {"run_name": text, "run_time": "2026-01-16T02:00:00+09:00"}
    validation.meta["batch_markers"] = {text: text}
    for answer in validation.results:
        for rule in answer.result.get("details", {}).get("rules", ()):
            rule |= {"id": text, "says": text, "field": text, "source": text}
        for sample in answer.result.get("details", {}).get("samples", ()):
            sample |= {"event_id": text, "reason": text, "field": text, "rule": text}
    for answer in validation.results[-2:]:
        answer.success, answer.result = False, {}
        answer.exception_info = {
            "('metric',)": {
                "raised_exception": True,
                "exception_message": f"KeyError: {text}",
                "exception_traceback": f"Traceback (most recent call last):\n  File\nKeyError: {text}\n{text}: {text}",
            }
        }
    return validation


def page(result: CheckpointResult | ExpectationSuiteValidationResult | None, folder: Path, **about: Any) -> str:
    """The page of a result as text."""
    return render_page(result, facts=facts(**about), folder=folder).read_text("utf-8")


def tree(source: str) -> Any:
    """The page as a browser reads it."""
    return html5lib.parse(source, namespaceHTMLElements=False)


def shape(source: str) -> Counter[tuple[Any, ...]]:
    """Every element with all its attributes and their values."""
    return Counter((element.tag, *sorted(element.attrib.items())) for element in tree(source).iter())


def words(source: str) -> str:
    """What a reader sees."""
    return " ".join("".join(tree(source).itertext()).split())


@pytest.fixture(scope="module")
def good() -> CheckpointResult:
    """A day that passes."""
    return checked(good_day(400))


@pytest.fixture(scope="module")
def bad() -> CheckpointResult:
    """A day on which 20 of 400 lines have an id outside the contract."""
    return checked(spoiled(*[BENIGN] * 20))


def test_the_page_states_day_verdict_counts_and_every_check(good: CheckpointResult, tmp_path: Path) -> None:
    """Someone who opens the page knows within a glance what was decided over how many lines."""
    seen = words(page(good, tmp_path / "page", lines=1_234_567, good=1_234_000, failing=567))

    assert "Thursday, 15 January 2026 PASS" in seen
    assert all(figure in seen for figure in ("1,234,567", "1,234,000", "567"))
    assert all(check.title in seen for check in ALL)
    assert "7 of 7" in seen


def test_a_failing_check_comes_first_with_rules_lines_and_command(bad: CheckpointResult, tmp_path: Path) -> None:
    """Below the summary stands what failed, why, where, and how to get all of it."""
    source = page(bad, tmp_path / "page", verdict=Verdict.FAIL, failing=20)
    sections = [s for s in tree(source).iter("section") if s.get("class", "").startswith("card check")]

    first = " ".join("".join(sections[0].itertext()).split())
    assert sections[0].get("id") == "check-unique_event_id"
    assert "19 of 400 lines fail (4.75 %)." in first
    assert "daygate check events_20260115.jsonl --date 2026-01-15 --failed-rows failing.jsonl" in first
    assert {"card check dg-fail"} == {s.get("class") for s in sections if s.get("id") == "check-value_ranges"}


def test_every_link_of_the_summary_has_a_target(bad: CheckpointResult, tmp_path: Path) -> None:
    """A check's name in the summary leads to its section."""
    page_tree = tree(page(bad, tmp_path / "page"))
    anchors = {element.get("id") for element in page_tree.iter() if element.get("id")}
    inner = [a.get("href")[1:] for a in page_tree.iter("a") if a.get("href").startswith("#")]

    assert len(inner) >= 7
    assert set(inner) <= anchors


def test_a_single_rule_below_the_floor_is_named_as_the_reason(tmp_path: Path) -> None:
    """A check can fail although its share is high enough; the page says why."""
    rows = good_day(4000)
    for n in range(3990, 4000):
        rows[n - 1] = event(n, "purchase", total_amount=None, order_id=f"ORD{n:013d}")
    seen = words(page(checked(rows), tmp_path / "page", verdict=Verdict.FAIL))

    assert "but one rule alone fails for" in seen


def test_verdicts_are_words_and_shapes_not_colours_alone(bad: CheckpointResult, tmp_path: Path) -> None:
    """Every badge holds an icon and a word."""
    source = page(with_text(bad, BENIGN), tmp_path / "page", verdict=Verdict.FAIL)
    badges = [e for e in tree(source).iter("span") if e.get("class", "").startswith("badge ")]

    assert {"PASS", "FAIL", "NOT JUDGED"} <= {"".join(badge.itertext()).strip() for badge in badges}
    assert all(len(list(badge)) == 1 and badge[0].tag.endswith("svg") for badge in badges)


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text)[:24])
def test_no_text_of_a_result_becomes_markup(bad: CheckpointResult, tmp_path: Path, text: str) -> None:
    """The elements and attributes of a page are the same whatever its rules, samples, run name and tracebacks say."""
    usual = page(with_text(bad, BENIGN), tmp_path / "usual", delivery_name="a'b", sha256=BENIGN, problems=(BENIGN,))
    attacked = page(
        with_text(bad, text), tmp_path / "attacked", delivery_name=text, sha256=text, engine=text, problems=(text,)
    )

    assert shape(usual) == shape(attacked)
    assert tree(usual).findtext("head/title") == tree(attacked).findtext("head/title")


def test_hostile_event_ids_of_a_real_checkpoint_stay_text(tmp_path: Path) -> None:
    """What comes out of the engine is shown as it is, and only shown."""
    ids = [text for text in HOSTILE if text.isprintable()][:12]
    usual = page(checked(spoiled(*[f"{BENIGN}-{n}" for n in range(12)])), tmp_path / "usual")
    attacked = page(checked(spoiled(*ids)), tmp_path / "attacked")

    assert shape(usual) == shape(attacked)
    assert all(" ".join(text.split()) in words(attacked) for text in ids)
    assert "49" not in re.sub(r"[0-9a-f]{16,}|ab+", "", words(attacked).split("The checks")[0])


def test_reordering_and_control_characters_become_visible(bad: CheckpointResult, tmp_path: Path) -> None:
    """Nothing on a page can hide, move the cursor or turn text around."""
    source = page(with_text(bad, "\u202e\x1b[2J\x9b\u200b"), tmp_path / "page")

    assert "\\u202e\\x1b[2J\\x9b\\u200b" in source
    assert not re.search("[\u202e\x1b\x9b\u200b]", source)


def test_a_check_that_raised_shows_the_type_only(bad: CheckpointResult, tmp_path: Path) -> None:
    """Messages and tracebacks can hold values from events."""
    source = page(with_text(bad, "CANARY: value"), tmp_path / "page", verdict=Verdict.INCONCLUSIVE)
    raised = [a.expectation_config.meta.get("check") for a in next(iter(bad.run_results.values())).results[-2:]]
    sections = {s.get("id"): "".join(s.itertext()) for s in tree(source).iter("section")}

    assert "could not be judged (KeyError)" in words(source)
    assert all("CANARY" not in sections[f"check-{check}"] for check in raised)


def test_a_page_without_a_result_still_says_why(tmp_path: Path) -> None:
    """When the checkpoint itself raised there is a page all the same."""
    seen = words(
        page(None, tmp_path / "page", verdict=Verdict.INCONCLUSIVE, problems=("the checkpoint raised KeyError",))
    )

    assert "INCONCLUSIVE" in seen
    assert "the checkpoint raised KeyError" in seen


def test_added_stock_expectations_are_shown_and_escaped(bad: CheckpointResult, tmp_path: Path) -> None:
    """Expectations of the user's stand on the page with their unexpected values as text."""

    def added(value: str) -> CheckpointResult:
        changed = copy.deepcopy(bad)
        answer = copy.deepcopy(next(iter(changed.run_results.values())).results[0])
        answer.expectation_config = ExpectColumnValuesToBeInSet(column="os", value_set=[value]).configuration
        answer.success = False
        answer.result = {"element_count": 2, "unexpected_count": 1, "unexpected_percent": 50.0,
                         "partial_unexpected_list": [value], "observed_value": value}  # fmt: skip
        next(iter(changed.run_results.values())).results.append(answer)
        return changed

    usual, attacked = (page(added(v), tmp_path / n) for n, v in (("usual", BENIGN), ("attacked", HOSTILE[1])))
    assert shape(usual) == shape(attacked)
    assert HOSTILE[1] in words(attacked)
    assert "FAIL os values must belong to this set" in words(usual)


def test_great_expectations_own_view_gets_no_markup_from_our_renderers() -> None:
    """A plain Great Expectations user builds stock Data Docs, where only template parameters are escaped."""

    def stock(*ids: str) -> str:
        validation = next(iter(checked(spoiled(*ids)).run_results.values()))
        return str(DefaultJinjaPageView().render(ValidationResultsPageRenderer().render(validation)))

    tags = [
        Counter(element.tag for element in tree(s).iter())
        for s in (stock(f"{BENIGN}-1", f"{BENIGN}-2"), stock(*HOSTILE[:2]))
    ]
    assert tags[0] == tags[1]


def test_the_suite_page_tells_what_each_check_demands() -> None:
    """The prescriptive renderers name threshold and floor, also when they equal the defaults."""
    suite = ExpectationSuite(name="all", expectations=[check(mostly=0.985) for check in ALL])
    seen = words(PageView().render(None, "page.html")) + html.unescape(
        str(DefaultJinjaPageView().render(ExpectationSuitePageRenderer().render(suite)))
    )

    assert seen.count("98.5 %") == 7
    assert all(check.says in seen for check in ALL)


def test_a_floor_of_a_rules_own_is_told_where_the_check_is() -> None:
    """Who reads the suite sees which rules may fail more often than the others."""
    funnel = next(check for check in ALL if check.check.id == "funnel_order")
    suite = ExpectationSuite(name="all", expectations=[funnel(rule_floors={"purchase": 0.45, "add_to_cart": 0.8})])
    seen = html.unescape(str(DefaultJinjaPageView().render(ExpectationSuitePageRenderer().render(suite))))

    assert "(purchase: 45 %; add_to_cart: 80 %)" in re.sub(r"<[^>]*>|\s+", " ", seen).replace("  ", " ")


def test_pages_need_no_network_no_inline_script_and_no_inline_style(bad: CheckpointResult, tmp_path: Path) -> None:
    """A page works under a policy that allows its own stylesheet, script and images, and nothing else."""
    folder = tmp_path / "page"
    source = page(bad, folder)
    elements = list(tree(source).iter())
    loads = [e.get(name) for e in elements for name in ("src", "href", "action", "data") if e.get(name) is not None]

    scripts = [e for e in elements if e.tag == "script"]
    assert [(e.get("src"), e.text) for e in scripts] == [("assets/copy.js", None)]
    assert not {"style", "iframe", "object", "embed", "form", "base"} & {str(e.tag) for e in elements}
    assert not [name for e in elements for name in e.attrib if str(name).startswith("on") or name == "style"]
    assert all(re.fullmatch(r"#[\w-]+|(\.\./)*[\w./-]+", load) for load in loads)
    assert all((folder / load).is_file() for load in loads if load.startswith("assets/"))
    assert META_POLICY in [e.get("content") for e in elements if e.get("http-equiv")]
    assert "default-src 'none'" in META_POLICY
    assert "unsafe" not in META_POLICY


def test_the_assets_load_nothing_from_elsewhere() -> None:
    """Stylesheet and icon are whole in themselves."""
    for asset in ASSETS.iterdir():
        text = asset.read_text("utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert not re.search(r"https?:|url\(|@import|<script", text)


def test_a_renderer_that_raises_is_told_and_kept_out_of_the_log(
    bad: CheckpointResult, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Great Expectations logs what a renderer raised together with values; the page says that a part is missing."""
    broken = copy.deepcopy(bad)
    for answer in next(iter(broken.run_results.values())).results:
        if "details" in answer.result:
            answer.result["details"]["rules"] = [{"CANARY": 1}]
            break
    with caplog.at_level(logging.DEBUG), pytest.raises(DocsError) as raised:
        page(broken, tmp_path / "page")

    assert "CANARY" not in caplog.text
    assert "could not be made (KeyError)" in str(raised.value)


def test_a_page_that_fails_leaves_the_one_before(good: CheckpointResult, tmp_path: Path) -> None:
    """A folder is swapped in whole or not at all."""
    before = page(good, tmp_path / "page")
    swapped = fresh_folder(tmp_path / "page")
    (swapped.__enter__() / "index.html").write_text("half")
    full = OSError("disk is full")
    assert not swapped.__exit__(OSError, full, None)

    assert before == (tmp_path / "page" / "index.html").read_text("utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page"]


def test_docs_errors_are_clear_and_hold_no_values(good: CheckpointResult, tmp_path: Path) -> None:
    """What goes wrong with a page is one sentence; the caller decides what it means."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DocsError, match=r"page of 2026-01-15 could not be made \(Not a directory\)"):
        page(good, tmp_path / "file" / "page", delivery_name="CANARY")
    with pytest.raises(DocsError, match="cannot name a folder"):
        publish_page(tmp_path, tmp_path / "site", "../outside")


def test_publishing_touches_no_run_before_it(good: CheckpointResult, tmp_path: Path) -> None:
    """Cost does not grow with history: old runs are neither read nor written."""
    site = tmp_path / "site"
    render_page(good, facts=facts(), folder=tmp_path / "page")
    first = publish_page(tmp_path / "page", site, "20260115-1")
    first.write_text("as it was")
    publish_page(tmp_path / "page", site, "20260116-1")
    publish_front(site, summary())

    assert first.read_text() == "as it was"
    assert {"20260115-1", "20260116-1"} == {entry.name for entry in (site / "runs").iterdir()}


def test_publishing_a_run_twice_gives_the_same_site(good: CheckpointResult, tmp_path: Path) -> None:
    """After a crash the same page is simply published again."""
    render_page(good, facts=facts(), folder=tmp_path / "page")
    published = [publish_page(tmp_path / "page", tmp_path / "site", "a-1").read_text("utf-8") for _ in range(2)]

    assert published[0] == published[1]
    assert (tmp_path / "site/runs/a-1/assets/daygate.css").is_file()


def test_the_front_page_lists_days_newest_first_and_links_what_is_there(tmp_path: Path) -> None:
    """A day without a page is listed without a link; one without a run between others is missing."""
    write(tmp_path, {"days/2026-01-15/index.html": ""})
    blocked = summary(date(2026, 1, 16), verdict=Verdict.FAIL, status="blocked", is_current=False)
    failed = summary(date(2026, 1, 13), verdict=None, status="failed", is_current=False)
    source = publish_front(tmp_path, failed, summary(), blocked)

    table = next(one for one in tree(source).iter("table") if "days" in one.get("class").split())
    rows = [" ".join("".join(row.itertext()).split()) for row in table.iter("tr")][1:]
    assert [row[:10] for row in rows] == ["2026-01-16", "2026-01-15", "2026-01-14", "2026-01-13"]
    assert all(word in row for word, row in zip(("FAIL", "12,345,678", "MISSING", "NO VERDICT"), rows, strict=True))
    assert [a.get("href") for a in table.iter("a")] == ["days/2026-01-15/index.html"]


def test_the_front_page_before_the_first_run_says_what_to_do(tmp_path: Path) -> None:
    """An empty site is a page with the next command, not an empty table."""
    seen = words(publish_front(tmp_path))

    assert "No day has been through the gate yet." in seen
    assert "daygate run" in seen


def test_summary_lines_come_from_the_details_of_the_checks(bad: CheckpointResult) -> None:
    """The table on top shows the figures of the results, nothing recomputed from rounded ones."""
    lines = {line.id: line for line in check_lines(next(iter(bad.run_results.values())).results)}

    assert (
        lines["value_ranges"].state[1], lines["value_ranges"].rate,
        lines["value_ranges"].failed, lines["value_ranges"].evaluated,
    ) == ("FAIL", "95.00 %", 20, 400)  # fmt: skip
    assert facts().day == DAY
