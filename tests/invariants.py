"""What must hold after every fault, whatever it was (I1 to I8), and the digest that tells two databases apart."""

from __future__ import annotations

import json
import random
import re
import threading
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path

import psycopg2

from pipeline import ledger
from pipeline.database import LOCK_CLASS

#: What readers see, and the column that bears the day.
VISIBLE = {
    "raw_events": "day",
    "mart_user_daily": "activity_date",
    "mart_funnel_daily": "funnel_date",
    "mart_product_daily": "activity_date",
    "mart_orders": "order_date",
}
#: What the last judged run of a day left beside that.
JUDGED = {"quality_check_log": "day", "quarantine_events": "day", "pipeline_run_log": "day"}
#: What may differ between two runs of the same day.
_VOLATILE = frozenset({
    *("run_id", "fence", "loaded_at", "id", "started_at", "finished_at", "heartbeat_at", "lease_until"),
    *("superseded_at", "attempt", "trigger", "timings", "delivery_name"),
    # Compares the day with those before it, as far as they were there already.
    "report",
})  # fmt: skip
_TEMPORARY = re.compile(r"\..+\.(new|old)\.\d+|\..+\.tmp|\.taking-.*|.*\.partial|.*\.tmp")

#: Questions whose answers belong together: each gives (day, figures); a day that is not published gives no row.
_VIEWS = {
    "ledger": "SELECT day, loaded, purchases, revenue, unique_users FROM pipeline_run_log WHERE is_current",
    "events": "SELECT day, count(*), count(*) FILTER (WHERE event_type = 'purchase'),"
    " coalesce(sum(total_amount), 0), count(DISTINCT user_id) FROM raw_events GROUP BY day",
    "users": "SELECT activity_date, sum(page_view_count + click_count + add_to_cart_count + purchase_count"
    " + search_count), sum(purchase_count), sum(total_purchase_amount), count(*) FROM mart_user_daily GROUP BY 1",
    "orders": "SELECT order_date, count(*), sum(total_amount) FROM mart_orders GROUP BY 1",
    "funnel": "SELECT DISTINCT funnel_date FROM mart_funnel_daily",
    "products": "SELECT DISTINCT activity_date FROM mart_product_daily",
}


class Half(AssertionError):
    """A reader saw a part of a day."""


def view(cursor) -> dict:
    """Ask everything in one snapshot, in any order; day -> the run that is shown.

    Raises:
        Half: what was seen does not belong together.
    """
    seen = {}
    for name in random.sample(sorted(_VIEWS), len(_VIEWS)):
        cursor.execute(_VIEWS[name])
        seen[name] = {row[0]: tuple(map(int, row[1:])) for row in cursor.fetchall()}
    told = seen["ledger"]
    if not told == seen["events"] == seen["users"]:
        raise Half(f"{told} {seen['events']} {seen['users']}")
    if {day: figures[1:3] for day, figures in told.items() if figures[1]} != seen["orders"]:
        raise Half(f"{told} {seen['orders']}")
    if not set(told) == set(seen["funnel"]) == set(seen["products"]):
        raise Half(f"{set(told)} {set(seen['funnel'])} {set(seen['products'])}")
    return told


class Poller:
    """A reader that looks every ten milliseconds, each time at everything in one REPEATABLE READ transaction.

    As a context manager it fails at its end when it ever saw a part of a day.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll)
        #: How often it looked, how often nobody answered, the different states it saw, and what was wrong.
        self.looks = self.unanswered = 0
        self.states: Counter = Counter()
        self.wrong: list[str] = []

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._done.set()
        self._thread.join()
        assert self.wrong == []

    def _poll(self) -> None:
        while not self._done.is_set():
            try:
                with closing(psycopg2.connect(self._url, options="-c search_path=daygate")) as connection:
                    connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
                    while not self._done.wait(0.01):
                        with connection, connection.cursor() as cursor:
                            state = view(cursor)
                        self.looks += 1
                        self.states[tuple(sorted(state))] += 1
            except Half as half:
                self.wrong.append(str(half))
                return
            except (psycopg2.OperationalError, psycopg2.InterfaceError):
                self.unanswered += 1
                self._done.wait(0.05)


def ask(url: str, question: str, *parameters):
    """All rows."""
    with closing(psycopg2.connect(url, options="-c search_path=daygate")) as connection, connection.cursor() as cursor:
        cursor.execute(question, parameters or None)
        return cursor.fetchall()


def digest(url: str) -> dict:
    """(table, day) -> (rows, hash) of what readers see and of what the last judged run of each day left."""
    found = {}
    last = (
        "(SELECT DISTINCT ON (day) run_id FROM pipeline_run_log WHERE status IN ('published', 'blocked')"
        " ORDER BY day, fence DESC)"
    )
    for table, day in {**VISIBLE, **JUDGED}.items():
        names = ask(
            url,
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'daygate' AND table_name = %s"
            " ORDER BY 1",
            table,
        )
        columns = ", ".join(name for (name,) in names if name not in _VOLATILE)
        where = f"WHERE run_id IN {last}" if table in JUDGED else ""
        rows = ask(
            url,
            f"SELECT d, count(*), md5(string_agg(line, '|' ORDER BY line)) FROM (SELECT {day} AS d,"
            f" ({columns})::text AS line FROM {table} {where}) AS t GROUP BY d",
        )
        found |= {(table, str(day)): (count, hashed) for day, count, hashed in rows}
    return found


def assert_invariants(url: str, home: Path, *, serving: bool = False) -> None:
    """I2 to I7 of a database and a home where no run is under way.

    Args:
        url: the database.
        home: DAYGATE_HOME.
        serving: whether a service is up, which holds a lock of its own.
    """
    with closing(psycopg2.connect(url, options="-c search_path=daygate")) as connection:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection, connection.cursor() as cursor:
            published = view(cursor)
    assert_one_current(url)
    assert_alerts(url)
    assert_no_orphans(url, home, serving=serving)
    assert_nothing_lost(url, home)
    assert_pages(url, home, set(published))


def assert_one_current(url: str) -> None:
    """I3: at most one visible run a day, and it passed or was released."""
    assert ask(url, "SELECT day FROM pipeline_run_log WHERE is_current GROUP BY day HAVING count(*) > 1") == []
    wrong = "status <> 'published' OR (verdict <> 'PASS' AND released_by IS NULL)"
    assert ask(url, f"SELECT run_id FROM pipeline_run_log WHERE is_current AND ({wrong})") == []
    assert ask(url, "SELECT run_id FROM pipeline_run_log WHERE status = 'published' AND NOT is_current"
                    " AND superseded_at IS NULL") == []  # fmt: skip


def assert_alerts(url: str) -> None:
    """I4: an alert for every blocked run and for every day that failed and stayed so; none for a run that passed."""
    told = "SELECT FROM alert_outbox AS a WHERE a.run_id = r.run_id AND a.kind"
    assert ask(url, "SELECT run_id FROM pipeline_run_log AS r WHERE status = 'blocked'"
                    f" AND NOT EXISTS ({told} = 'gate_failed')") == []  # fmt: skip
    assert ask(url, "SELECT run_id FROM pipeline_run_log AS r WHERE status = 'failed' AND failure <> 'interrupted'"
                    " AND NOT EXISTS (SELECT FROM pipeline_run_log AS l WHERE l.day = r.day AND l.fence > r.fence)"
                    f" AND NOT EXISTS ({told} = 'step_failed')") == []  # fmt: skip
    assert ask(url, "SELECT run_id FROM pipeline_run_log AS r WHERE status = 'published' AND verdict = 'PASS'"
                    f" AND EXISTS ({told} IN ('gate_failed', 'step_failed'))") == []  # fmt: skip


def assert_no_orphans(url: str, home: Path, *, serving: bool) -> None:
    """I5: nothing runs, nothing is locked, nothing half built or half written lies about."""
    assert ask(url, "SELECT run_id FROM pipeline_run_log WHERE status = 'running'") == []
    mine = "d.datname = current_database()"
    held = ask(url, "SELECT l.classid::bigint, l.objid FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
                    f" WHERE {mine} AND l.locktype = 'advisory'")  # fmt: skip
    assert [lock for lock in held if lock[0] in (LOCK_CLASS, ledger.ALIVE_CLASS)][serving:] == []
    assert ask(url, "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                    " AND state LIKE 'idle in transaction%%'".replace("%%", "%")) == []  # fmt: skip
    assert ask(url, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'build%'") == []
    assert ask(url, "SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid"
                    " LEFT JOIN pipeline_run_log AS r ON c.relname = 'events_' || to_char(r.day, 'YYYYMMDD') || '_'"
                    " || r.fence WHERE i.inhparent = 'event_versions'::regclass"
                    " AND r.status IS DISTINCT FROM 'published'") == []  # fmt: skip
    left = [path for path in home.rglob("*") if _TEMPORARY.fullmatch(path.name) and "postgres" not in path.parts]
    assert left == []
    assert list(home.glob("runs/*/staged")) == []


def assert_nothing_lost(url: str, home: Path) -> None:
    """I6: every line is loaded or in quarantine, with the bytes it has in the archived delivery."""
    assert ask(url, "SELECT run_id FROM pipeline_run_log WHERE status = 'published' AND lines <> loaded + quarantined"
               ) == []  # fmt: skip
    counted = "SELECT count(*) FROM quarantine_events AS q WHERE q.run_id = r.run_id"
    assert ask(url, "SELECT run_id FROM pipeline_run_log AS r WHERE status IN ('published', 'blocked')"
                    f" AND quarantined <> ({counted})") == []  # fmt: skip
    for run, sha256 in ask(url, "SELECT run_id, delivery_sha256 FROM pipeline_run_log WHERE quarantined > 0"):
        lines = (home / "deliveries" / f"{sha256}.jsonl").read_bytes().splitlines()
        kept = ask(url, "SELECT line_no, raw FROM quarantine_events WHERE run_id = %s", run)
        assert [line for line, raw in kept if bytes(raw) != lines[line - 1]] == []


def assert_pages(url: str, home: Path, published: set) -> None:
    """I7: the front page is whole and names every published day; the last judged run of each day has its page."""
    if not published:
        return
    front = (home / "site" / "index.html").read_text(encoding="utf-8")
    assert "</html>" in front[-20:]
    assert [day for day in published if str(day) not in front] == []
    judged = ask(url, "SELECT DISTINCT ON (day) run_id FROM pipeline_run_log"
                      " WHERE status IN ('published', 'blocked') ORDER BY day, fence DESC")  # fmt: skip
    assert [run for (run,) in judged if not (home / "site" / "runs" / run / "index.html").is_file()] == []


def assert_no_secrets(log: str, url: str, home: Path, *secrets: str) -> None:
    """Nothing that was logged or kept as an error holds the password, another secret, or a customer's value."""
    kept = ask(url, "SELECT coalesce(error, '') FROM pipeline_run_log")
    said = "\n".join([log, *(error for (error,) in kept)])
    values = {*secrets, psycopg2.extensions.parse_dsn(url)["password"]}
    for file in (home / "events").glob("*.jsonl"):
        for line in file.read_bytes().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                values |= {str(event[name]) for name in ("user_id", "order_id", "search_query") if event.get(name)}
    assert [value for value in values if value in said] == []
