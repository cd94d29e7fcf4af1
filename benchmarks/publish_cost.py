"""What publishing a day's pages costs when 10, 100 and 1,000 days are published already.

    python benchmarks/publish_cost.py [--rounds 9] [--json PATH]

One real day goes through the gate; the days before it are copies of its rows in the ledger, the quality log and the
funnel mart, and their pages are copies of its pages. Then the day's pages are made and published again and again, its
run's page by Great Expectations' renderers included, on sites of the three sizes in turns, so that a busy machine slows
all of them alike. Pages look back 90 days at most; a site of 10 days has less to draw.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
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
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory(prefix="daygate-cost-") as work:
        home = Path(work) / "server"
        server = postgres.ensure_running(home)
        try:
            found = measure(server, Path(work), given.rounds)
        finally:
            postgres.stop(home)
    smallest = found[SIZES[0]]
    for size, (wall, cpu) in found.items():
        against = f"×{wall / smallest[0]:.2f} wall, ×{cpu / smallest[1]:.2f} CPU"
        print(f"{size:>5} days: {wall * 1000:7.1f} ms wall, {cpu * 1000:6.1f} ms CPU, {against}")
    if given.json is not None:
        rows = [{"days": size, "wall_seconds": wall, "cpu_seconds": cpu} for size, (wall, cpu) in found.items()]
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


def measure(server: str, work: Path, rounds: int) -> dict[int, tuple[float, float]]:
    """Days published before -> median seconds on the clock and of our own processor time."""
    sites = {size: _site(server, work, size) for size in SIZES}
    times: dict[int, list[tuple[float, float]]] = {size: [] for size in SIZES}
    for _ in range(rounds + 1):
        for size, (settings, url, run_id) in sites.items():
            wall, cpu = perf_counter(), process_time()
            _publish(settings, url, run_id)
            times[size].append((perf_counter() - wall, process_time() - cpu))
    warm = {size: each[1:] for size, each in times.items()}
    return {size: (_median(each, 0), _median(each, 1)) for size, each in warm.items()}


def _publish(settings: Settings, url: str, run_id: str) -> None:
    """What a run does once its day is decided: its page, and every page of the site that tells of the day."""
    with database.session(url, name="bench", doing="reading the ledger") as connection:
        ((run, report),) = site_figures.reports(connection, DAY)
    agreed = contract.load()
    result = stored.result_of(report, run_id=run_id, settings=settings, table=rules.table(agreed))
    page = settings.runs_folder / run_id / "page"
    render_page(result, facts=site.facts_of(run, report), folder=page)
    site.publish(settings, url, [DAY], runs=[run_id])


def _site(server: str, work: Path, size: int) -> tuple[Settings, str, str]:
    """A home with so many published days, its database, and the run of the newest."""
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
    return settings, url, outcome.summary.run_id


def _median(times: list[tuple[float, float]], which: int) -> float:
    return statistics.median(each[which] for each in times)


if __name__ == "__main__":
    main()
