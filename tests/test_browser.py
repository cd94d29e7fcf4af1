"""The site in a real browser: nothing breaks, nothing from events runs, everything is reached without a mouse."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytest_plugins = ["browser_fixtures"]

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """Where screenshots are left: `PICTURES`, else the tests' own folder."""
    folder = Path(os.environ.get("PICTURES") or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def named(path: str) -> str:
    """A file name for a page."""
    return path.strip("/").replace("/", "-").removesuffix("-index.html") or "calendar"


def test_every_page_loads_without_complaint_or_outside_request(visit):
    """All pages that links lead to: no console message, no report of the policy, nothing missing, nothing foreign."""
    with visit() as one:
        paths = one.paths()

        assert one.problems == []
        assert len(paths) >= 10
        assert one.page.evaluate("window.broken") is None


def test_nothing_from_events_runs_on_any_page(visit):
    """Values, names and reasons that are scripts, handlers or addresses stay text wherever they are shown."""
    shown = ""
    with visit() as one:
        for path in one.paths():
            page = one.open(path)
            shown += page.inner_text("body")
            assert page.evaluate("window.broken") is None, path
            assert page.locator("[onerror], [onload], a[href^='javascript:'], body script:not([src])").count() == 0

        assert one.problems == []
    assert "<script>window.broken=1</script>" in shown  # …and they are shown: somebody must be able to see them


def test_calendar_day_failing_check_and_sample_lines_are_reached_by_keyboard(visit):
    """Tab and Enter alone lead from the front page to the lines that failed."""
    with visit(viewport=DESK) as one:
        page = one.open("/")
        follow(page, lambda href: f"days/{one.site.bad}" in href)
        page.wait_for_url(f"**/days/{one.site.bad}/**")
        assert page.locator("h1").count() == 1
        follow(page, lambda href: "runs/" in href and "#" in href)
        page.wait_for_url("**/runs/**")

        check = page.url.partition("#")[2]
        assert page.locator(f"[id='{check}']").is_visible()
        assert page.locator("td, code", has_text="line").or_(page.get_by_text("daygate quarantine show")).count()
        assert one.problems == []


def follow(page, wanted, *, most: int = 200) -> None:
    """Press Tab until a wanted link has the focus, see that it shows it, and press Enter."""
    for _ in range(most):
        page.keyboard.press("Tab")
        href = page.evaluate("document.activeElement.getAttribute('href') || ''")
        if wanted(href):
            style = page.evaluate("(s => s.outlineStyle + s.boxShadow)(getComputedStyle(document.activeElement))")
            assert style != "nonenone", f"the focus on {href} cannot be seen"
            page.keyboard.press("Enter")
            return
    pytest.fail("no such link is reached by Tab")


def test_the_first_tab_leads_past_the_navigation(visit):
    """Whoever reads by keyboard need not walk through the menu on each page."""
    with visit() as one:
        page = one.open("/")
        page.keyboard.press("Tab")
        target = page.evaluate("document.activeElement.getAttribute('href')")

        assert target.startswith("#")
        assert page.locator(target).count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [DESK, PHONE], ids=["desk", "phone"])
def test_pages_fit_their_width_and_leave_a_picture(visit, pictures, scheme, viewport):
    """In light and dark, on a desk and on a phone: no page is wider than the screen; look at the pictures."""
    with visit(viewport=viewport, color_scheme=scheme) as one:
        for path in one.paths():
            page = one.open(path)
            name = f"{named(path)}-{scheme}{'-phone' if viewport is PHONE else ''}.png"
            page.screenshot(path=pictures / name, full_page=True)
            assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], path

        assert one.problems == []


def test_bars_are_filled_and_bad_ones_hatched(visit):
    """Whoever looks at the events of each day sees them, and the blocked day without telling colours apart."""
    with visit() as one:
        page = one.open("/trends/")
        fills = "all => all.map(one => getComputedStyle(one).fill)"
        bars = page.eval_on_selector_all("#trend-events path.bar", fills)
        hatches = page.eval_on_selector_all("#trend-events path[fill]", fills)

        assert len(bars) == 2
        assert "none" not in bars
        assert [hatch.startswith("url(") for hatch in hatches] == [True]


def test_pages_say_everything_without_script(visit):
    """The one script only adds buttons that copy."""
    with visit(java_script_enabled=False) as without, visit() as with_script:
        path = f"/days/{without.site.bad}/"
        commands = without.open(path).locator("code.command").all_inner_texts()

        assert commands
        assert without.page.locator("button").count() == 0
        assert with_script.open(path).locator("button.copy").count() == len(commands)


def test_pages_can_be_read_aloud(visit):
    """One h1, a language, a main part, and a name for every picture and table column."""
    with visit() as one:
        for path in one.paths():
            page = one.open(path)
            assert page.locator("h1").count() == 1, path
            assert page.locator("main").count() == 1, path
            assert page.get_attribute("html", "lang") == "en", path
            assert page.locator("svg[role=img]:not([aria-labelledby]):not([aria-label])").count() == 0, path
            assert page.locator("img:not([alt])").count() == 0, path
            assert page.locator("th:not([scope])").count() == 0, path
