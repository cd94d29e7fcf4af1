"""What publishing a day costs when 10, 100 and 1,000 days are published already: as a whole, and its pages alone.

    python benchmarks/publish_cost.py [--rounds 9] [--days 5] [--json PATH]

One real day goes through the gate; the days before it are copies of its rows in the ledger, the quality log and the
funnel mart, and their pages are copies of its pages. Then the day is published again and again, on sites of the three
sizes in turns, so that a busy machine slows all of them alike: the whole way from its file through checks, load, marts
and the commit to the pages (`day`), and its pages alone (`pages`), its run's page by Great Expectations' renderers
included. Pages look back 90 days at most; a site of 10 days has less to draw.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
from collections.abc import Callable
from contextlib import closing
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter, process_time

import psycopg2
from pydantic import SecretStr

from expectations_custom import rules
from gx import stored
from gx.site import render_page
from pipeline import contract, database, postgres, site_figures
from pipeline.progress import Silent
from pipeline.settings import Settings
from scheduler import app, site

SIZES = (10, 100, 1000)
DAY = date(2026, 1, 15)
_COPIES = """
WITH copies AS (SELECT n, %(day)s::date - n AS day FROM generate_series(1, %(days)s) AS n),
runs AS (
    INSERT INTO pipeline_run_log
    SELECT (jsonb_populate_record(r, jsonb_build_object(
        'run_id', to_char(c.day, 'YYYYMMDD') || '-1-0', 'day', c.day, 'fence', nextval('run_fence')))).*
    FROM pipeline_run_log AS r, copies AS c WHERE r.day = %(day)s
    RETURNING run_id, day
), checks AS (
    INSERT INTO quality_check_log
    SELECT (jsonb_populate_record(q, jsonb_build_object('run_id', runs.run_id, 'day', runs.day))).*
    FROM quality_check_log AS q, runs WHERE q.day = %(day)s
)
INSERT INTO mart_funnel_daily
SELECT (jsonb_populate_record(f, jsonb_build_object('funnel_date', c.day))).*
FROM mart_funnel_daily AS f, copies AS c WHERE f.funnel_date = %(day)s
"""


def main() -> None:
    """Print the medians, and their ratios to those of the smallest site."""
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--rounds", type=int, default=9, help="of the pages alone")
    asked.add_argument("--days", type=int, default=5, help="rounds of a whole day")
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="daygate-cost-") as work:
        home = Path(work) / "server"
        server = postgres.ensure_running(home)
        try:
            found = measure(server, Path(work), {"day": given.days, "pages": given.rounds})
        finally:
            postgres.stop(home)
    for what in found:
        smallest = found[what][SIZES[0]]
        for size, (wall, cpu) in found[what].items():
            against = f"×{wall / smallest[0]:.2f} wall, ×{cpu / smallest[1]:.2f} CPU"
            print(f"{what:>5} at {size:>5} days: {wall * 1000:7.1f} ms wall, {cpu * 1000:7.1f} ms CPU, {against}")
    if given.json is not None:
        rows = [
            {"what": what, "days": size, "wall_seconds": wall, "cpu_seconds": cpu}
            for what, sizes in found.items()
            for size, (wall, cpu) in sizes.items()
        ]
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(server: str, work: Path, rounds: dict[str, int]) -> dict[str, dict[int, tuple[float, float]]]:
    """What is published -> days published before -> median seconds on the clock and of our own processor time."""
    sites = {size: _site(server, work, size) for size in SIZES}
    ways: dict[str, Callable[[Settings, str], None]] = {"day": _day, "pages": _pages}
    return {what: _timed(ways[what], sites, times) for what, times in rounds.items() if times}


def _timed(
    publish: Callable[[Settings, str], None], sites: dict[int, tuple[Settings, str]], rounds: int
) -> dict[int, tuple[float, float]]:
    times: dict[int, list[tuple[float, float]]] = {size: [] for size in sites}
    for _ in range(rounds + 1):
        for size, site_of_size in sites.items():
            wall, cpu = perf_counter(), process_time()
            publish(*site_of_size)
            times[size].append((perf_counter() - wall, process_time() - cpu))
    warm = {size: each[1:] for size, each in times.items()}
    return {size: (_median(each, 0), _median(each, 1)) for size, each in warm.items()}


def _day(settings: Settings, _url: str) -> None:
    """The whole of it, as `daygate run` does."""
    app.run_day(settings, DAY, file=None, engine="auto", force=True, progress=Silent())


def _pages(settings: Settings, url: str) -> None:
    """What a run does once its day is decided: its page, and every page of the site that tells of the day."""
    with database.session(url, name="bench", doing="reading the ledger") as connection:
        (run, report), *_ = site_figures.reports(connection, DAY)
    agreed = contract.load()
    result = stored.result_of(report, run_id=run.run_id, settings=settings, table=rules.table(agreed))
    page = settings.runs_folder / run.run_id / "page"
    render_page(result, facts=site.facts_of(run, report), folder=page)
    site.publish(settings, url, [DAY], runs=[run.run_id])


def _site(server: str, work: Path, size: int) -> tuple[Settings, str]:
    """A home with so many published days, and its database."""
    name = f"cost_{size}"
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name}")
    head, _, query = server.partition("?")
    url = f"{head.rpartition('/')[0]}/{name}?{query}"
    settings = Settings(home=work / name, database_url=SecretStr(url), users=100)
    outcome = app.run_day(settings, DAY, file=None, engine="auto", force=False, progress=Silent())
    with (
        database.session(url, name="bench", doing="copying days") as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(_COPIES, {"day": DAY, "days": size - 1})
    for n in range(1, size):
        day = DAY - timedelta(days=n)
        shutil.copytree(settings.site_folder / f"days/{DAY}", settings.site_folder / f"days/{day}")
        run = settings.site_folder / "runs" / outcome.summary.run_id
        shutil.copytree(run, run.with_name(f"{day:%Y%m%d}-1-0"))
    return settings, url


def _median(times: list[tuple[float, float]], which: int) -> float:
    return statistics.median(each[which] for each in times)


if __name__ == "__main__":
    main()
