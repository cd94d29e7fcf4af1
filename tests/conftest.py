"""What all tests share: a day, its events and the real gate over lines of text."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from datetime import date

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from pipeline import contract as contracts
from pipeline.settings import PREFIX

# Tests judge with both engines in one process, so that no gate may be imported without Spark.
with suppress(ImportError):
    import pyspark  # noqa: F401

#: Every fixture that several test modules share; loaded once, so that a module may also import their helpers.
pytest_plugins = ["database_fixtures", "day_fixtures", "process_fixtures", "service_fixtures", "warm"]

# On CI the same examples every time: what lands is decided by the change, not by the dice. Elsewhere new ones.
hypothesis_settings.register_profile(
    "daygate",
    deadline=None,
    derandomize="CI" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
hypothesis_settings.load_profile("daygate")

DAY = date(2026, 1, 15)
#: They start a server, a process, a browser or Java; a test that uses one is `long`.
STARTERS = {"server_url", "warm_python", "chromium", "spark"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """What needs a server or a process of its own is no part of `make test-fast`."""
    for item in items:
        if STARTERS & set(item.fixturenames) or item.get_closest_marker("spark"):
            item.add_marker("long")


@pytest.fixture(scope="session")
def contract():
    """The shipped contract."""
    return contracts.load()


@pytest.fixture(scope="session")
def day():
    """A Thursday."""
    return DAY


class Session:
    """Writes the events of one visit, one minute apart, all good unless told otherwise."""

    def __init__(self, number: int = 1, *, start: str = "2026-01-15T10:00:00", platform: str = "web") -> None:
        self.number = number
        self.start = start
        self.platform = platform
        self.events: list[dict] = []

    def add(self, event_type: str, **changes: object) -> Session:
        """One more event; a change to `...` removes the field."""
        minute = len(self.events)
        event = {
            "event_id": f"{self.number:08x}-0000-4000-8000-{minute:012x}",
            "event_type": event_type,
            "user_id": f"U{self.number:06d}",
            "session_id": f"{self.number:08x}-1111-4000-8000-000000000000",
            "timestamp": f"{self.start[:14]}{minute:02d}:00+09:00",
            "platform": self.platform,
            "device_type": "mobile",
            "os": {"web": "Windows", "ios": "iOS", "android": "Android"}[self.platform],
            "browser": "Chrome",
            **self.fields(event_type),
            **changes,
        }
        self.events.append({name: value for name, value in event.items() if value is not ...})
        return self

    def fields(self, event_type: str) -> dict[str, object]:
        """What the event type requires beside the common fields."""
        order = {
            "products": [{"product_id": "P0001", "quantity": 2, "unit_price": 1000}],
            "discount_amount": 100,
            "shipping_fee": 3000,
            "coupon_code": None,
        }
        return {
            "page_view": {"page_url": "https://shop.example.com/home", "page_type": "home"},
            "click": {"page_url": "https://shop.example.com/home", "element_id": "e1", "element_type": "button"},
            "add_to_cart": {"product_id": "P0001", "category_id": "CAT001", "quantity": 2, "unit_price": 1000},
            "purchase": {
                "order_id": f"ORD{self.number:09d}{len(self.events):04d}",
                "total_amount": 4900,
                "payment_method": "credit_card",
                "extra_data": json.dumps(order),
            },
            "search": {"search_query": "텀블러", "result_count": 3},
        }.get(event_type, {})

    def visit(self) -> Session:
        """The whole way from a view to an order."""
        for event_type in ("page_view", "search", "click", "add_to_cart", "purchase"):
            self.add(event_type)
        return self


@pytest.fixture
def session():
    """The factory of visits."""
    return Session


def as_lines(*events: dict | str) -> bytes:
    """Events (or raw lines) as JSON Lines."""
    lines = [e if isinstance(e, str) else json.dumps(e, ensure_ascii=False) for e in events]
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, without anybody's settings."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def lines():
    """Turns events or raw lines into the bytes of a delivery."""
    return as_lines
