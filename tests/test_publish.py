"""A day becomes visible whole, once, and only to the run that holds it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import psycopg2
import pytest
from staged_days import CONTRACT, DAY, administer, ask, claim, discard, event, purchase, run_day, stage_day

from pipeline import database, ledger, load, marts, postgres, publish, workspace
from pipeline.database import MARTS_FOLDER
from pipeline.errors import BusyError, StepFailed, TransientError
from pipeline.records import Alert, Verdict

WRONG = ("value_ranges", "os", "os", "not allowed")
MARTS = ("mart_user_daily", "mart_funnel_daily", "mart_product_daily", "mart_orders")
ALERT = Alert(kind="day_completed", day=DAY, dedupe_key="day_completed:2026-01-15", facts={"name": "\x00<!channel>"})


def some_day(folder: Path, orders: int = 3, **more):
    """A day of views and orders with one bad line."""
    folder.mkdir(exist_ok=True)
    events = [event(n, user=n % 3, session=n % 5, second=n) for n in range(10)]
    events += [purchase(100 + n, (n, 2, "500"), user=n, session=n, second=50 + n) for n in range(orders)]
    return stage_day(folder, events, reasons={1: [WRONG]}, **more)


def tables(url):
    """What readers see of the day, without the run's name and clock."""
    raw = "SELECT to_jsonb(e) - 'run_id' - 'loaded_at' FROM raw_events AS e ORDER BY line_no"
    return [ask(url, raw), *(ask(url, f"SELECT * FROM {mart} ORDER BY 1, 2") for mart in MARTS)]


def leftovers(url):
    """Schemas of builds and how many versions of events there are."""
    return ask(
        url,
        "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'build%%'),"
        " (SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_versions'::regclass)",
    )[0]


def test_a_published_day_is_told_by_the_ledger(database_url, tmp_path):
    """Counts, figures and delivery are in one row, and the summary says the same."""
    made = some_day(tmp_path)
    told = run_day(database_url, tmp_path, made, [ALERT])

    assert (told.status, told.verdict, told.is_current) == ("published", Verdict.PASS, True)
    assert (told.lines, told.loaded, told.quarantined) == (13, 12, 1)
    assert (told.unique_users, told.sessions, told.purchases, told.revenue) == (3, 5, 3, "3000")
    assert (told.delivery_sha256, told.contract_sha256) == (made.staged.delivery.sha256, CONTRACT.sha256)
    with closing(database.connect(database_url, name="test")) as connection:
        assert ledger.published(connection, DAY) == told
        assert ledger.history(connection, 10_000) == [told]


def test_every_check_has_a_quality_row(database_url, tmp_path):
    """Seven rows a run, with exact counts and the worst rule."""
    told = run_day(database_url, tmp_path, some_day(tmp_path))
    question = "SELECT check_id, evaluated_rows, failed_rows, worst_rule FROM quality_check_log WHERE run_id = %s"
    rows = ask(database_url, question, told.run_id)

    assert len(rows) == 7
    assert ("value_ranges", 13, 1, "value_ranges.rule") in rows


def test_an_alert_is_in_the_commit_once(database_url, tmp_path):
    """The outbox takes any text, and one message per key."""
    for _ in range(2):
        run_day(database_url, tmp_path, some_day(tmp_path), [ALERT])

    assert ask(database_url, "SELECT kind, facts ->> 'name' FROM alert_outbox") == [
        ("day_completed", "\ufffd<!channel>")
    ]


def test_a_second_run_of_the_same_day_changes_nothing(database_url, tmp_path):
    """Publishing is idempotent; only the run's name and clock differ."""
    first = run_day(database_url, tmp_path, some_day(tmp_path))
    before = tables(database_url)
    second = run_day(database_url, tmp_path, some_day(tmp_path))

    assert tables(database_url) == before
    assert second.attempt == first.attempt + 1
    assert ask(database_url, "SELECT run_id FROM pipeline_run_log WHERE is_current") == [(second.run_id,)]
    assert leftovers(database_url) == (0, 1)


def test_a_corrected_delivery_replaces_the_day(database_url, tmp_path):
    """No row of the first delivery stays."""
    run_day(database_url, tmp_path, some_day(tmp_path / "a", orders=5))
    told = run_day(database_url, tmp_path, some_day(tmp_path / "b", orders=2))

    assert told.purchases == 2
    assert ask(database_url, "SELECT count(*) FROM mart_orders") == [(2,)]
    assert ask(database_url, "SELECT count(*) FROM raw_events") == [(11,)]


def test_other_days_stay_as_they_are(database_url, tmp_path):
    """A day is replaced by itself only."""
    run_day(database_url, tmp_path, some_day(tmp_path))
    before = tables(database_url)
    made = some_day(tmp_path)
    other = date(2026, 1, 16)
    run = claim(database_url, tmp_path, other)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)
    publish.publish(database_url, run, made.staged, made.report, receipt, built, ())

    assert ask(database_url, "SELECT count(*) FROM raw_events WHERE day = %s", other) == [(12,)]
    administer(database_url, "UPDATE daygate.pipeline_run_log SET is_current = false WHERE day = '2026-01-16'")
    for mart, column in zip(MARTS, ("activity_date", "funnel_date", "activity_date", "order_date"), strict=True):
        administer(database_url, f"DELETE FROM daygate.{mart} WHERE {column} = '2026-01-16'")
    assert tables(database_url) == before


def test_readers_see_the_old_day_or_the_new_day(database_url, tmp_path):
    """Whatever a reader's first table is, one snapshot never mixes two versions."""
    deliveries = [some_day(tmp_path / str(n), orders=n) for n in (1, 4)]
    run_day(database_url, tmp_path, deliveries[0])
    seen, stop = set(), threading.Event()
    questions = ["SELECT count(*) FROM mart_orders", "SELECT count(*) FROM raw_events WHERE event_type = 'purchase'"]

    def poll(order):
        with closing(database.connect(database_url, name="poller")) as connection:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            while not stop.is_set():
                counts = {}
                with connection, connection.cursor() as cursor:
                    for index in order:
                        cursor.execute(questions[index])
                        counts[index] = cursor.fetchone()[0]
                seen.add((counts[0], counts[1]))

    pollers = [threading.Thread(target=poll, args=(order,)) for order in ((0, 1), (1, 0))]
    for poller in pollers:
        poller.start()
    for turn in range(20):
        run_day(database_url, tmp_path, deliveries[(turn + 1) % 2])
    stop.set()
    for poller in pollers:
        poller.join()

    assert seen == {(1, 1), (4, 4)}


def test_a_snapshot_from_before_keeps_the_old_day(database_url, tmp_path):
    """A long report is not cut off in the middle, and what it needs is swept only afterwards."""
    run_day(database_url, tmp_path, some_day(tmp_path / "a", orders=1))
    with closing(database.connect(database_url, name="report")) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM mart_orders")
            run_day(database_url, tmp_path, some_day(tmp_path / "b", orders=4))
            cursor.execute("SELECT count(*) FROM raw_events WHERE event_type = 'purchase'")
            raw = cursor.fetchone()[0]
    kept = leftovers(database_url)
    with closing(database.connect(database_url, name="test")) as connection:
        workspace.sweep(connection)

    assert (raw, kept, leftovers(database_url)) == (1, (0, 2), (0, 1))


def test_a_failed_verdict_cannot_be_published(database_url, tmp_path):
    """The gate is asked again at the door."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)

    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        with pytest.raises(StepFailed, match=verdict):
            publish.publish(database_url, run, made.staged, replace(made.report, verdict=verdict), receipt, built, ())
    assert ask(database_url, "SELECT count(*) FROM raw_events") == [(0,)]


def test_a_blocked_day_shows_nothing_and_leaves_the_published_one(database_url, tmp_path):
    """What was good yesterday stays visible."""
    first = run_day(database_url, tmp_path, some_day(tmp_path))
    before = tables(database_url)
    made = some_day(tmp_path, orders=9, verdict=Verdict.FAIL)
    told = publish.block(
        database_url, claim(database_url, tmp_path), made.staged, made.report, [ALERT], timings={"check": 1.5}
    )

    assert (told.status, told.verdict, told.is_current) == ("blocked", Verdict.FAIL, False)
    assert (told.lines, told.loaded, told.quarantined, told.timings) == (19, 0, 1, {"check": 1.5})
    assert tables(database_url) == before
    with closing(database.connect(database_url, name="test")) as connection:
        assert ledger.published(connection, DAY).run_id == first.run_id
        assert ledger.page(connection, limit=1, day=DAY) == [told]


def test_an_inconclusive_day_tells_why(database_url, tmp_path):
    """The reasons are kept with the run."""
    made = some_day(tmp_path, verdict=Verdict.INCONCLUSIVE)
    report = replace(made.report, problems=("funnel_order raised KeyError",), failing=tmp_path / "none")
    told = publish.block(database_url, claim(database_url, tmp_path), made.staged, report, ())

    assert (told.verdict, told.error) == (Verdict.INCONCLUSIVE, "funnel_order raised KeyError")


def test_a_run_that_lost_its_day_cannot_publish(database_url, tmp_path):
    """A process that slept through its lease is fenced off."""
    made = some_day(tmp_path)
    sleeper = claim(database_url, tmp_path, lease_seconds=0)
    receipt = load.load(database_url, sleeper, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, sleeper, receipt)
    later = claim(database_url, tmp_path)

    with pytest.raises(BusyError, match="lost"):
        publish.publish(database_url, sleeper, made.staged, made.report, receipt, built, ())
    assert ask(database_url, "SELECT status FROM pipeline_run_log WHERE run_id = %s", later.run_id) == [("running",)]
    assert ask(database_url, "SELECT count(*) FROM raw_events") == [(0,)]


def test_lines_that_do_not_add_up_stop_the_publish(database_url, tmp_path):
    """Loaded and quarantined must be all lines."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)

    with pytest.raises(StepFailed, match="are not 14 lines"):
        publish.publish(database_url, run, replace(made.staged, lines=14), made.report, receipt, built, ())
    assert tables(database_url) == [[], [], [], [], []]


DAMAGE = {
    "orders_match_events": "DELETE FROM {schema}.mart_orders WHERE order_id LIKE '%%0'",
    "users_match_events": "UPDATE {schema}.mart_user_daily SET click_count = click_count + 1",
    "funnel_fits_users": "UPDATE {schema}.mart_funnel_daily SET step1_viewers = 99",
    "products_fit_orders": "UPDATE {schema}.mart_product_daily SET purchase_count = 99",
}


@pytest.mark.parametrize("audit", DAMAGE)
def test_an_audit_that_finds_a_row_stops_the_publish(database_url, tmp_path, audit):
    """Wrong marts do not become visible; the error names the audit."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)
    administer(database_url, DAMAGE[audit].replace("%%", "%").format(schema=workspace.schema_of(run)))

    with pytest.raises(StepFailed, match=audit):
        publish.publish(database_url, run, made.staged, made.report, receipt, built, ())
    assert tables(database_url) == [[], [], [], [], []]


def test_audits_find_nothing_in_a_published_day_and_something_after_damage(database_url, tmp_path):
    """Each file works at psql as in the gate."""
    run_day(database_url, tmp_path, some_day(tmp_path))
    found = {}
    for damaged in (False, True):
        if damaged:
            administer(database_url, "UPDATE daygate.pipeline_run_log SET quarantined = 2")
        with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
            cursor.execute("SET daygate.day = '2026-01-15'")
            for file in sorted((MARTS_FOLDER / "checks").glob("*.sql")):
                cursor.execute(file.read_text())
                found[damaged, file.stem] = len(cursor.fetchall())

    assert {name for (damaged, name), rows in found.items() if rows} == {"lines_are_accounted_for"}
    assert not any(rows for (damaged, _), rows in found.items() if not damaged)


def test_a_publish_whose_answer_was_lost_is_found_in_the_ledger(database_url, tmp_path):
    """Publishing again after an unknown commit returns what was committed, and loads nothing twice."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)
    first = publish.publish(database_url, run, made.staged, made.report, receipt, built, ())
    before = tables(database_url)
    again = publish.publish(database_url, run, made.staged, made.report, receipt, built, ())

    assert again == first
    assert tables(database_url) == before


class Cutter:
    """A proxy before PostgreSQL that swallows the answer to the COMMIT that publishes and hangs up."""

    def __init__(self, url):
        host = psycopg2.extensions.parse_dsn(url)
        self.server = ("127.0.0.1", int(host["port"]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = url.replace(f":{host['port']}/", f":{self.listener.getsockname()[1]}/")
        self.commits = 0
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(self.server)
            doomed = threading.Event()
            threading.Thread(target=self.forward, args=(client, server, doomed), daemon=True).start()
            threading.Thread(target=self.answer, args=(server, client, doomed), daemon=True).start()

    def forward(self, client, server, doomed):
        while piece := client.recv(65536):
            if piece == b"Q\x00\x00\x00\x0bCOMMIT\x00":
                self.commits += 1
                if self.commits == 2:
                    doomed.set()
            server.sendall(piece)
        server.close()

    def answer(self, server, client, doomed):
        with suppress(OSError):  # the other direction ended first
            while piece := server.recv(65536):
                if doomed.is_set():
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(piece)


def test_fault_12_a_commit_whose_answer_is_cut_off_counts_as_done(database_url, tmp_path):
    """The connection dies while COMMIT is on its way back: the ledger tells that it arrived."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)
    proxy = Cutter(database_url)
    with closing(proxy.listener):
        told = publish.publish(proxy.url, run, made.staged, made.report, receipt, built, ())

    assert proxy.commits > 2
    assert told.status == "published"
    assert ask(database_url, "SELECT count(*) FROM raw_events") == [(12,)]


def test_a_login_with_the_loaders_rights_runs_a_day(server_url, database_url, tmp_path):
    """The daily run needs neither a superuser nor the owner."""
    name = psycopg2.extensions.parse_dsn(database_url)["dbname"]
    administer(server_url, f"CREATE ROLE {name} LOGIN PASSWORD 'night' IN ROLE daygate_loader")
    administer(server_url, f"GRANT CREATE ON DATABASE {name} TO daygate_loader")
    password = psycopg2.extensions.parse_dsn(database_url)["password"]
    url = database_url.replace(f"daygate:{password}", f"{name}:night")
    try:
        told = [run_day(url, tmp_path, some_day(tmp_path)) for _ in range(2)][-1]
    finally:
        administer(database_url, f"REASSIGN OWNED BY {name} TO daygate")
        administer(database_url, f"DROP OWNED BY {name}")
        administer(server_url, f"DROP ROLE {name}")

    assert (told.attempt, told.is_current) == (2, True)


@pytest.mark.long
def test_what_was_loaded_survives_a_killed_server(tmp_path):
    """The build table is logged: after kill -9 of PostgreSQL the same run goes on to publish."""
    home = tmp_path / "home"
    url = postgres.ensure_running(home)
    try:
        database.upgrade(url)
        made = some_day(tmp_path / "day")
        run = claim(url, tmp_path)
        receipt = load.load(url, run, made.staged, made.report, CONTRACT)
        pid = (postgres.status(home).folder / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(pid), signal.SIGKILL)
        url = postgres.ensure_running(home)
        built = marts.build(url, run, receipt)
        told = publish.publish(url, run, made.staged, made.report, receipt, built, ())
    finally:
        discard(home)

    assert (told.loaded, told.quarantined) == (12, 1)


def test_a_lock_held_by_somebody_is_transient_and_the_publish_can_be_repeated(database_url, tmp_path):
    """Nothing of the interrupted transaction stays, and everything built is still there."""
    made = some_day(tmp_path)
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    built = marts.build(database_url, run, receipt)
    with closing(psycopg2.connect(database_url)) as holder, holder.cursor() as cursor:
        cursor.execute("LOCK daygate.mart_orders IN SHARE MODE")
        impatient = threading.Thread(target=_terminate_when_waiting, args=(database_url,))
        impatient.start()
        with pytest.raises(TransientError):
            publish.publish(database_url, run, made.staged, made.report, receipt, built, ())
        impatient.join()
    told = publish.publish(database_url, run, made.staged, made.report, receipt, built, ())

    assert told.status == "published"


def _terminate_when_waiting(url):
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        ended = 0
        while not ended:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name = 'daygate-publish'"
                " AND wait_event_type = 'Lock'"
            )
            ended = cursor.rowcount
            connection.rollback()


_RUN = """
import os, pathlib, signal, sys
sys.path.insert(0, sys.argv[4])
import staged_days
from pipeline import database, ledger, load, marts, postgres, publish, workspace
url, folder, last = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
import test_publish
made = test_publish.some_day(folder)
def die(name):
    if name == last:
        os.kill(os.getpid(), signal.SIGKILL)
run = staged_days.claim(url, folder, lease_seconds=0); die("claim")
receipt = load.load(url, run, made.staged, made.report, staged_days.CONTRACT); die("load")
built = marts.build(url, run, receipt); die("marts")
if last.startswith("publish:"):
    *path, name = last.partition(":")[2].split(".")
    place = workspace if path else publish
    original = getattr(place, name)
    def stopping(*arguments, **more):
        original(*arguments, **more); die(last)
    setattr(place, name, stopping)
publish.publish(url, run, made.staged, made.report, receipt, built, ()); die("publish")
"""
STEPS = [
    "claim",
    "load",
    "marts",
    "publish:workspace.attach",
    "publish:_swap_mart",
    "publish:_finish",
    "publish:_audit",
]


@pytest.mark.parametrize(
    ("step", "published_before"), [*((step, True) for step in [*STEPS, "publish"]), ("publish:_finish", False)]
)
def test_killed_after_any_step_the_next_run_makes_the_same_tables(database_url, tmp_path, step, published_before):
    """Kill -9 leaves the old day or the new one; the next run ends as an undisturbed one."""
    old = tables(database_url)
    if published_before:
        run_day(database_url, tmp_path, some_day(tmp_path / "old", orders=6))
        old = tables(database_url)
    folder = tmp_path / "new"
    folder.mkdir()
    here = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", _RUN, database_url, folder, step, here], check=False)
    after_kill = tables(database_url)
    run_day(database_url, tmp_path, some_day(folder))
    recovered = tables(database_url)
    administer(database_url, "TRUNCATE daygate.pipeline_run_log CASCADE")
    run_day(database_url, tmp_path, some_day(folder))

    assert killed.returncode == -signal.SIGKILL
    assert (after_kill == old) is (step != "publish")
    assert recovered == tables(database_url)
    assert leftovers(database_url) == (0, 1)
