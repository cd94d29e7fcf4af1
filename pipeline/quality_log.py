"""Reads back what the checks of past days found, from `quality_check_log`."""

from __future__ import annotations

from typing import Any

from pipeline.calibrate import Measured
from pipeline.database import Connection, translated
from pipeline.records import CheckResult, RuleResult, Verdict

#: One run a day, the published one or else the newest that judged, of the last days up to today (Asia/Seoul).
_JUDGED = """
SELECT run.day, q.check_id, q.check_type, q.verdict, q.severity, q.evaluated_rows, q.failed_rows, q.pass_rate,
       q.threshold, q.detail
FROM (
    SELECT DISTINCT ON (day) day, run_id
    FROM pipeline_run_log
    WHERE verdict IN ('PASS', 'FAIL') AND contract_sha256 = %(contract)s
      AND day > (now() AT TIME ZONE 'Asia/Seoul')::date - %(days)s
    ORDER BY day, is_current DESC, fence DESC
) AS run
JOIN quality_check_log AS q USING (run_id)
ORDER BY run.day, q.check_id
"""


def judged_days(connection: Connection, days: int, *, contract_sha256: str) -> list[Measured]:
    """The judged days among the last `days` calendar days, oldest first; those of another contract are left out."""
    with connection, connection.cursor() as cursor:
        cursor.execute(_JUDGED, {"days": days, "contract": contract_sha256})
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    found: dict[Any, list[CheckResult]] = {}
    for row in rows:
        found.setdefault(row["day"], []).append(_check(row))
    return [Measured(day=day, checks=tuple(checks)) for day, checks in found.items()]


def checks_of(connection: Connection, run_id: str) -> list[CheckResult]:
    """What the checks of one run found, in the order of their ids."""
    with translated("reading the quality log"), connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM quality_check_log WHERE run_id = %s ORDER BY check_id", (run_id,))
        names = [column.name for column in cursor.description or ()]
        return [_check(dict(zip(names, row, strict=True))) for row in cursor.fetchall()]


def _check(row: dict[str, Any]) -> CheckResult:
    return CheckResult(
        id=row["check_id"],
        type=row["check_type"],
        verdict=Verdict(row["verdict"]),
        severity=row["severity"],
        evaluated_rows=row["evaluated_rows"],
        failed_rows=row["failed_rows"],
        pass_rate=row["pass_rate"],
        threshold=row["threshold"],
        rules=tuple(RuleResult(**rule) for rule in row["detail"]["rules"]),
        error=row["detail"]["error"],
    )
