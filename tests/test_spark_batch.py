"""The Spark aggregates say what the marts say and what DuckDB makes of the same lines, and are replaced day by day."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import re
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg2
import pytest
from pydantic import SecretStr

from pipeline import contract, ledger, simulate
from pipeline.errors import BusyError, ExitCode, SettingsError, StepFailed
from pipeline.failed_rows import spreadsheet_safe
from pipeline.marts import read
from pipeline.progress import Silent
from pipeline.records import CheckReport, Verdict
from pipeline.settings import Settings
from pipeline.spark import output
from pipeline.spark.aggregates import FOLDER, all_aggregates
from scheduler import app, batch
from scheduler.boundary import call

pytest_plugins = ["spark_fixtures"]
pytestmark = pytest.mark.spark

#: A day with quarantined lines, one with hostile values that its severities let pass, and one the gate blocked.
SIMULATED, HOSTILE, BLOCKED = DAYS = [date(2026, 1, 15) + timedelta(days=n) for n in range(3)]
GOOD = [SIMULATED, HOSTILE]
EVIL = ("=1+1", "+1", "-1", "@SUM(A1)", "\ttab", "\rreturn", " =1", "＝1", "'quoted", 'a"b,c\nd', " trailing ")
MART_OF = {
    "funnel_conversion": (
        "mart_funnel_daily",
        """funnel_date, platform, step1_viewers, step2_clickers, step3_cart_adders, step4_purchasers,
        view_to_click_rate, click_to_cart_rate, cart_to_purchase_rate, overall_conversion_rate""",
    ),
    "product_conversion": (
        "mart_product_daily",
        """activity_date, product_id, click_count, cart_add_count, purchase_count, revenue, unique_viewers,
        unique_buyers, conversion_rate""",
    ),
}
#: The good lines, read by DuckDB from the archived delivery itself.
EVENTS = """
CREATE TABLE e AS
SELECT day, line, raw->>'$.event_type' AS event_type, raw->>'$.user_id' AS user_id, raw->>'$.session_id' AS session_id,
       raw->>'$.platform' AS platform, raw->>'$.product_id' AS product_id, raw->>'$.extra_data' AS details,
       epoch_us(CAST(raw->>'$.timestamp' AS TIMESTAMPTZ)) AS us
FROM (SELECT CAST(? AS DATE) AS day, row_number() OVER () AS line, TRY_CAST(text AS JSON) AS raw
      FROM read_csv(?, columns={'text': 'VARCHAR'}, delim='\\x01', quote='', escape='', header=false, parallel=false))
WHERE line NOT IN (SELECT unnest(CAST(? AS BIGINT[])))
"""
WANTED = {
    "funnel_conversion": """
        WITH n AS (SELECT day, platform,
                          count(DISTINCT CASE WHEN event_type = 'page_view' THEN user_id END) AS a,
                          count(DISTINCT CASE WHEN event_type = 'click' THEN user_id END) AS b,
                          count(DISTINCT CASE WHEN event_type = 'add_to_cart' THEN user_id END) AS c,
                          count(DISTINCT CASE WHEN event_type = 'purchase' THEN user_id END) AS d
                   FROM e GROUP BY ALL)
        SELECT day, platform, a, b, c, d, round(100 * b / nullif(a, 0), 2), round(100 * c / nullif(b, 0), 2),
               round(100 * d / nullif(c, 0), 2), round(100 * d / nullif(a, 0), 2) FROM n""",
    "hourly_traffic": """
        SELECT day, (us // 3600000000 + 9) % 24 AS h, platform, count(*), count(DISTINCT user_id),
               count(DISTINCT session_id) FROM e GROUP BY ALL""",
    "hourly_traffic_by_type": """
        SELECT day, (us // 3600000000 + 9) % 24 AS h, event_type, count(*), count(DISTINCT user_id),
               count(DISTINCT session_id) FROM e GROUP BY ALL""",
    "product_conversion": """
        WITH i AS (SELECT day, line, user_id, unnest(CAST(json_extract(details, '$.products') AS JSON[])) AS item
                   FROM e WHERE event_type = 'purchase'),
             s AS (SELECT day, item->>'$.product_id' AS product_id, count(DISTINCT line) AS n,
                          sum(CAST(item->>'$.quantity' AS BIGINT) * CAST(item->>'$.unit_price' AS BIGINT)) AS won,
                          count(DISTINCT user_id) AS buyers FROM i GROUP BY ALL),
             v AS (SELECT day, product_id, countif(event_type = 'click') AS clicks,
                          countif(event_type = 'add_to_cart') AS carts,
                          count(DISTINCT CASE WHEN event_type IN ('page_view', 'click') THEN user_id END) AS viewers
                   FROM e WHERE product_id IS NOT NULL GROUP BY ALL)
        SELECT day, product_id, coalesce(clicks, 0), coalesce(carts, 0), coalesce(n, 0), coalesce(won, 0),
               coalesce(viewers, 0), coalesce(buyers, 0), round(100 * coalesce(buyers, 0) / nullif(viewers, 0), 2)
        FROM v FULL JOIN s USING (day, product_id)""",
    "session_sequences": """
        SELECT day, session_id, arg_min(user_id, (us, line)), arg_min(platform, (us, line)),
               string_agg(event_type, '>' ORDER BY us, line), count(*), min(us), max(us), (max(us) - min(us)) / 1e6,
               bool_or(event_type = 'purchase') FROM e GROUP BY day, session_id""",
    "session_sequence_summary": """
        WITH s AS (SELECT day, session_id, string_agg(event_type, '>' ORDER BY us, line) AS path,
                          max(us) - min(us) AS long, bool_or(event_type = 'purchase') AS bought
                   FROM e GROUP BY day, session_id)
        SELECT day, path, count(*), (2 * sum(long) + count(*) * 10000) // (count(*) * 20000) / 100,
               round(100 * countif(bought) / count(*), 2) FROM s GROUP BY day, path""",
}


def hostile_day(session, lines):
    """Visits whose products and session ids would be formulas in a spreadsheet."""
    visits = []
    for number, text in enumerate(EVIL, 1):
        visit = session(number, start="2026-01-16T23:10:00").add("page_view", product_id=text)
        visits += visit.add("click", product_id=text, session_id=text).visit().events
    return lines(*visits)


@pytest.fixture(scope="module")
def house(server_url, spark, tmp_path_factory):
    """Settings of a home with two published days and a blocked one, and its aggregates of the whole range."""
    from conftest import Session, as_lines  # noqa: PLC0415  # its fixtures are per test
    from database_fixtures import _database  # noqa: PLC0415  # likewise; a plugin is registered before it is imported

    home = tmp_path_factory.mktemp("batch") / "data"
    with contextmanager(_database)(server_url, "migrated") as url:
        settings = Settings(home=home, database_url=SecretStr(url), users=60)
        rules = contract.load()
        for day, faults in ((SIMULATED, {"line_truncated": 0.004}), (BLOCKED, {"user_id_missing": 0.5})):
            simulate.generate(day, contract=rules, output=settings.event_file(day), users=60, seed=7, faults=faults)
        settings.event_file(HOSTILE).write_bytes(hostile_day(Session, as_lines))
        tolerant = settings.model_copy(
            update={"severities": dict.fromkeys(("value_ranges", "funnel_order"), "warning")}
        )
        for day, chosen in ((SIMULATED, settings), (HOSTILE, tolerant), (BLOCKED, settings)):
            app.run_day(chosen, day, file=None, engine=None, force=False, progress=Silent())
        yield settings, batch.run(settings, DAYS, source=None, folder=settings.aggregates_folder, progress=Silent())


def rows(settings, name):
    """What the Parquet of an aggregate holds, in order of its columns, the day first."""
    table = duckdb.sql(
        f"FROM read_parquet('{settings.aggregates_folder}/{name}/parquet/*/*.parquet', hive_partitioning=true)"
    )
    columns = [column for column in table.columns if column != "event_date"]
    shown = [f"epoch_us({c})" if c in ("session_start", "session_end") else c for c in columns]
    return table.project(", ".join(["CAST(event_date AS DATE)", *shown])).fetchall()


def plain(found):
    """Rows as comparable values, sorted: numbers by value to six digits behind the point."""
    return sorted(
        [
            tuple(float(round(cell, 6)) if isinstance(cell, int | float | Decimal) else cell for cell in row)
            for row in found
        ],
        key=repr,
    )


@pytest.fixture(scope="module")
def elsewhere(house):
    """A DuckDB that holds the good lines of the published days."""
    settings, _ = house
    url = settings.database_url.get_secret_value()
    with duckdb.connect() as db, closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        for day in GOOD:
            run = ledger.published(connection, day)
            cursor.execute("SELECT line_no FROM daygate.quarantine_events WHERE run_id = %s", (run.run_id,))
            bad = [line for (line,) in cursor.fetchall()]
            file = str(settings.deliveries_folder / f"{run.delivery_sha256}.jsonl")
            db.execute(
                EVENTS if day == GOOD[0] else EVENTS.replace("CREATE TABLE e AS", "INSERT INTO e"), [day, file, bad]
            )
        yield db


def test_days_that_did_not_pass_are_left_out_and_told(house):
    """A blocked day has no figures; the others have, less what is in quarantine."""
    settings, outcome = house

    assert outcome.days == GOOD
    assert [error.exit_code for error in outcome.refused] == [ExitCode.FAIL]
    assert str(BLOCKED) in outcome.refused[0].message
    assert {row[0] for name in outcome.rows for row in rows(settings, name)} == set(GOOD)
    assert outcome.rows == {name: len(rows(settings, name)) for name in WANTED}


@pytest.mark.parametrize("name", MART_OF)
def test_figures_are_those_of_the_marts(house, name):
    """Two engines, two dialects, one meaning."""
    settings, _ = house
    mart, columns = MART_OF[name]
    url = settings.database_url.get_secret_value()
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT {columns} FROM daygate.{mart}")
        published = cursor.fetchall()

    assert plain(rows(settings, name)) == plain(published)


@pytest.mark.parametrize("name", WANTED)
def test_figures_are_what_duckdb_makes_of_the_good_lines(house, elsewhere, name):
    """Another engine with other SQL, from the delivery's own bytes; also of the days' hostile lines."""
    settings, _ = house

    assert plain(rows(settings, name)) == plain(elsewhere.execute(WANTED[name]).fetchall())


def test_the_query_of_the_page_about_spark_answers(house, monkeypatch):
    """docs/spark.md shows what to ask of the files: the commonest paths come first."""
    settings, _ = house
    page = (Path(__file__).parent.parent / "docs" / "spark.md").read_text("utf-8")
    monkeypatch.chdir(settings.home.parent)
    answer = duckdb.sql(re.search(r"```sql\n(.*?)```", page, re.DOTALL)[1])
    counts = [count for (count,) in answer.project("session_count").fetchall()]

    assert counts == sorted(counts, reverse=True)
    assert len(counts) > 1


@pytest.mark.parametrize("aggregate", all_aggregates(), ids=lambda aggregate: aggregate.name)
def test_the_grain_in_the_header_is_a_key(house, aggregate):
    """An unchecked header lies."""
    settings, _ = house
    with_day = duckdb.sql(
        f"SELECT * FROM read_parquet('{settings.aggregates_folder}/{aggregate.name}/parquet/*/*.parquet',"
        " hive_partitioning=true)"
    )

    count, distinct = with_day.aggregate(f"count(*), count(DISTINCT ({', '.join(aggregate.grain)}))").fetchall()[0]

    assert count == distinct > 0
    assert aggregate.name == read(aggregate.name, FOLDER).name


@pytest.mark.parametrize("file", sorted(FOLDER.glob("*.sql")), ids=lambda file: file.name)
def test_every_quoted_word_is_an_event_type_or_spark_s(file):
    """SQL may name a domain value, but only one that the contract knows."""
    known = set(contract.load().event_types)
    body = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("--"))
    sparks = r"\$\.\w+|variant|string|decimal\(\d+, \d+\)|ARRAY|STRING|>"

    assert {word for word in re.findall(r"'([^']*)'", body) if not re.fullmatch(sparks, word)} <= known


@pytest.mark.parametrize("name", WANTED)
def test_csv_says_what_parquet_says_and_holds_no_formula(house, name):
    """One file a day; texts that a spreadsheet would run are guarded, and are the same text behind the guard."""
    settings, _ = house
    cells = []
    for day in GOOD:
        with (settings.aggregates_folder / name / "csv" / f"{name}_{day}.csv").open(
            encoding="utf-8", newline=""
        ) as file:
            header, *found = csv.reader(file)
            cells += found
    expected = plain(rows(settings, name))

    assert header[0] == "event_date"
    assert len(cells) == len(expected)
    assert sorted(row[1] for row in cells) == sorted(spreadsheet_safe(_shown(row[1])) for row in expected)
    for row in cells:
        for cell in row:
            assert not re.match(r"[ \u3000]*[=+@\t\r\n＝-]", cell), cell


def _shown(value):
    return f"{value:.0f}" if isinstance(value, float) else value


def test_the_hostile_texts_were_there(house):
    """Without them the test before says nothing."""
    settings, _ = house

    assert set(EVIL) <= {row[1] for row in rows(settings, "product_conversion")}
    assert set(EVIL) <= {row[1] for row in rows(settings, "session_sequences")}


def snapshot(folder):
    """Every file below the folder with its bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_day_from_files_is_judged_first_and_only_it_is_replaced(house, tmp_path, monkeypatch, capsys):
    """The same lines give the same bytes, from the archive or from a folder; a day that fails is named, exit code 1."""
    settings, _ = house
    before = snapshot(settings.aggregates_folder)
    kept = settings.aggregates_folder / "hourly_traffic" / "csv" / f"hourly_traffic_{HOSTILE}.csv"
    inode = kept.stat().st_ino
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DAYGATE_HOME", str(tmp_path / "data"))
    words = ["--input", str(settings.events_folder), "--output", str(settings.aggregates_folder)]

    codes = [
        call(["spark-batch", "--date", str(SIMULATED), *words]),
        call(["spark-batch", "--date", str(BLOCKED), *words]),
    ]

    told = capsys.readouterr()
    assert codes == [ExitCode.OK, ExitCode.FAIL]
    assert f"{BLOCKED} is FAIL and was left out (required_fields)" in told.err
    assert "1 days, 1 aggregated, 0 left out" in told.out
    assert snapshot(settings.aggregates_folder) == before
    assert kept.stat().st_ino == inode


def test_what_does_not_add_up_changes_nothing(house):
    """A quarantine that lost a line would let it into the figures."""
    settings, _ = house
    before = snapshot(settings.aggregates_folder)
    url = settings.database_url.get_secret_value()
    line = "day = %s AND line_no = (SELECT min(line_no) FROM daygate.quarantine_events WHERE day = %s)"
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE TABLE lost AS SELECT * FROM daygate.quarantine_events WHERE {line}", [SIMULATED] * 2)
        cursor.execute(f"DELETE FROM daygate.quarantine_events WHERE {line}", [SIMULATED] * 2)
        try:
            with pytest.raises(StepFailed, match="lines are left where"):
                batch.run(settings, GOOD, source=None, folder=settings.aggregates_folder, progress=Silent())
        finally:
            cursor.execute("INSERT INTO daygate.quarantine_events SELECT * FROM lost")

    assert snapshot(settings.aggregates_folder) == before


def test_two_writers_do_not_meet(tmp_path, spark_settings):
    """The second one is told, and may come again."""
    handle = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)

    with pytest.raises(BusyError):
        batch.run(spark_settings, GOOD, source=tmp_path, folder=tmp_path, progress=Silent())

    os.close(handle)


def test_what_a_killed_writer_left_is_put_right(tmp_path):
    """A folder that was moved aside and has no successor comes back; unfinished ones go."""
    for name in (".a.old.1", ".b.old.1", "b", ".b.new.1", f"{output.WORK}x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name, encoding="utf-8")

    with output.alone(tmp_path):
        left = snapshot(tmp_path)

    assert left == {"a/file": b".a.old.1", "b/file": b"b"}


def test_other_days_and_other_people_s_files_stay(tmp_path):
    """Only what is named by the day goes."""
    made, target = tmp_path / "made", tmp_path / "funnel"
    for folder, names in (
        (made, ["csv/f_2026-01-15.csv", "parquet/event_date=2026-01-15/part-00000.parquet"]),
        (target, ["csv/f_2026-01-15.csv", "csv/f_2026-01-16.csv", "parquet/event_date=2026-01-15/part-00001.parquet",
                  "parquet/event_date=2026-01-16/part-00000.parquet", "notes.txt"]),
    ):  # fmt: skip
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(json.dumps([folder.name, name]), encoding="utf-8")

    output.put_in_place(made, target, [date(2026, 1, 15)])

    assert {name: json.loads(content)[0] for name, content in snapshot(target).items()} == {
        "csv/f_2026-01-15.csv": "made",
        "csv/f_2026-01-16.csv": "funnel",
        "parquet/event_date=2026-01-15/part-00000.parquet": "made",
        "parquet/event_date=2026-01-16/part-00000.parquet": "funnel",
        "notes.txt": "funnel",
    }


def test_a_contract_of_other_events_has_no_aggregates(tmp_path):
    """They are of the shipped shop's fields; each that is missing is named."""
    agreed = contract.load()
    few = replace(agreed, fields=tuple(field for field in agreed.fields if field.name != "extra_data"))
    with pytest.raises(SettingsError, match="declares no extra_data"):
        batch._require_columns(few)


def test_a_day_that_nobody_ran_or_could_judge_is_left_out_with_the_next_command(tmp_path):
    """Neither is a FAIL: the exit code tells them apart."""
    report = CheckReport(
        verdict=Verdict.INCONCLUSIVE,
        checks=(),
        lines=1,
        failing_lines=0,
        failing=tmp_path,
        problems=("one check came back twice",),
    )
    with pytest.raises(StepFailed, match=r"is INCONCLUSIVE and was left out \(one check came back twice\)"):
        batch._require_pass(report, tmp_path / "x.jsonl", SIMULATED)

    unknown = batch._not_published(None, SIMULATED)
    assert (unknown.exit_code, "daygate run --date" in unknown.hint) == (ExitCode.INCONCLUSIVE, True)
