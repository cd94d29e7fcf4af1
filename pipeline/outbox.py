"""The outbox: alerts kept in `alert_outbox` once, however often they are raised, and the books of their sender.

An alert waits until it has an outcome (marts/ddl/0005_a_outbox.sql). What the sender may do with it is decided in
`outbox_sender`; here are the rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal

from pipeline.database import LOCK_CLASS, Connection, json_text, one, storable, translated
from pipeline.records import Alert

#: Second half of the lock of the one process that sends, beside the days' and the migration's.
_SENDER_LOCK: Final = -3
_MOST_ERROR: Final = 200

#: Kinds that say a day is bad, and those after which it is not any more.
BAD: Final = ("gate_failed", "step_failed", "still_bad")
CLOSING: Final = ("day_completed", "recovered", "day_released")

#: How an alert is settled without being given up.
Outcome = Literal["slack", "log", "summary", "merged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """An alert nobody has been told of yet."""

    id: int
    alert: Alert
    #: Tries so far.
    attempts: int
    #: Seconds since it was raised.
    age: float
    #: Whether its next try is due.
    due: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What was told of a bad day before, since it last was good."""

    #: Whether anything was, and whether today (Asia/Seoul).
    before: bool
    today: bool
    #: What Slack calls the first message.
    thread: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenUp:
    """An alert that nobody took."""

    kind: str
    day: date
    #: How the last try ended.
    error: str
    attempts: int


@dataclass(frozen=True, kw_only=True, slots=True)
class BadDay:
    """A day that was told to be bad and not to be good again."""

    day: date
    #: The day (Asia/Seoul) of the first such alert.
    since: date
    run_id: str | None


def keep(connection: Connection, alerts: Sequence[Alert]) -> list[Alert]:
    """Write the alerts in one commit; those that were not there yet.

    Raises:
        TransientError, DatabaseError: as `database.translated`; nothing was kept.
    """
    with translated("keeping an alert"), connection, connection.cursor() as cursor:
        return write(cursor, alerts)


def write(cursor: Any, alerts: Sequence[Alert]) -> list[Alert]:
    """As `keep`, in the transaction of who calls: what is told of and the alert are there together or not at all."""
    new = []
    for alert in alerts:
        cursor.execute(
            "INSERT INTO alert_outbox (dedupe_key, kind, day, run_id, facts) VALUES (%s, %s, %s, %s, %s)"
            " ON CONFLICT (dedupe_key) DO NOTHING",
            (storable(alert.dedupe_key), alert.kind, alert.day, alert.facts.get("run_id"), json_text(alert.facts)),
        )
        if cursor.rowcount:
            new.append(alert)
    return new


def lead(connection: Connection) -> bool:
    """Whether this connection may send; the right ends with it, so a dead sender never holds up another."""
    with translated("looking at the outbox"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s, %s)", (LOCK_CLASS, _SENDER_LOCK))
        return bool(one(cursor)[0])


def waiting(connection: Connection, *, most: int) -> list[Waiting]:
    """The alerts that wait, in the order they were raised."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT id, kind, day, dedupe_key, facts, attempts, extract(epoch FROM now() - created_at)::float8,"
            " next_try_at <= now() FROM alert_outbox WHERE sent_at IS NULL AND given_up_at IS NULL"
            " ORDER BY id LIMIT %s",
            (most,),
        )
        return [
            Waiting(
                id=number,
                alert=Alert(kind=kind, day=day, dedupe_key=key, facts=facts),
                attempts=attempts,
                age=age,
                due=due,
            )
            for number, kind, day, key, facts, attempts, age, due in cursor.fetchall()
        ]


def told_before(connection: Connection, alert: Waiting) -> Told:
    """What was told of the alert's day before it, since the day last was good."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(bool_or((sent_at AT TIME ZONE 'Asia/Seoul')::date"
            " = (now() AT TIME ZONE 'Asia/Seoul')::date), false),"
            " (array_agg(slack_ts ORDER BY id) FILTER (WHERE slack_ts IS NOT NULL))[1]"
            " FROM alert_outbox WHERE day = %(day)s AND id < %(id)s AND kind = ANY(%(bad)s)"
            " AND outcome IN ('slack', 'summary') AND id > coalesce((SELECT max(id) FROM alert_outbox"
            "  WHERE day = %(day)s AND id < %(id)s AND kind = ANY(%(closing)s)), 0)",
            {"day": alert.alert.day, "id": alert.id, "bad": list(BAD), "closing": list(CLOSING)},
        )
        before, today, thread = one(cursor)
    return Told(before=before > 0, today=today, thread=thread)


def sent_within(connection: Connection, seconds: float) -> int:
    """Messages that Slack took in the last so many seconds."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM alert_outbox WHERE outcome = 'slack' AND sent_at > now() - make_interval(secs => %s)",
            (seconds,),
        )
        return int(one(cursor)[0])


def settle(connection: Connection, ids: Collection[int], outcome: Outcome, *, ts: str | None = None) -> None:
    """Somebody was told.

    Args:
        connection: an idle connection; committed here.
        ids: of the alerts.
        outcome: how.
        ts: what Slack calls the message.
    """
    _write(
        connection,
        "UPDATE alert_outbox SET sent_at = now(), outcome = %(outcome)s, slack_ts = %(ts)s, attempts = attempts + 1"
        " WHERE id = ANY(%(ids)s) AND sent_at IS NULL",
        {"ids": list(ids), "outcome": outcome, "ts": ts},
    )


def put_off(connection: Connection, ids: Collection[int], *, seconds: float, error: str) -> None:
    """Nobody was told; the next try is so many seconds away."""
    _write(
        connection,
        "UPDATE alert_outbox SET attempts = attempts + 1, last_error = %(error)s,"
        " next_try_at = now() + make_interval(secs => %(seconds)s) WHERE id = ANY(%(ids)s) AND sent_at IS NULL",
        {"ids": list(ids), "seconds": seconds, "error": storable(error)[:_MOST_ERROR]},
    )


def give_up(connection: Connection, ids: Collection[int], *, error: str) -> None:
    """Nobody was told, and nobody will be before a person says so."""
    _write(
        connection,
        "UPDATE alert_outbox SET attempts = attempts + 1, last_error = %(error)s, given_up_at = now(), outcome = 'dead'"
        " WHERE id = ANY(%(ids)s) AND sent_at IS NULL",
        {"ids": list(ids), "error": storable(error)[:_MOST_ERROR]},
    )


def any_given_up(connection: Connection) -> bool:
    """Whether there are alerts that nobody took and nobody has dealt with."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT EXISTS (SELECT FROM alert_outbox WHERE sent_at IS NULL AND given_up_at IS NOT NULL)")
        return bool(one(cursor)[0])


def given_up(connection: Connection) -> list[GivenUp]:
    """Those alerts, oldest first."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT kind, day, coalesce(last_error, ''), attempts FROM alert_outbox"
            " WHERE sent_at IS NULL AND given_up_at IS NOT NULL ORDER BY id"
        )
        return [GivenUp(kind=kind, day=day, error=error, attempts=n) for kind, day, error, n in cursor.fetchall()]


def revive(connection: Connection) -> int:
    """Let all given-up alerts wait again, as if they had just been raised; how many."""
    return _write(
        connection,
        "UPDATE alert_outbox SET given_up_at = NULL, outcome = NULL, attempts = 0, created_at = now(),"
        " next_try_at = now() WHERE outcome = 'dead'",
        {},
    )


def dismiss(connection: Connection) -> int:
    """Count all given-up alerts as read in the log; how many."""
    return _write(
        connection,
        "UPDATE alert_outbox SET given_up_at = NULL, outcome = 'log', sent_at = now() WHERE outcome = 'dead'",
        {},
    )


def bad_days(connection: Connection, days: Collection[date]) -> list[BadDay]:
    """Those of the days that were told, or are about to be told, to be bad and not to be good again; oldest first."""
    with translated("reading the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, (min(created_at) AT TIME ZONE 'Asia/Seoul')::date,"
            " (array_agg(run_id ORDER BY id DESC) FILTER (WHERE run_id IS NOT NULL))[1] FROM alert_outbox AS bad"
            " WHERE day = ANY(%(days)s) AND kind = ANY(%(bad)s) AND NOT EXISTS (SELECT FROM alert_outbox AS closing"
            "  WHERE closing.day = bad.day AND closing.id > bad.id AND closing.kind = ANY(%(closing)s))"
            " GROUP BY day ORDER BY day",
            {"days": list(days), "bad": list(BAD), "closing": list(CLOSING)},
        )
        return [BadDay(day=day, since=since, run_id=run_id) for day, since, run_id in cursor.fetchall()]


def _write(connection: Connection, statement: str, values: dict[str, Any]) -> int:
    with translated("keeping the outbox"), connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.rowcount
