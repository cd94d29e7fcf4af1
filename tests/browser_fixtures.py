"""A real browser before a real site: published days, one of them bad and full of hostile values, served as always."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from urllib.parse import urlsplit

import pytest
from conftest import Session, as_lines
from database_fixtures import with_database
from playwright.sync_api import Page, sync_playwright
from pydantic import SecretStr
from staged_days import administer

from pipeline import contract, simulate
from pipeline.progress import Silent
from pipeline.settings import Settings
from scheduler import app, web

BAD = date(2026, 1, 15)
#: Each would set `window.broken` if any page took it for markup, script or address.
HOSTILE = (
    "<script>window.broken=1</script>",
    "\"><img src=x onerror='window.broken=1'>",
    "javascript:window.broken=1",
    "</script><svg onload=window.broken=1>",
    "{{ broken }}${broken}%(broken)s",
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Reported by the browser itself when a page asks for what its policy forbids.
_WATCH = "document.addEventListener('securitypolicyviolation', e => console.error('CSP ' + e.violatedDirective));"


class Loop:
    """A service whose loop beats."""

    def heartbeat_age(self):
        """Seconds since it did."""
        return 0.0


@dataclass
class Site:
    """Where it is, and the day that went wrong."""

    address: str
    bad: date = BAD


@dataclass
class Visit:
    """A page of the browser and everything that went wrong in it."""

    page: Page
    site: Site
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Go there and wait until nothing is under way."""
        self.page.goto(self.site.address + path, wait_until="networkidle")
        return self.page

    def paths(self) -> list[str]:
        """Every path that can be reached by following links, from the front page on."""
        found, waiting = [], ["/"]
        while waiting:
            path = waiting.pop(0)
            found.append(path)
            links = self.open(path).eval_on_selector_all("a[href]", "all => all.map(a => a.href)")
            here = {urlsplit(link).path for link in links if link.startswith(self.site.address)}
            waiting += sorted(here - set(found) - set(waiting))
        return found


def hostile_delivery() -> bytes:
    """Good visits of 40 customers, and as many lines whose values attack whoever shows them."""
    events = [event for number in range(1, 41) for event in Session(number).visit().events]
    for number, text in enumerate(HOSTILE * 3, start=100):
        attacked = Session(number).visit().events
        for name in ("browser", "os", "page_type", "event_id", "user_id", "search_query"):
            attacked[0][name] = text
        events += attacked
    return as_lines(*events, *(json.dumps({text: text}) for text in HOSTILE), *HOSTILE)


@pytest.fixture(scope="session")
def site(server_url, tmp_path_factory):
    """Three good days around a bad one, as the gate itself published them."""
    home = tmp_path_factory.mktemp("browsed")
    administer(server_url, "CREATE DATABASE browsed TEMPLATE migrated")
    url = with_database(server_url, "browsed")
    settings = Settings(home=home, database_url=SecretStr(url), users=60, web_port=0)
    bad = home / "</title><script>window.broken=1</script>.jsonl".replace("/", "")
    bad.write_bytes(hostile_delivery())
    for number in (-2, -1, 0, 1):
        day = BAD + timedelta(days=number)
        file = home / f"{day}.jsonl"
        simulate.generate(day, contract=contract.load(), output=file, users=60, seed=number + 9, faults={})
        app.run_day(settings, day, file=file if number else bad, engine="auto", force=False, progress=Silent())
    running = web.start(settings, Loop())
    yield Site(address=running.address)
    running.stop()
    administer(server_url, "DROP DATABASE browsed WITH (FORCE)")


@pytest.fixture(scope="module")
def chromium():
    """The browser of the machine; on CI there must be one. Its driver holds an event loop: not longer than needed."""
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None and "CI" not in os.environ:
        pytest.skip("no Chromium on this machine (Debian: apt-get install chromium)")
    assert found, "CI needs Chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, site):
    """Opens pages of the site; whatever the browser complains of is collected."""

    @contextmanager
    def visiting(**options):
        context = chromium.new_context(**options)
        context.add_init_script(_WATCH)
        page = context.new_page()
        visit = Visit(page, site)
        note = visit.problems.append
        page.on("console", lambda message: note(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: note(str(error)))
        page.on("dialog", lambda dialog: (note(f"dialog {dialog.message}"), dialog.dismiss()))
        page.on("request", lambda asked: None if asked.url.startswith(site.address) else note(f"outside: {asked.url}"))
        page.on("requestfailed", lambda asked: note(f"failed: {asked.url}"))
        page.on("response", lambda got: note(f"{got.status} {got.url}") if got.status >= 400 else None)
        yield visit
        context.close()

    return visiting
