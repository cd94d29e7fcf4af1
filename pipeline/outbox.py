"""Alerts that are kept in `alert_outbox`, once, however often they are raised."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline.database import Connection, json_text, storable, translated
from pipeline.records import Alert


def keep(connection: Connection, alerts: Sequence[Alert]) -> list[Alert]:
    """Write the alerts in one commit; those that were not there yet, which are the ones to send.

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
