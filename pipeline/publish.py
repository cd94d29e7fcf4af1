"""Publishing: the one transaction that makes a day visible, or records why it stays shut.

Before it, nothing of a run can be seen; after it, everything can at once. The events are attached just before, in a
transaction of their own, and count only through the ledger's current run: so a reader's snapshot shows the old day
or the new one, and never a mixture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from pipeline import database, findings, ledger, outbox, quarantine, workspace
from pipeline import marts as mart_files
from pipeline.database import LOCK_CLASS, MARTS_FOLDER, json_text, storable
from pipeline.errors import BusyError, StepFailed, TransientError
from pipeline.failpoints import failpoint
from pipeline.load import LoadReceipt
from pipeline.marts import MartTables
from pipeline.records import Alert, CheckReport, CheckResult, DaySummary, Release, Run, Staged, Verdict

_NO_TIMINGS: Final[Mapping[str, float]] = {}
#: Rows of an audit that are counted before giving up.
_AUDIT_ROWS: Final = 1000
#: A second process reads half of the day, also where the server is told otherwise; hash tables are not shared, because
#: shared memory is short in containers. Nothing is sorted: the planner takes the view's rows for a few thousand.
_AUDITING: Final = ("max_parallel_workers_per_gather = 1", "enable_parallel_hash = off", "enable_sort = off")


def publish(
    url: str,
    run: Run,
    staged: Staged,
    report: CheckReport,
    receipt: LoadReceipt,
    marts: MartTables,
    alerts: Sequence[Alert],
    *,
    release: Release | None = None,
    timings: Mapping[str, float] = _NO_TIMINGS,
) -> DaySummary:
    """Make a day that passed visible: events, marts, quality, quarantine, ledger and alerts in one commit.

    May be repeated after a TransientError: a commit whose answer was lost is found in the ledger.

    Args:
        release: a person's decision; with it, and only with it, the good lines of a FAIL are published.

    Raises:
        BusyError: the run lost its day to a later one.
        StepFailed: the verdict is not PASS (with a release: not FAIL), lines are unaccounted for, or an audit
            found rows.
        TransientError, DatabaseError: as `database.translated`; nothing became visible.
    """
    if report.verdict is not (Verdict.PASS if release is None else Verdict.FAIL):
        how = "published" if release is None else "released"
        raise StepFailed(f"A day with verdict {report.verdict} is not {how}.", step="publish")

    def body(cursor: Any) -> None:
        for mart in mart_files.all_marts():
            _swap_mart(cursor, run, mart)
        quarantined = _record(cursor, run, staged, report, alerts)
        if receipt.rows + quarantined != staged.lines:
            raise StepFailed(
                f"{receipt.rows} loaded and {quarantined} quarantined lines are not {staged.lines} lines.",
                step="publish",
            )
        cursor.execute(
            "UPDATE pipeline_run_log SET is_current = false, superseded_at = now() WHERE day = %s AND is_current",
            (run.day,),
        )
        facts = {"quarantined": quarantined, **_facts_of(receipt, marts), **_release_facts(release)}
        _finish(cursor, run, staged, report, status="published", timings=timings, facts=facts)
        _audit(cursor, run)
        cursor.execute(f"DROP SCHEMA {workspace.schema_of(run)} CASCADE")

    return _commit(url, run, body, step="publish", doing="publishing the day", before=workspace.attach)


def block(
    url: str,
    run: Run,
    staged: Staged,
    report: CheckReport,
    alerts: Sequence[Alert],
    *,
    contract_sha256: str | None = None,
    timings: Mapping[str, float] = _NO_TIMINGS,
) -> DaySummary:
    """Record a day that did not pass: quality, all failing lines, ledger and alerts in one commit.

    Nothing of the day becomes visible; a version published earlier stays.

    Raises:
        BusyError, TransientError, DatabaseError, StepFailed: as `publish`.
    """
    if report.verdict is Verdict.PASS:
        raise StepFailed("A day with verdict PASS is published, not blocked.", step="publish")

    def body(cursor: Any) -> None:
        quarantined = _record(cursor, run, staged, report, alerts)
        if report.verdict is Verdict.FAIL and quarantined != report.failing_lines:
            raise StepFailed(
                f"{quarantined} lines went to quarantine where {report.failing_lines} failed.", step="publish"
            )
        facts = {"quarantined": quarantined, "contract_sha256": contract_sha256}
        if report.problems:
            facts["error"] = storable("; ".join(report.problems))
        _finish(cursor, run, staged, report, status="blocked", timings=timings, facts=facts)

    return _commit(url, run, body, step="block", doing="recording the blocked day")


def _facts_of(receipt: LoadReceipt, marts: MartTables) -> dict[str, object]:
    return {
        "is_current": True,
        "loaded": receipt.rows,
        "unique_users": marts.unique_users,
        "sessions": marts.sessions,
        "purchases": marts.purchases,
        "revenue": marts.revenue,
        "contract_sha256": receipt.contract_sha256,
    }


def _release_facts(release: Release | None) -> dict[str, object]:
    if release is None:
        return {}
    return {
        "released_by": storable(release.by),
        "release_reason": storable(release.reason),
        "released_run": release.run_id,
    }


def _commit(
    url: str,
    run: Run,
    body: Callable[[Any], None],
    *,
    step: str,
    doing: str,
    before: Callable[[Any, Run], None] | None = None,
) -> DaySummary:
    """Run the body as the run's last transaction, unless the ledger shows that it was committed already."""
    try:
        with database.session(url, name="publish", doing=doing) as connection:
            if before is not None:
                with connection, connection.cursor() as cursor:
                    _hold(cursor, run)
                    before(cursor, run)
                failpoint(f"{step}.attached")
            with connection, connection.cursor() as cursor:
                _hold(cursor, run)
                body(cursor)
                failpoint(f"{step}.commit")
            workspace.sweep(connection)
    except (BusyError, TransientError):
        told = _ended(url, run)
        if told is None:
            raise
        return told
    told = _ended(url, run)
    if told is None:
        raise ledger.lost(run)
    return told


def _ended(url: str, run: Run) -> DaySummary | None:
    """The run as the ledger tells it when this publish was committed; None when it was not."""
    with database.session(url, name="outcome", doing="reading the outcome") as connection:
        told = ledger.by_id(connection, run.run_id)
    return told if told is not None and told.status in ("published", "blocked") else None


def _hold(cursor: Any, run: Run) -> None:
    """Lock the day, and refuse a run that no longer holds it before any work; `_finish` asks again."""
    cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", (LOCK_CLASS, ledger.lock_number(run.day)))
    cursor.execute(
        "SELECT FROM pipeline_run_log WHERE run_id = %s AND fence = %s AND status = 'running'",
        (run.run_id, run.fence),
    )
    if cursor.fetchone() is None:
        raise ledger.lost(run)


def _swap_mart(cursor: Any, run: Run, mart: mart_files.Mart) -> None:
    cursor.execute(f"SELECT * FROM {mart.name} LIMIT 0")
    columns = ", ".join(column.name for column in cursor.description)
    date_column = next(name for name in mart.grain if name.endswith("_date"))
    cursor.execute(f"DELETE FROM {mart.name} WHERE {date_column} = %s", (run.day,))
    cursor.execute(f"INSERT INTO {mart.name} ({columns}) SELECT {columns} FROM {workspace.schema_of(run)}.{mart.name}")


def _record(cursor: Any, run: Run, staged: Staged, report: CheckReport, alerts: Sequence[Alert]) -> int:
    """Write quality rows, alerts and quarantine; the number of quarantined lines."""
    for check in report.checks:
        _insert(cursor, "quality_check_log", {"run_id": run.run_id, "day": run.day, **_quality(check)})
    outbox.write(cursor, alerts)
    return quarantine.store(cursor, run, staged, report)


def _quality(check: CheckResult) -> dict[str, object]:
    worst = check.worst_rule
    return {
        "check_id": check.id,
        "check_type": check.type,
        "verdict": check.verdict.value,
        "severity": check.severity,
        "evaluated_rows": check.evaluated_rows,
        "failed_rows": check.failed_rows,
        "pass_rate": check.pass_rate,
        "threshold": check.threshold,
        "worst_rule": worst.id if worst else None,
        "detail": json_text({"rules": [asdict(rule) for rule in check.rules], "error": check.error}),
    }


def _insert(cursor: Any, table: str, row: Mapping[str, object]) -> None:
    names = ", ".join(row)
    marks = ", ".join(f"%({name})s" for name in row)
    cursor.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", dict(row))


def _finish(
    cursor: Any,
    run: Run,
    staged: Staged,
    report: CheckReport,
    *,
    status: str,
    timings: Mapping[str, float],
    facts: Mapping[str, object],
) -> None:
    """End the run in the ledger, if it still holds its day."""
    delivery = staged.delivery
    row = {
        "status": status,
        "verdict": report.verdict.value,
        "delivery_name": storable(delivery.name),
        "delivery_sha256": delivery.sha256,
        "delivery_bytes": delivery.size,
        "lines": staged.lines,
        "timings": json_text(dict(timings)),
        "report": json_text(report_facts(report)),
        **facts,
    }
    assignments = ", ".join(f"{name} = %({name})s" for name in row)
    cursor.execute(
        f"UPDATE pipeline_run_log SET {assignments}, finished_at = now()"
        " WHERE run_id = %(run_id)s AND fence = %(fence)s AND status = 'running'",
        {**row, "run_id": run.run_id, "fence": run.fence},
    )
    if cursor.rowcount == 0:
        raise ledger.lost(run)


def report_facts(report: CheckReport) -> dict[str, object]:
    """The report as JSON-ready facts, without paths of this machine."""
    return {
        "verdict": report.verdict.value,
        "lines": report.lines,
        "good_lines": report.good_lines,
        "failing_lines": report.failing_lines,
        "problems": list(report.problems),
        "hours": list(report.hours),
        "checks": [asdict(check) for check in report.checks],
        "added": [{"id": one.id, "severity": one.severity, "verdict": one.verdict.value} for one in report.added],
        "findings": findings.facts(report.findings),
    }


def _audit(cursor: Any, run: Run) -> None:
    """Run every audit of `marts/checks`: a query for rows that must not exist on `daygate.day`."""
    cursor.execute("SELECT set_config('daygate.day', %s, true)", (run.day.isoformat(),))
    for setting in _AUDITING:
        cursor.execute(f"SET LOCAL {setting}")
    for file in sorted((MARTS_FOLDER / "checks").glob("*.sql")):
        cursor.execute(file.read_text(encoding="utf-8"))
        found = len(cursor.fetchmany(_AUDIT_ROWS))
        if found:
            raise StepFailed(
                f"The audit {file.stem} found {found} rows that must not exist; nothing was published.",
                step="publish",
                hint=f"Read marts/checks/{file.name}",
            )
