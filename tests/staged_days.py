"""Small days in the staged format, made by hand, and the way a run takes them through the database."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import psycopg2

from pipeline import contract as contracts
from pipeline import database, ledger, load, marts, postgres, publish
from pipeline.check_ids import CHECK_IDS
from pipeline.records import CheckReport, CheckResult, Delivery, RuleResult, Run, Sample, Staged, Verdict

DAY = date(2026, 1, 15)
ZONE = ZoneInfo("Asia/Seoul")
CONTRACT = contracts.load()
Reason = tuple[str, str, str | None, str]

_TYPES = {"string": pl.String, "integer": pl.Int64, "number": pl.Decimal(38, 18)}
_STAMP = pl.Datetime("us", "UTC")


def uuid(number: int) -> str:
    """The n-th event or session id."""
    return f"00000000-0000-4000-8000-{number:012d}"


def event(number: int, kind: str = "page_view", *, user: int = 1, session: int = 1, second: int = 0, **more) -> dict:
    """One event of the day, `second` seconds after its start."""
    at = datetime(DAY.year, DAY.month, DAY.day, tzinfo=ZONE) + timedelta(seconds=second)
    common = {"event_id": uuid(number), "event_type": kind, "user_id": f"U{user:06d}", "session_id": uuid(session)}
    return {**common, "timestamp": at.isoformat(), "platform": "web", "device_type": "desktop", "os": "macOS"} | more


def purchase(number: int, *items: tuple[int, int, str], discount=None, shipping=None, coupon=None, **more) -> dict:
    """An order of (product, quantity, unit price) items with a right total."""
    products = [{"product_id": f"P{p:04d}", "quantity": q, "unit_price": Decimal(price)} for p, q, price in items]
    total = sum((i["unit_price"] * i["quantity"] for i in products), Decimal(0))
    details = {"products": products, "discount_amount": discount, "shipping_fee": shipping, "coupon_code": coupon}
    details = {key: value for key, value in details.items() if value is not None}
    more.setdefault("payment_method", "credit_card")
    return event(
        number, "purchase", order_id=f"ORD{number:013d}", total_amount=total - (discount or 0) + (shipping or 0),
        extra_data=json.dumps(details, default=float), **more,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class StagedDay:
    """A staged delivery and what the gate says of it."""

    staged: Staged
    report: CheckReport
    events: Sequence[dict]


def stage_day(
    folder: Path,
    events: Sequence[Mapping | bytes],
    *,
    reasons: Mapping[int, Sequence[Reason]] | None = None,
    warnings: Sequence[str] = (),
    verdict: Verdict = Verdict.PASS,
    parts: int = 2,
) -> StagedDay:
    """Write the delivery, its Parquet parts and its failing lines.

    Args:
        folder: where to write; must exist.
        events: line 1, 2, …; bytes are a line that is no event.
        reasons: line -> (check, rule, field, reason).
        warnings: checks whose severity is warning.
        verdict: what the report says.
        parts: number of Parquet parts.
    """
    raw = [line if isinstance(line, bytes) else json.dumps(line, default=float).encode() for line in events]
    path = folder / "delivery.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in raw))
    rows, offset = [], 0
    for number, line in enumerate(raw, 1):
        rows.append(_row(number, offset, len(line), events[number - 1]))
        offset += len(line) + 1
    size = -(-len(rows) // parts) or 1
    paths = []
    for index in range(parts):
        paths.append(folder / f"part-{index:05d}.parquet")
        _frame(rows[index * size : (index + 1) * size]).write_parquet(paths[-1])
    delivery = Delivery(
        path=path, name="events_20260115.jsonl", sha256=sha256(path.read_bytes()).hexdigest(), size=offset
    )
    staged = Staged(
        delivery=delivery, day=DAY, parts=tuple(paths), lines=len(rows), blank_lines=0, lines_with_unknown_keys=0
    )
    report = _report(folder, len(rows), reasons or {}, frozenset(warnings), verdict)
    return StagedDay(staged=staged, report=report, events=[line for line in events if not isinstance(line, bytes)])


def _row(number: int, offset: int, length: int, line: Mapping | bytes) -> dict:
    fields = {} if isinstance(line, bytes) else dict(line)
    if "timestamp" in fields:
        fields["timestamp"] = datetime.fromisoformat(fields["timestamp"])
    for name in ("unit_price", "total_amount"):
        if fields.get(name) is not None:
            fields[name] = Decimal(fields[name])
    return {"line_no": number, "byte_offset": offset, "byte_length": length, **fields}


def _frame(rows: list[dict]) -> pl.DataFrame:
    schema = {"line_no": pl.Int64, "byte_offset": pl.Int64, "byte_length": pl.Int64}
    schema |= {f.name: _STAMP if f.kind == "timestamp" else _TYPES[f.kind] for f in CONTRACT.fields}
    schema |= {"day_us": pl.Int64, "order_key": pl.Int64, "problems": pl.String}
    schema |= dict.fromkeys(("items_total", "order_discount", "order_shipping"), pl.Decimal(38, 18))
    frame = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    return frame.with_columns(pl.col(f.name).cast(pl.Categorical) for f in CONTRACT.fields if f.enum)


def _report(folder, lines, reasons, warnings, verdict) -> CheckReport:
    listed = [
        {"line_no": line, "check": check, "rule": rule, "field": field, "reason": why}
        for line, all_of_it in sorted(reasons.items())
        for check, rule, field, why in all_of_it
    ]
    schema = {"line_no": pl.Int64, "check": pl.String, "rule": pl.String, "field": pl.String, "reason": pl.String}
    failing = folder / "failing.parquet"
    pl.DataFrame(listed, schema=schema).write_parquet(failing)
    checks = []
    for check in CHECK_IDS:
        mine = [row for row in listed if row["check"] == check]
        failed = len({row["line_no"] for row in mine})
        sample = Sample(line=1, event_id="<b>\x00\ud800", rule="r", field=None, reason="broken")
        checks.append(
            CheckResult(
                id=check, type="null_check", verdict=Verdict.PASS, threshold=0.99,
                severity="warning" if check in warnings else "critical",
                evaluated_rows=lines, failed_rows=failed, pass_rate=1 - failed / lines if lines else None,
                rules=(RuleResult(id=f"{check}.rule", field=None, evaluated_rows=lines, failed_rows=failed),),
                samples=(sample,) if failed else (),
            )
        )  # fmt: skip
    critical = {row["line_no"] for row in listed if row["check"] not in warnings}
    return CheckReport(verdict=verdict, checks=tuple(checks), lines=lines, failing_lines=len(critical), failing=failing)


def claim(url: str, folder: Path, day: date = DAY, *, lease_seconds: int = 60) -> Run:
    """A run of the day."""
    with closing(database.connect(url, name="test")) as connection:
        return ledger.claim(
            connection, day, trigger="cli", engine="pandas", runs_folder=folder, lease_seconds=lease_seconds
        )


def run_day(url: str, folder: Path, made: StagedDay, alerts=()):
    """The whole way of a day that passed: claim, load, marts, publish."""
    run = claim(url, folder)
    receipt = load.load(url, run, made.staged, made.report, CONTRACT)
    tables = marts.build(url, run, receipt)
    return publish.publish(url, run, made.staged, made.report, receipt, tables, alerts)


def ask(url: str, question: str, *parameters):
    """All rows of a question, each a tuple."""
    with closing(database.connect(url, name="test")) as connection, connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return cursor.fetchall()


def administer(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        connection.cursor().execute(statement)


def discard(home: Path) -> None:
    """Stop the server of a test's home and remove its data, which may lie outside of the home."""
    postgres.stop(home)
    folder = postgres.status(home).folder or home / "postgres"
    if folder.exists():  # a server that no test needed was never made
        shutil.rmtree(folder)
