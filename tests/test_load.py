"""Good lines arrive unchanged, once, in a table nobody reads yet."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import psycopg2
import pytest
from staged_days import CONTRACT, DAY, ask, claim, event, purchase, stage_day

from pipeline import contract as contracts
from pipeline import load
from pipeline.errors import DatabaseError, SettingsError, StepFailed

HOSTILE = [
    "", "\\N", "\\.", "NULL", '"', '""', "'; DROP TABLE raw_events; --", "a,b", "a\tb", "a\r\nb", "\r", " ", "\\", "{}",
    "\u202e\U0001f600", "한글", "\x7f\x1b[2J", "<script>alert(1)</script>", "$x ${x} {{7*7}} %s",
]  # fmt: skip


def loaded(url, made, folder, **changes):
    run = claim(url, folder)
    return run, load.load(url, run, made.staged, replace(made.report, **changes), CONTRACT)


def test_hostile_texts_arrive_unchanged(database_url, tmp_path):
    """Everything goes through COPY with quoting; the empty text stays apart from NULL."""
    lines = [event(n, page_url=text) for n, text in enumerate(HOSTILE)] + [event(99, page_url=None)]
    _, receipt = loaded(database_url, stage_day(tmp_path, lines), tmp_path)

    assert ask(database_url, f"SELECT page_url FROM {receipt.table} ORDER BY line_no") == [
        *((text,) for text in HOSTILE),
        (None,),
    ]


def test_every_column_keeps_its_value_and_type(database_url, tmp_path):
    """Instants with their zone, exact won, order details as jsonb."""
    made = stage_day(tmp_path, [purchase(1, (7, 2, "1999.5"), shipping=2500, second=1, position=3)])
    run, receipt = loaded(database_url, made, tmp_path)
    row = ask(
        database_url,
        'SELECT day, fence, line_no, "timestamp", total_amount, total_amount::text, extra_data, position, flags'
        f" FROM {receipt.table}",
    )[0]

    assert row[:4] == (DAY, run.fence, 1, datetime(2026, 1, 14, 15, 0, 1, tzinfo=UTC))
    assert row[4:6] == (Decimal(6499), "6499")
    assert row[6]["products"] == [{"product_id": "P0007", "quantity": 2, "unit_price": 1999.5}]
    assert row[7:] == (3, None)


def test_critical_lines_stay_out_and_warned_lines_are_flagged(database_url, tmp_path):
    """A warning reports without withholding."""
    reasons = {
        1: [("value_ranges", "os", "os", "not allowed")],
        2: [("platform_device", "os", "os", "odd"), ("order_total", "sum", None, "off")],
        3: [("value_ranges", "os", "os", "not allowed"), ("platform_device", "os", "os", "odd")],
    }
    made = stage_day(
        tmp_path, [event(n) for n in range(1, 6)], reasons=reasons, warnings=("platform_device", "order_total")
    )
    _, receipt = loaded(database_url, made, tmp_path)

    assert receipt.rows == 3
    assert ask(database_url, f"SELECT line_no, flags FROM {receipt.table} ORDER BY 1") == [
        (2, ["order_total", "platform_device"]),
        (4, None),
        (5, None),
    ]


def test_a_count_that_does_not_fit_stops_the_load(database_url, tmp_path):
    """Rows are compared with the gate's count of good lines; nothing is left behind."""
    made = stage_day(tmp_path, [event(1), event(2)])

    with pytest.raises(StepFailed, match="2 rows were loaded where 3"):
        loaded(database_url, made, tmp_path, lines=3)
    assert ask(database_url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'build%%'") == []


def test_failing_lines_that_do_not_fit_their_count_stop_the_load(database_url, tmp_path):
    """A truncated list of failing lines must not let bad lines in."""
    made = stage_day(tmp_path, [event(1), event(2)])

    with pytest.raises(StepFailed, match="0 failing lines are listed where 1"):
        loaded(database_url, made, tmp_path, failing_lines=1)


def test_two_good_lines_with_one_id_are_refused_without_their_value(database_url, tmp_path):
    """The key of the table is the last guard."""
    with pytest.raises(DatabaseError) as caught:
        loaded(database_url, stage_day(tmp_path, [event(1), event(1)]), tmp_path)

    assert (caught.value.sqlstate, caught.value.constraint) == ("23505", "events_20260115_1_key")
    assert "0000-4000" not in str(caught.value)


def test_loading_again_replaces_what_the_run_loaded(database_url, tmp_path):
    """A step may be repeated after a transient error."""
    made = stage_day(tmp_path, [event(1), event(2)])
    run, _ = loaded(database_url, made, tmp_path)
    again = load.load(database_url, run, made.staged, made.report, CONTRACT)

    assert ask(database_url, f"SELECT count(*) FROM {again.table}") == [(2,)]


def test_an_empty_good_part_loads_nothing(database_url, tmp_path):
    """Parts without rows are no special case."""
    _, receipt = loaded(database_url, stage_day(tmp_path, [event(1)], parts=3), tmp_path)

    assert receipt.rows == 1


def test_a_contract_with_other_fields_is_refused_by_name(database_url, tmp_path):
    """The table follows the shipped contract: a new field, or one of another type, has no column."""
    changed = [replace(f, kind="string") if f.name == "quantity" else f for f in CONTRACT.fields]
    gift = contracts.Field(name="gift", kind="string", pointer="/x")
    other = replace(CONTRACT, fields=(*changed, gift))

    with closing(psycopg2.connect(database_url)) as connection:
        load.require_columns(connection, CONTRACT)
        with pytest.raises(SettingsError, match="declares quantity, gift, which raw_events has no fitting column"):
            load.require_columns(connection, other)


def test_the_table_is_logged_and_attaches_without_a_scan(database_url, tmp_path):
    """A crash must not empty it, and publishing must be short."""
    run, receipt = loaded(database_url, stage_day(tmp_path, [event(1)]), tmp_path)
    persistence = ask(database_url, "SELECT relpersistence FROM pg_class WHERE oid = %s::regclass", receipt.table)
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET client_min_messages = debug1")
        cursor.execute(
            f"ALTER TABLE daygate.event_versions ATTACH PARTITION {receipt.table}"
            f" FOR VALUES FROM ('{DAY}', {run.fence}) TO ('{DAY}', {run.fence + 1})"
        )
        notices = " ".join(connection.notices)

    assert persistence == [("p",)]
    assert re.search("implied by existing constraints", notices)
