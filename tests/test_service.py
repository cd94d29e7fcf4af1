"""`daygate serve` as a process: it runs what is due, ends in order, and leaves nothing half done when it does not."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, datetime, time, timedelta
from pathlib import Path

import psycopg2
import pytest
from pydantic import SecretStr
from services import PATIENCE, runs_on, wait_for, worker_of
from slack_server import CANARY
from staged_days import discard

from pipeline import due, postgres
from pipeline.day import RunFailed
from pipeline.errors import TransientError
from pipeline.settings import Settings
from pipeline.zone import ZONE
from scheduler import screen, web
from scheduler.child import Child
from scheduler.reconcile import Reconciler
from scheduler.service import Service

DAY = date(2026, 1, 15)
ROOT = Path(__file__).parent.parent
pytest_plugins = ["slack_fixtures"]

RUNNING = "SELECT run_id FROM pipeline_run_log WHERE status = 'running'"


def test_a_service_runs_yesterday_and_stops_when_told(serve, query, settings):
    """From boot to a published day without a command; one JSON object a line; exit code 0."""
    served = serve()
    wait_for(lambda: served.events("run.ended"))
    code = served.end()

    assert code == 0
    assert query("SELECT trigger, status, attempt FROM pipeline_run_log") == [("boot", "published", 1)]
    assert [line["event"] for line in served.events() if line["logger"] == "daygate.service"] == [
        "service.started", "leader.won", "run.started", "run.told", "run.ended", "service.stopping", "service.stopped",
    ]  # fmt: skip
    assert settings.database_url.get_secret_value() not in served.log.read_text(encoding="utf-8")
    assert runs_on(settings.home) == []


def test_a_service_tells_of_a_bad_day_and_of_its_corrected_file_in_one_thread(
    warm_serve, land, last_days, slack, query
):
    """From the landed file to Slack: the gate stayed shut, and in its thread that the next delivery is published."""
    (day,) = last_days(1)
    land(day, browser_unknown=0.3)
    served = warm_serve(
        DAYGATE_SOURCE="landing", DAYGATE_START_DAY=str(day), DAYGATE_SLACK_TOKEN=f"xoxb-{CANARY}",
        DAYGATE_SLACK_CHANNEL="C012345", DAYGATE_SLACK_API_URL=f"{slack.address}/api/",
        DAYGATE_SLA_TIME="23:59:59",  # whatever time it is now, nothing is late
    )  # fmt: skip
    wait_for(lambda: slack.got)
    land(day)
    wait_for(lambda: len(slack.got) > 1)
    wait_for(lambda: query("SELECT 1 FROM alert_outbox HAVING bool_and(outcome IS NOT NULL)"))
    code = served.end()
    (bad, good), bodies = slack.texts, [body for _, body in slack.got]

    assert code == 0
    assert bad.startswith(f"daygate {day}: FAIL\n")
    assert "*value_ranges*" in bad
    assert good.startswith(f"daygate {day}: recovered, published\n")
    assert [(body.get("thread_ts"), body.get("reply_broadcast")) for body in bodies] == [
        (None, None), ("1700.0001", True),
    ]  # fmt: skip
    assert query("SELECT status FROM pipeline_run_log ORDER BY attempt") == [("blocked",), ("published",)]
    assert CANARY not in served.log.read_text(encoding="utf-8") + repr(bodies)


def test_a_service_told_to_stop_in_a_run_closes_its_row_and_the_next_one_runs_the_day(warm_serve, query, settings):
    """SIGTERM in the middle: the row says interrupted, nothing is visible, nothing is left running."""
    first = warm_serve()
    wait_for(lambda: query(RUNNING))
    code = first.end()
    after = query("SELECT status, failure, finished_at IS NOT NULL FROM pipeline_run_log")
    visible = query("SELECT count(*) FROM raw_events")
    left = runs_on(settings.home)
    second = warm_serve()
    wait_for(lambda: query("SELECT 1 FROM pipeline_run_log WHERE is_current"))
    second.end()

    assert (code, after, visible, left) == (0, [("failed", "interrupted", True)], [(0,)], [])
    assert query("SELECT attempt, status FROM pipeline_run_log ORDER BY attempt") == [(1, "failed"), (2, "published")]
    assert query("SELECT kind FROM alert_outbox WHERE kind = 'step_failed'") == []


def test_a_service_told_to_stop_before_it_is_up_ends_as_well(serve):
    """Importing what it needs takes seconds; the signal is not lost in them."""
    served = serve(DAYGATE_START_DAY="2999-01-01")

    def listens():
        status = Path(f"/proc/{served.process.pid}/status").read_text(encoding="utf-8")
        caught = int(status.split("SigCgt:")[1].split()[0], 16)
        return caught >> (signal.SIGTERM - 1) & 1

    wait_for(listens)

    assert served.end() == 0


def test_a_killed_service_takes_its_run_along(warm_serve, query, settings):
    """The child notices that nobody waits for it any more, and ends its run in order."""
    served = warm_serve()
    wait_for(lambda: query(RUNNING))
    served.end(signal.SIGKILL)

    wait_for(lambda: not query(RUNNING))
    wait_for(lambda: not runs_on(settings.home))
    assert query("SELECT failure FROM pipeline_run_log") == [("interrupted",)]


def test_fault_54_a_second_signal_ends_everything_at_once(warm_serve, query, settings):
    """Whoever cannot wait need not; the ledger finds out by itself."""
    served = warm_serve(DAYGATE_GRACE_SECONDS="600")
    (child,) = wait_for(lambda: query(RUNNING) and runs_on(settings.home))
    os.kill(worker_of(child), signal.SIGSTOP)  # a run that does not listen
    served.process.send_signal(signal.SIGTERM)
    wait_for(lambda: served.events("service.stopping"))

    assert served.end(signal.SIGTERM) == 128 + signal.SIGTERM
    wait_for(lambda: not runs_on(settings.home))


def test_fault_21_a_service_waits_for_a_database_that_is_away(warm_serve, settings):
    """No crash loop: it lives, says so, and stops when told."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    served = warm_serve(DAYGATE_DATABASE_URL=f"postgresql://u:SECRETCANARY@127.0.0.1:{port}/nowhere")
    wait_for(lambda: served.events("reconcile.failed"))

    assert served.process.poll() is None
    assert served.end() == 0
    assert "SECRETCANARY" not in served.log.read_text(encoding="utf-8")


def test_fault_52_a_service_refuses_a_database_of_a_newer_version(variables, query, tmp_path, database_url):
    """Waiting cannot cure that: exit code 2, and both versions are named."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute("UPDATE daygate.alembic_version SET version_num = '9999'")
    connection.close()
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "serve"],
        cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip

    assert done.returncode == 2
    assert "9999" in done.stderr


def test_the_clock_beats_and_the_web_tells(warm_serve, settings):
    """`/healthz` of the running service."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    served = warm_serve(DAYGATE_WEB_PORT=str(port), DAYGATE_START_DAY="2999-01-01")
    wait_for(lambda: served.events("leader.won"))

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=10) as answer:
        assert answer.status == 200
    assert served.end() == 0


def test_a_web_that_died_is_started_again_or_takes_the_service_with_it(tmp_path, caplog):
    """Nobody sits in front of a service whose site went away."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    service = Service(Settings(home=tmp_path, web_port=port))
    service._site = web.start(service._settings, service._heartbeat)
    first = service._site
    first.server.should_exit = True
    first.thread.join()
    service._beat()
    second = service._site
    with urllib.request.urlopen(f"{second.address}/healthz", timeout=10) as answer:
        status = answer.status
    second.server.should_exit = True
    second.thread.join()
    with socket.create_server(("127.0.0.1", port)):
        service._beat()

    assert (status, second is first) == (200, False)
    assert (service._code, service._asked_to_stop.is_set()) == (3, True)
    assert "web.died" in caplog.text


def test_a_call_that_gets_stuck_stops_the_heartbeat(tmp_path):
    """A service that only looks alive is worse than a dead one, which somebody starts again."""
    service = Service(Settings(home=tmp_path))
    service._heartbeat._last -= 1000
    service.reconciler._moved_at -= 1000
    with service.reconciler._busy:
        service._beat()
        stuck = service._heartbeat.heartbeat_age()
    service._beat()

    assert stuck >= 1000
    assert service._heartbeat.heartbeat_age() < 10


def test_fault_18_a_database_that_crashes_under_a_run_is_started_again_and_the_day_is_published(warm_serve, settings):
    """The embedded server is killed in the middle; the service starts it, the run's next try finds it."""
    home = settings.home
    served = warm_serve(DAYGATE_DATABASE_URL="")
    try:
        wait_for(lambda: served.events("run.started"))
        url = postgres.ensure_running(home)
        wait_for(lambda: rows(url, RUNNING))
        folder = postgres.status(home).folder
        os.kill(int((folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGQUIT)
        wait_for(lambda: [told for told in served.events("run.told") if told["status"] == "published"])
        code = served.end()
        published = rows(postgres.ensure_running(home), "SELECT loaded = lines FROM pipeline_run_log WHERE is_current")
    finally:
        discard(home)

    assert (code, published) == (0, [(True,)])


def rows(url, sql):
    """What a database answers."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SET search_path TO daygate")
        cursor.execute(sql)
        return cursor.fetchall()


# -- a run that meets trouble --------------------------------------------------------------------


def test_fault_57_a_run_without_enough_memory_fails_and_is_told(settings, variables, query, monkeypatch):
    """A limit on the process, as a container has one; the service lives."""
    for name, value in {**variables, "DAYGATE_RUN_MEMORY_BYTES": str(1 << 28)}.items():
        monkeypatch.setenv(name, value)
    service = Reconciler(settings=settings.model_copy(update={"start_day": DAY}), clock=due_moment)
    ran = service.reconcile("tick")
    service.close()

    assert [run.day for run in ran] == [DAY]
    assert ran[0].ending.code != 0
    assert query("SELECT status FROM pipeline_run_log") == [("failed",)]
    assert query("SELECT count(*) FROM raw_events") == [(0,)]


def due_moment():
    """When the day is due."""
    return datetime.combine(DAY + timedelta(days=1), time(2), ZONE)


@pytest.mark.parametrize(("session", "table"), [("load", "daygate.event_versions"), ("publish", "daygate.mart_orders")])
def test_fault_16_a_connection_that_is_cut_costs_a_try(run_day, digest, query, database_url, session, table):
    """The step is repeated whole; the tables are those of an undisturbed run."""
    run_day()
    undisturbed = digest()
    waiting = (
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        f" AND application_name = 'daygate-{session}'"
    )
    lock = psycopg2.connect(database_url)
    with ThreadPoolExecutor(1) as pool:
        with lock, lock.cursor() as cursor:
            cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
            call = pool.submit(run_day, force=True, retry_seconds=0.01)
            ((pid,),) = wait_for(lambda: query(waiting))
            query("SELECT pg_terminate_backend(%s, 5000)", pid)
        outcome = call.result(timeout=PATIENCE)
    lock.close()

    assert (outcome.summary.status, outcome.summary.attempt) == ("published", 2)
    assert digest() == undisturbed


def test_trouble_that_lasts_is_a_passing_failure_in_the_ledger(run_day, query, database_url):
    """A table that stays locked: the attempt is given up, and the service may try the day again."""
    with psycopg2.connect(database_url) as server, server.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {server.info.dbname} SET idle_in_transaction_session_timeout = 0")
    server.close()
    lock = psycopg2.connect(database_url)
    stop = threading.Event()

    def cut():
        """Cut every connection that waits, as a database that restarts over and over."""
        while not stop.wait(0.05):
            query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND wait_event_type = 'Lock' AND application_name = 'daygate-load'"
            )

    with ThreadPoolExecutor(1) as pool, lock, lock.cursor() as cursor:
        cursor.execute("LOCK TABLE daygate.event_versions IN ACCESS EXCLUSIVE MODE")
        pool.submit(cut)
        try:
            with pytest.raises(RunFailed):
                run_day(retry_seconds=0.01)
        finally:
            stop.set()
    lock.close()

    assert query("SELECT status, failure FROM pipeline_run_log") == [("failed", "transient")]


# -- children and orphans ------------------------------------------------------------------------


def child(code: str) -> Child:
    """A child that runs a few words of Python."""
    return Child([sys.executable, "-c", code])


def supervised(code: str, **changes):
    """How such a child ends."""
    arguments = {"deadline_seconds": 30, "grace_seconds": 10, "stopping": threading.Event(), **changes}
    return child(code).supervise(**arguments)


def test_a_child_ends_with_its_own_code():
    """Nothing is read into it."""
    ending = supervised("raise SystemExit(3)")

    assert (ending.how, ending.code, ending.signal_name) == ("ended", 3, None)


def test_a_child_that_crashes_is_known_by_its_signal():
    """A segmentation fault in a library, for one."""
    ending = supervised("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")

    assert (ending.how, ending.signal_name) == ("ended", "SIGSEGV")


def test_what_a_child_started_ends_with_it(tmp_path):
    """A worker that its parent left behind does not live on."""
    note = tmp_path / "pid"
    ending = supervised(
        "import subprocess, sys\n"
        "worker = subprocess.Popen([sys.executable, '-c', 'import threading; threading.Event().wait()'])\n"
        f"open({str(note)!r}, 'w').write(str(worker.pid))"
    )

    def is_gone():
        try:
            return b"Z" in Path(f"/proc/{note.read_text()}/stat").read_bytes().rpartition(b")")[2]
        except FileNotFoundError:
            return True

    assert ending.code == 0
    assert wait_for(is_gone)


def test_a_child_told_to_stop_may_do_so_by_itself():
    """Inside the grace time it ends with its own code."""
    stopping = threading.Event()
    stopping.set()
    ending = supervised(
        "import signal, sys, threading\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n"
        "threading.Event().wait()",
        stopping=stopping,
        grace_seconds=PATIENCE,
    )

    assert ending.how == "stopped"
    assert ending.code in (7, -signal.SIGTERM)  # the signal may come before the interpreter is up


def test_process_1_buries_orphans_and_leaves_its_own_children_alone():
    """A process whose parent died falls to process 1; here, to one that adopts as process 1 does."""
    code = (
        "import ctypes, os, subprocess, sys, threading\n"
        "from scheduler import orphans\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"  # PR_SET_CHILD_SUBREAPER
        "subprocess.run([sys.executable, '-c', 'import os; os.fork() or os._exit(0)'], check=True)\n"
        "own = subprocess.Popen([sys.executable, '-c', 'raise SystemExit(5)'])\n"
        "buried, pause = 0, threading.Event()\n"
        "while not buried:\n"
        "    buried += orphans.reap(keep={own.pid}, process_id=1)\n"
        "    own.poll() if os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) else None\n"
        "    pause.wait(0.01)\n"
        "    if own.returncode is not None and not buried:\n"
        "        buried += orphans.reap(keep=set(), process_id=1)\n"
        "print(buried, own.wait(), orphans.reap(keep=set(), process_id=2))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip

    assert done.stdout.split() == ["1", "5", "0"]


# -- what is logged ------------------------------------------------------------------------------


def logged(message: str, *, name="daygate.service", as_json=True, error=None, **facts) -> str:
    """A record as the service writes it."""
    info = (type(error), error, None) if error else None
    record = logging.LogRecord(name, logging.INFO, "f", 1, message, None, info)
    record.facts = facts
    return screen.Events(as_json=as_json).format(record)


def test_an_event_is_one_line_of_json_with_its_facts():
    """For machines; nothing in a fact can end the line, and an exception tells only its type."""
    told = json.loads(logged("run.ended", day=DAY, seconds=1.23456, signal=None, note="a\n\x1b[2J", error=None))

    assert told["event"] == "run.ended"
    assert told["time"].endswith("+09:00")
    assert (told["day"], told["seconds"], told["note"]) == ("2026-01-15", 1.235, "a\\n\\x1b[2J")
    assert "signal" not in told
    assert "U000123" not in logged("x", error=ValueError("U000123"))


def test_on_a_terminal_an_event_is_words():
    """Quoted where a reader would not see where a value ends."""
    words = logged("run.ended", as_json=False, day=DAY, note='two "words"').split(" ", 1)[1]

    assert words == 'INFO daygate.service run.ended day=2026-01-15 note="two \\"words\\""'


def test_an_alert_keeps_its_lines():
    """In JSON inside its one line, on a terminal indented."""
    assert json.loads(logged("late\nday", name=screen.ALERTS))["event"] == "late\nday"
    assert logged("late\nday", name=screen.ALERTS, as_json=False).endswith("late\n    day")


def test_a_call_that_meets_trouble_is_told_and_the_clock_goes_on(caplog, tmp_path):
    """Nothing that reconcile raises reaches the clock."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = SecretStr(f"postgresql://u@127.0.0.1:{port}/nowhere")
    service = Service(Settings(home=tmp_path, database_url=url))
    with caplog.at_level(logging.INFO, logger="daygate.service"):
        service._reconcile("tick")

    assert [record.getMessage() for record in caplog.records] == ["reconcile.failed"]
    assert TransientError.__name__ not in caplog.text
    assert due.last_day(due_moment(), Settings(home=tmp_path).run_at) == DAY


def test_a_clock_that_was_put_back_does_not_put_the_service_to_sleep(tmp_path):
    """Every job comes again within its own interval, not when the old moment is reached once more."""
    service = Service(Settings(home=tmp_path))
    service._add_jobs()
    clock = threading.Thread(target=service._scheduler.start, kwargs={"paused": True})
    clock.start()
    wait_for(lambda: service._scheduler.state)
    now = datetime.now(ZONE)
    for job in service._scheduler.get_jobs():
        job.modify(next_run_time=now + timedelta(hours=30))

    service._add_jobs()
    ahead = {job.id: job.next_run_time - now for job in service._scheduler.get_jobs()}
    service._scheduler.shutdown(wait=False)
    clock.join()

    assert ahead["tick"] < timedelta(seconds=65)
    assert ahead["heartbeat"] < timedelta(seconds=15)
    assert ahead["cron"] <= timedelta(days=1)
