"""The published site: whole in itself, made anew from the database, and never half there for a reader."""

from __future__ import annotations

import asyncio
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import html5lib
import pytest
from pydantic import SecretStr
from starlette.requests import Request
from test_site_pages import latin

from gx import published
from gx.policy import META_POLICY
from pipeline.errors import BusyError
from pipeline.progress import Silent
from pipeline.settings import Settings
from scheduler import repair, site
from scheduler.site_files import Site

BAD = {"browser_unknown": 0.03}


@pytest.fixture
def three_runs(run_day, delivery, settings, day):
    """A good day, and one that was blocked and released."""
    run_day(day)
    following = day + timedelta(days=1)
    blocked = run_day(following, file=delivery(following, **BAD))
    released = repair.release_day(settings, following, reason="Known <b>build</b>", by="Kim", progress=Silent())
    return following, blocked.summary.run_id, released.summary.run_id


def pages_of(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text("utf-8") for path in sorted(folder.rglob("*.html"))}


def broken_links(folder: Path) -> list[tuple[str, str]]:
    """Links and loads of all pages that lead to no file of the site, or to no place on its page."""
    pages = {name: html5lib.parse(page, namespaceHTMLElements=False) for name, page in pages_of(folder).items()}
    places = {name: {e.get("id") for e in page.iter() if e.get("id")} for name, page in pages.items()}
    found = []
    for name, page in pages.items():
        for element in page.iter():
            target = element.get("href") or element.get("src")
            if target is None:
                continue
            path, _, place = target.partition("#")
            file = ((folder / name).parent / path).resolve() if path else (folder / name).resolve()
            inside = file.is_file() and file.is_relative_to(folder.resolve())
            if not inside or (place and place not in places[str(file.relative_to(folder.resolve()))]):
                found.append((name, target))
    return found


def test_the_site_is_whole_and_can_be_made_anew_from_the_database(
    three_runs, settings, database_url, tmp_path, contract
):
    """Published day by day or made anew elsewhere: the same pages, every link leads somewhere, nothing inline."""
    _, blocked, released = three_runs
    elsewhere = Settings(home=tmp_path / "elsewhere", database_url=SecretStr(database_url), lang="ko")
    built = site.build(elsewhere, database_url, Silent())
    first, second = pages_of(settings.site_folder), pages_of(elsewhere.site_folder)

    assert (built.days, built.runs) == (2, 3)
    assert set(first) == set(second)
    assert broken_links(settings.site_folder) == broken_links(elsewhere.site_folder) == []
    for page in (*first.values(), *second.values()):
        elements = list(html5lib.parse(page, namespaceHTMLElements=False).iter())
        assert META_POLICY in [e.get("content") for e in elements if e.get("http-equiv")]
        assert [e.text for e in elements if e.tag == "script"] == [None]
        assert not [e for e in elements if e.tag == "style" or e.get("style")]
        assert not [name for e in elements for name in e.attrib if str(name).startswith("on")]
    for told in (first, second):
        assert "Known &lt;b&gt;build" in told[f"runs/{blocked}/index.html"]
        assert released in told[f"runs/{blocked}/index.html"]
    assert {"Kim", "Known", "build"} & latin(second["index.html"])
    names = {"Kim", "Known", "build", "root", "browser", *(contract.field("platform").enum or ())}
    assert {w for w in latin(second["index.html"]) | latin(second["trends/index.html"]) if len(w) > 3} - names == set()


def test_a_page_made_from_the_ledger_names_the_added_expectation_that_failed(
    run_day, settings, database_url, day, tmp_path
):
    """Guards and added expectations by name and verdict, in the page's language where the name is ours."""
    own = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "referrer"}, "severity": "critical"}
    (tmp_path / "own.json").write_text(json.dumps({"name": "own", "expectations": [own]}))
    run = run_day(day, expectations=tmp_path / "own.json").summary
    elsewhere = Settings(home=tmp_path / "elsewhere", database_url=SecretStr(database_url), lang="ko")
    site.build(elsewhere, database_url, Silent())
    page = html5lib.parse(pages_of(elsewhere.site_folder)[f"runs/{run.run_id}/index.html"], namespaceHTMLElements=False)
    told = [" ".join(" ".join(item.itertext()).split()) for item in page.iterfind(".//ul[@class='others']/li")]

    day_page = pages_of(settings.site_folder)[f"days/{day}/index.html"]

    assert run.status == "blocked"
    assert "expect_column_values_to_not_be_null (referrer) did not pass." in day_page
    assert told == [
        "통과 한 줄 이상 있음",
        "통과 선언한 열이 모두 있음",
        "실패 expect_column_values_to_not_be_null (referrer)",
    ]


def test_a_day_publishes_the_same_pages_whatever_was_before(run_day, settings, day):
    """The pages that change are those of the day, its neighbours and its month, and the four about many days."""
    for n in (3, 2, 1, 0):
        run_day(day + timedelta(days=n))
    marks = {name: (settings.site_folder / name).stat().st_mtime_ns for name in pages_of(settings.site_folder)}
    run_day(day + timedelta(days=1), force=True)
    changed = {
        name
        for name in pages_of(settings.site_folder)
        if (settings.site_folder / name).stat().st_mtime_ns != marks.get(name)
    }
    (run_id,) = {name.split("/")[1] for name in changed if name.startswith("runs/")}

    assert changed == {
        "index.html", "trends/index.html", "quarantine/index.html", "checks/index.html", "months/2026-01/index.html",
        "days/2026-01-15/index.html", "days/2026-01-16/index.html", "days/2026-01-17/index.html",
        f"runs/{run_id}/index.html",
    }  # fmt: skip


def whole(number: int) -> dict[str, str]:
    return {f"days/d{n}/index.html": f"begin {number} {'x' * 20_000} end {number}" for n in range(3)}


def is_whole(page: str) -> bool:
    first, _, rest = page.partition(" ")
    return first == "begin" and page.endswith(f" end {rest.partition(' ')[0]}")


READS = 10_000


def read_files(folder: Path) -> list[str]:
    """What was broken when each page was read from the file system."""
    broken = []
    for n in range(READS):
        try:
            page = (folder / f"days/d{n % 3}/index.html").read_text()
        except OSError as error:
            page = str(error)
        if not is_whole(page):
            broken.append(page[:80])
    return broken


async def read_web(folder: Path) -> list[str]:
    """What was broken when each page was asked of the web's own handler."""
    broken, served = [], Site(folder)
    for n in range(READS):
        scope = {"type": "http", "method": "GET", "path": f"/days/d{n % 3}/", "headers": []}
        answer = await served.serve(Request(scope))
        page = b""
        if answer.status_code == 200:
            page = b"".join([chunk async for chunk in answer.body_iterator])
        if not is_whole(page.decode()):
            broken.append(f"{answer.status_code} {page[:80]!r}")
    return broken


def keep_swapping(folder: Path, done: threading.Event) -> int:
    """Whole sites and single pages take each other's place; how many sites."""
    swaps = 0
    while not done.is_set():
        swaps += 1
        with published.rebuilt(folder) as fresh, published.locked(folder):
            published.write(fresh, whole(swaps))
            published.swap(fresh, folder)
        with published.locked(folder):
            published.write(folder, whole(swaps))
    return swaps


@pytest.mark.long
def test_readers_meet_no_missing_and_no_half_page_while_the_site_is_swapped(tmp_path):
    """10,000 reads each from the file system and through the web, while whole sites take each other's place."""
    folder, done = tmp_path / "site", threading.Event()
    published.write(folder, whole(0))
    with ThreadPoolExecutor(2) as pool:
        swapping = pool.submit(keep_swapping, folder, done)
        files = pool.submit(read_files, folder)
        try:
            web = asyncio.run(read_web(folder))
            broken = [*files.result(), *web]
        finally:
            done.set()

    assert broken == []
    assert swapping.result() >= 3


def test_one_process_builds_at_a_time(tmp_path):
    """The second is told so, and the first goes on."""
    with published.rebuilt(tmp_path / "site"), pytest.raises(BusyError), published.rebuilt(tmp_path / "site"):
        pass


def test_a_build_that_fails_leaves_the_site_as_it_was(tmp_path):
    """Nothing of it stays either."""
    folder = tmp_path / "site"
    published.write(folder, {"index.html": "old"})
    building = published.rebuilt(folder)
    published.write(building.__enter__(), {"index.html": "new"})
    assert not building.__exit__(RuntimeError, RuntimeError(), None)

    assert (folder / "index.html").read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {"site", ".site.build"}


def test_pages_older_than_the_settings_keep_are_removed(tmp_path):
    """Days and runs by the day in their names; everything else stays."""
    old, new = date(2026, 1, 15), date(2026, 1, 16)
    pages = [f"days/{day}/index.html" for day in (old, new)] + [
        f"runs/{day:%Y%m%d}-1-a/index.html" for day in (old, new)
    ]
    published.write(tmp_path, dict.fromkeys([*pages, "index.html", "days/other/index.html"], "x"))

    assert published.oldest_kept(date(2026, 1, 20), 4) == new
    assert published.forget(tmp_path, before=new) == 2
    assert set(pages_of(tmp_path)) == {pages[1], pages[3], "index.html", "days/other/index.html"}


class Refusing:
    """A file system that cannot exchange two folders."""

    def renameat2(self, *_):
        return -1


@pytest.mark.parametrize("library", [object(), Refusing()], ids=["no such call", "refused"])
def test_folders_are_exchanged_also_where_it_takes_two_steps(library, tmp_path, monkeypatch):
    """Without the call, or on a file system that refuses it, the new site still takes the place of the old one."""
    monkeypatch.setattr(published.ctypes, "CDLL", lambda *_, **__: library)
    folder = tmp_path / "site"
    published.write(folder, {"index.html": "old"})
    with published.rebuilt(folder) as fresh, published.locked(folder):
        published.write(fresh, {"index.html": "new"})
        published.swap(fresh, folder)

    assert (folder / "index.html").read_text() == "new"
    assert (tmp_path / ".site.old" / "index.html").read_text() == "old"


def test_a_site_that_was_lost_between_two_steps_comes_back_with_the_next_change(tmp_path, monkeypatch):
    """As after a kill between them: the old site waits beside its place, and nothing of it is lost."""
    monkeypatch.setattr(published.ctypes, "CDLL", lambda *_, **__: Refusing())
    folder = tmp_path / "site"
    published.write(folder, {"index.html": "old", "days/2026-01-15/index.html": "kept"})
    with pytest.raises(published.DocsError, match="could not take the place"):
        published.swap(tmp_path / "gone", folder)
    assert not folder.exists()

    with published.locked(folder):
        published.write(folder, {"index.html": "changed"})

    assert (folder / "index.html").read_text() == "changed"
    assert (folder / "days/2026-01-15/index.html").read_text() == "kept"
    assert not (tmp_path / ".site.old").exists()


def test_a_site_that_cannot_be_written_is_told_in_words(tmp_path):
    """A file stands where a folder should be: an error with the reason, nothing half done."""
    (tmp_path / "site").write_text("")

    with pytest.raises(published.DocsError, match="could not be written"):
        published.write(tmp_path / "site", {"index.html": "x"})
    with pytest.raises(published.DocsError, match="cannot be locked"), published.rebuilt(tmp_path / "site" / "below"):
        pass
