"""The database stops, fills up, hangs, is slow, or gives way to somebody else: no day is lost or half there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import psycopg2
import pytest
from house import DAY, moment
from invariants import ask, assert_one_current, digest
from proxy import Proxy
from pydantic import SecretStr
from services import needs, runs_on, wait_for
from staged_days import CONTRACT, administer, claim, discard, event, purchase, stage_day

from pipeline import database, ledger, load, marts, postgres, publish
from pipeline.errors import TransientError
from pipeline.retry import repeated

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def own_home(tmp_path_factory):
    """Home of a server that may be stopped."""
    home = tmp_path_factory.mktemp("own")
    database.upgrade(postgres.ensure_running(home))
    yield home
    discard(home)


@pytest.fixture
def own_house(house, own_home):
    """A house on that server, with an empty ledger."""
    url = postgres.ensure_running(own_home)
    administer(url, "TRUNCATE daygate.pipeline_run_log CASCADE")
    house.url = url
    house.settings = house.settings.model_copy(update={"database_url": SecretStr(url)})
    return house


def test_fault_19_a_database_that_restarts_between_two_days_is_found_again(own_house, own_home):
    """The service joins again with its next look; nothing is run twice."""
    service = own_house.service()
    first = [ran.day for ran in service.reconcile("tick")]
    postgres.stop(own_home)
    postgres.ensure_running(own_home)
    own_house.now = moment(after=2)
    second = [ran.day for ran in service.reconcile("tick")]
    service.close()

    assert (first, second) == ([DAY], [DAY + timedelta(days=1)])
    assert_one_current(own_house.url)


def test_fault_20_a_database_that_is_away_at_two_in_the_morning_costs_no_day(own_house, own_home):
    """Every look says so; the first one that finds it runs the day, once."""
    service = own_house.service()
    postgres.stop(own_home)
    for at in ("01:59", "02:00", "02:30"):
        own_house.now = moment(at=at)
        with pytest.raises(TransientError, match="not reachable"):
            service.reconcile("tick")
    postgres.ensure_running(own_home)
    ran = [ran.day for run in range(2) for ran in service.reconcile("tick")]
    service.close()

    assert ran == [DAY]
    assert ask(own_house.url, "SELECT attempt, status FROM pipeline_run_log") == [(1, "published")]


def test_fault_22_a_database_without_a_free_connection_is_waited_for(own_house):
    """A passing trouble in plain words, without the address; it is over when somebody leaves."""
    service = own_house.service()
    guests = []
    with suppress(psycopg2.OperationalError):
        while True:
            guests.append(psycopg2.connect(own_house.url))
    with pytest.raises(TransientError) as told:
        service.reconcile("tick")
    for guest in guests:
        guest.close()
    ran = wait_for(lambda: service.reconcile("tick"))
    service.close()

    assert str(told.value) == "PostgreSQL is not reachable."
    assert [one.day for one in ran] == [DAY]


# -- others who want the same tables -------------------------------------------------------------


@pytest.fixture
def made(tmp_path):
    """A small day that passed."""
    events = [event(n, user=n % 3, session=n % 5, second=n) for n in range(10)]
    events += [purchase(100 + n, (n, 2, "500"), user=n, session=n, second=50 + n) for n in range(3)]
    return stage_day(tmp_path, events)


@pytest.fixture
def publish_day(tmp_path, made):
    """Runs that day from claim to publish, each step repeated as the day's own order does."""

    def run(url, lease_seconds=60):
        run = claim(url, tmp_path, lease_seconds=lease_seconds)
        with ledger.kept_alive(url, run, lease_seconds=lease_seconds):
            receipt = load.load(url, run, made.staged, made.report, CONTRACT)
            built = marts.build(url, run, receipt)
            return repeated(
                "publish",
                lambda: publish.publish(url, run, made.staged, made.report, receipt, built, ()),
                first_wait=0.01,
            )

    return run


def waits(url, name):
    """Process id of the session of ours that waits for a lock."""
    found = ask(url, "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                     " AND wait_event_type = 'Lock' AND application_name = %s", f"daygate-{name}")  # fmt: skip
    return found and found[0][0]


def test_fault_23_a_table_that_somebody_keeps_locked_is_not_waited_for_for_ever(
    database_url, publish_day, monkeypatch, caplog
):
    """The wait ends, the step is tried again, and goes through when the table is free."""
    publish_day(database_url)
    undisturbed = digest(database_url)
    monkeypatch.setitem(database.connect.__kwdefaults__, "lock_seconds", 1)
    with closing(psycopg2.connect(database_url)) as holder, ThreadPoolExecutor(1) as pool:
        with holder, holder.cursor() as cursor:
            cursor.execute("LOCK daygate.mart_orders IN SHARE MODE")
            call = pool.submit(publish_day, database_url)
            wait_for(lambda: "Step publish, try 1" in caplog.text)
        told = call.result(timeout=60)

    assert "SQLSTATE 55P03" in caplog.text
    assert (told.status, digest(database_url)) == ("published", undisturbed)


def test_fault_24_a_publish_that_loses_a_deadlock_is_tried_again_as_a_whole(database_url, publish_day, caplog):
    """PostgreSQL ends one of two that wait for each other; ours begins anew."""
    publish_day(database_url)
    undisturbed = digest(database_url)
    name = psycopg2.extensions.parse_dsn(database_url)["dbname"]
    administer(database_url, f"ALTER DATABASE {name} SET deadlock_timeout = '2s'")
    with closing(psycopg2.connect(database_url)) as rival, ThreadPoolExecutor(1) as pool:
        with rival, rival.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '60s'")
            cursor.execute("LOCK daygate.mart_user_daily IN SHARE MODE")
            call = pool.submit(publish_day, database_url)
            wait_for(lambda: waits(database_url, "publish"))
            # The marts are replaced by name: this one is in the hands of the publish already.
            cursor.execute("LOCK daygate.mart_funnel_daily IN SHARE MODE")
        told = call.result(timeout=60)

    assert "SQLSTATE 40P01" in caplog.text
    assert (told.status, digest(database_url)) == ("published", undisturbed)


# -- the way to the database ---------------------------------------------------------------------


_HALF_OPEN = """
import fcntl, json, socket, struct, subprocess, sys, time
from pathlib import Path
from pipeline import database, postgres
from pipeline.errors import TransientError

with socket.socket() as control:  # a namespace of one's own begins with its loopback down
    fcntl.ioctl(control, 0x8914, struct.pack("16sh22x", b"lo", 0x1 | 0x40))
home = Path(sys.argv[1])
url = postgres.ensure_running(home)
rule = ["INPUT", "-p", "tcp", "--sport", str(postgres.status(home).port), "-j", "DROP"]
told = {}
try:
    connection = database.connect(url, name="test")
    began = time.monotonic()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            subprocess.run(["iptables", "-A", *rule], check=True)
            with database.translated("asking"):
                cursor.execute("SELECT 2")
    except TransientError as error:
        told = {"error": error.message, "seconds": time.monotonic() - began}
    subprocess.run(["iptables", "-D", *rule], check=True)
    with database.session(url, name="test", doing="asking again") as again, again.cursor() as cursor:
        cursor.execute("SELECT 3")
        told["again"] = cursor.fetchone()[0]
finally:
    postgres.stop(home)
print(json.dumps(told))
"""


@pytest.mark.long
def test_fault_25_a_connection_whose_packets_vanish_is_given_up(own_home):
    """Nobody says goodbye; after seconds, not hours, it is a passing trouble like any other."""
    needs(os.geteuid() == 0 and shutil.which("iptables") and shutil.which("unshare"), "root, iptables and unshare")
    postgres.stop(own_home)
    done = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", _HALF_OPEN, own_home],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["error"] == "The connection to PostgreSQL was lost while asking."
    assert told["seconds"] < 20
    assert told["again"] == 3


def test_a_database_that_takes_everything_and_answers_nothing_keeps_no_service_from_its_end(
    database_url, warm_serve, settings
):
    """Nothing breaks off, so nothing would ever end: told to stop, the service does in time all the same."""
    with Proxy(database_url) as proxy:
        served = warm_serve(DAYGATE_DATABASE_URL=proxy.url, DAYGATE_GRACE_SECONDS="1")
        wait_for(lambda: ask(database_url, "SELECT 1 FROM pipeline_run_log WHERE status = 'running'"))
        proxy.fall_silent()
        code = served.end()

    assert code in (0, 3)
    assert not runs_on(settings.home)
    assert ask(database_url, "SELECT count(*) FROM raw_events") == [(0,)]


def test_fault_26_a_slow_way_to_the_database_loses_nothing(database_url, publish_day):
    """A far database: the day gets through, and its lease is renewed meanwhile on a connection of its own."""
    publish_day(database_url)
    undisturbed = digest(database_url)
    with Proxy(database_url, latency=0.02, bytes_per_second=56_000) as proxy:
        told = publish_day(proxy.url, lease_seconds=3)
    ((renewed,),) = ask(
        database_url, "SELECT heartbeat_at > started_at FROM pipeline_run_log WHERE run_id = %s", told.run_id
    )

    assert renewed
    assert (told.status, digest(database_url)) == ("published", undisturbed)


def test_a_way_that_is_cut_over_and_over_costs_tries_and_no_day(database_url, publish_day):
    """Every connection of a publish is cut once; the ledger tells what arrived."""
    publish_day(database_url)
    undisturbed = digest(database_url)
    done = threading.Event()
    with Proxy(database_url) as proxy, ThreadPoolExecutor(1) as pool:

        def cut():
            if wait_for(lambda: done.is_set() or ask(database_url, _PUBLISHING)) and not done.is_set():
                proxy.cut()

        cutter = pool.submit(cut)
        try:
            told = publish_day(proxy.url)
        finally:
            done.set()
        cutter.result(timeout=60)

    assert (told.status, digest(database_url)) == ("published", undisturbed)


_PUBLISHING = (
    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'daygate-publish'"
)
