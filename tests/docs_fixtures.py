"""Days for the dashboard tests: small staged frames put through the real checkpoint."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
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
from gx.site import PageFacts, publish_index, publish_page, render_page
from pipeline import contract, settings
from pipeline.records import DaySummary, Verdict

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
        "generated_at": datetime(2026, 1, 16, 2, 1, tzinfo=settings.ZONE),
    }  # fmt: skip
    return PageFacts(**(usual | changes))


def summary(day: date = DAY, **changes: Any) -> DaySummary:
    """A published run, with changes."""
    usual: dict[str, Any] = {
        "run_id": f"{day:%Y%m%d}-1", "day": day, "attempt": 1, "trigger": "cli", "engine": "pandas",
        "status": "published", "verdict": Verdict.PASS, "delivery_sha256": "ab" * 32, "lines": 10_000, "loaded": 9_990,
        "quarantined": 10, "unique_users": 800, "sessions": 1_200, "purchases": 95, "revenue": "12345678.00",
        "timings": {}, "started_at": datetime(2026, 1, 16, 2, tzinfo=settings.ZONE), "finished_at": None,
        "is_current": True,
    }  # fmt: skip
    return DaySummary(**(usual | changes))


def screenshot_days(folder: Path) -> None:
    """Pages to look at: a good day, a bad one, one that could not be judged, the list and its first run."""
    site = folder / "site"
    bad = good_day(4000)
    for n in range(0, 160, 2):
        bad[n] = event(n + 1, page_type="nowhere", event_id=f"<script>alert({n})</script>" if n % 4 else None)
    for n in range(1, 30, 2):
        bad[n] = event(n + 1, event_id=str(uuid.UUID(int=1)))
    pages = {
        "good": (good_day(4000), facts(lines=4000, good=4000)),
        "bad": (bad, facts(verdict=Verdict.FAIL, lines=4000, good=3905, failing=95, run_id="20260115-2")),
        "unjudged": (
            good_day(4000),
            facts(verdict=Verdict.INCONCLUSIVE, lines=4000, good=4000, problems=("value_ranges could not be judged",)),
        ),
    }
    for name, (rows, about) in pages.items():
        result = checked(rows)
        if name == "unjudged":
            answer = next(iter(result.run_results.values())).results[4]
            answer.success, answer.result = False, {}
            answer.exception_info = {
                "raised_exception": True,
                "exception_message": "x",
                "exception_traceback": "Traceback (most recent call last):\n  File\nTypeError: <b>secret</b>",
            }
        render_page(result, facts=about, folder=folder / name)
    publish_page(folder / "good", site, "20260115-1")
    days = [summary(date(2026, 1, n)) for n in range(1, 14)]
    days.append(summary(date(2026, 1, 14), verdict=Verdict.FAIL, status="blocked", loaded=0, is_current=False))
    publish_index(site, [*days, summary()], generated_at=facts().generated_at)
    publish_index(folder / "empty", [], generated_at=facts().generated_at)
