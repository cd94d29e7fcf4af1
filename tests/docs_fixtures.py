"""Days for the dashboard tests: small staged frames put through the real checkpoint."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import great_expectations
import pandas as pd
import polars as pl
from great_expectations.checkpoint import Checkpoint
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context.types.base import ProgressBarsConfig

from expectations_custom import rules
from gx import suite as suites
from gx.pages import DAYS_BACK, Place, calendar, has_in
from gx.published import write
from gx.site import PageFacts
from pipeline import contract, settings
from pipeline.records import DaySummary, Verdict
from pipeline.site_figures import Figures
from pipeline.zone import ZONE

DAY = date(2026, 1, 15)
MONEY = pl.Decimal(38, 18)
DTYPES = {"string": pl.String, "integer": pl.Int64, "number": MONEY, "timestamp": pl.Datetime("us", "UTC")}


def event(number: int, kind: str = "page_view", **changes: Any) -> dict[str, Any]:
    """One good staged event at second `number` of the day, with changes."""
    name = str(uuid.UUID(int=number))
    day_us = number * 1_000_000
    row: dict[str, Any] = {
        "line_no": number, "event_id": name, "event_type": kind, "user_id": "U000001",
        "session_id": str(uuid.UUID(int=1)),
        "timestamp": datetime(2026, 1, 14, 15, tzinfo=UTC), "platform": "web", "device_type": "desktop",
        "os": "Windows", "browser": "Chrome", "day_us": day_us, "order_key": day_us * 2**26 + number,
    }  # fmt: skip
    if kind == "page_view":
        row |= {"page_url": "/p", "page_type": "home"}
    if kind == "add_to_cart":
        row |= {"product_id": "P0001", "category_id": "CAT001", "quantity": 1, "unit_price": Decimal(1000)}
    if kind == "purchase":
        row |= {
            "order_id": f"ORD{number:013d}", "total_amount": Decimal(1000), "payment_method": "credit_card",
            "extra_data": "{}", "items_total": Decimal(1000), "order_discount": Decimal(0),
            "order_shipping": Decimal(0),
        }  # fmt: skip
    return row | changes


def good_day(lines: int = 60) -> list[dict[str, Any]]:
    """Views, a cart and a purchase, all good."""
    return [event(n) for n in range(1, lines - 1)] + [event(lines - 1, "add_to_cart"), event(lines, "purchase")]


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Events as the columns the checks look at."""
    agreed = contract.load()
    types = {field.name: DTYPES[field.kind] for field in agreed.fields}
    types |= dict.fromkeys(("line_no", "day_us", "order_key"), pl.Int64) | {"problems": pl.String}
    types |= dict.fromkeys(("items_total", "order_discount", "order_shipping"), MONEY)
    schema = {name: types[name] for name in rules.columns(agreed)}
    return pl.DataFrame(rows, schema=schema).to_pandas(use_pyarrow_extension_array=True)


def checked(
    rows: list[dict[str, Any]], *, run_name: str = "check", actions: Any = None, **options: Any
) -> CheckpointResult:
    """What Great Expectations says of those events."""
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("daygate").add_dataframe_asset("staged")
    suite = context.suites.add(suites.build(settings.Settings(**options), contract.load()))
    definition = context.validation_definitions.add(
        ValidationDefinition(name="daygate", data=asset.add_batch_definition_whole_dataframe("day"), suite=suite)
    )
    checkpoint = Checkpoint(name="daygate", validation_definitions=[definition], actions=list(actions or ()))
    return context.checkpoints.add(checkpoint).run(
        batch_parameters={"dataframe": frame(rows)}, run_id=RunIdentifier(run_name=run_name)
    )


def facts(**changes: Any) -> PageFacts:
    """Facts of a good day, with changes."""
    usual: dict[str, Any] = {
        "day": DAY, "verdict": Verdict.PASS, "run_id": "20260115-1", "delivery_name": "events_20260115.jsonl",
        "sha256": "ab" * 32, "engine": "pandas", "lines": 60, "good": 60, "failing": 0, "contract_sha256": "cd" * 32,
        "generated_at": datetime(2026, 1, 16, 2, 1, tzinfo=ZONE),
    }  # fmt: skip
    return PageFacts(**(usual | changes))


def summary(day: date = DAY, **changes: Any) -> DaySummary:
    """A published run, with changes."""
    usual: dict[str, Any] = {
        "run_id": f"{day:%Y%m%d}-1", "day": day, "attempt": 1, "trigger": "cli", "engine": "pandas",
        "status": "published", "verdict": Verdict.PASS, "delivery_sha256": "ab" * 32, "lines": 10_000, "loaded": 9_990,
        "quarantined": 10, "unique_users": 800, "sessions": 1_200, "purchases": 95, "revenue": "12345678.00",
        "timings": {}, "started_at": datetime(2026, 1, 16, 2, tzinfo=ZONE), "finished_at": None,
        "is_current": True,
    }  # fmt: skip
    return DaySummary(**(usual | changes))


def figures(*days: DaySummary, today: date = date(2026, 1, 17), **changes: Any) -> Figures:
    """What the ledger tells of those days and nothing else, the day after the newest."""
    usual: dict[str, Any] = {
        "today": today, "first": min((run.day for run in days), default=None), "checks": (), "conversions": (),
        "end": today - timedelta(days=1), "start": today - timedelta(days=DAYS_BACK), "months": (),
        "days": tuple(sorted(days, key=lambda run: run.day, reverse=True)),
    }  # fmt: skip
    return Figures(**(usual | changes))


def publish_front(site: Path, *days: DaySummary) -> str:
    """The front page of a site that tells of those days, as text; the newest has nothing said of it."""
    place = Place(generated_at=facts().generated_at, has=has_in(site))
    write(site, {"index.html": calendar(figures(*days), None, place)})
    return (site / "index.html").read_text("utf-8")
