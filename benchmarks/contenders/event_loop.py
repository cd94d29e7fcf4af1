"""A simulator of the original's kind: a loop that makes one event after another and writes it with json.dumps.

Run as `event_loop.py FILE EVENTS`. Leaves out: faults, reproducibility between machines, and bounded memory.
"""

from __future__ import annotations

import json
import random
import sys
import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import shop

HOURS = [1, 1, 1, 1, 1, 2, 3, 5, 8, 8, 6, 6, 8, 8, 6, 6, 6, 6, 7, 9, 10, 10, 7, 4]
FUNNEL = {"page_view": 0.62, "click": 0.25, "search": 0.05, "add_to_cart": 0.06, "purchase": 0.02}


class User:
    """A customer with a fixed device."""

    def __init__(self, number: int) -> None:
        self.user_id = f"U{number:06d}"
        self.platform = random.choice(list(shop.ALLOWED))
        self.device_type = random.choice(shop.ALLOWED[self.platform]["device_type"])
        self.os = random.choice(shop.ALLOWED[self.platform]["os"])
        self.browser = random.choice(shop.ENUMS["browser"])


def event(user: User, session: str, kind: str, at: datetime) -> dict[str, Any]:
    """One event of a session."""
    made: dict[str, Any] = {
        "event_id": str(uuid.uuid4()),
        "event_type": kind,
        "user_id": user.user_id,
        "session_id": session,
        "timestamp": at.isoformat(timespec="milliseconds") + "+09:00",
        "platform": user.platform,
        "device_type": user.device_type,
        "os": user.os,
        "browser": user.browser,
    }
    product = {"product_id": f"P{random.randint(1, 500):04d}", "category_id": f"CAT{random.randint(1, 20):03d}"}
    url = f"https://shop.example/products/{product['product_id']}"
    quantity, price = random.randint(1, 5), random.randint(10, 500) * 1000
    if kind == "page_view":
        made |= {"page_url": url, "page_type": random.choice(shop.ENUMS["page_type"]), "referrer": None}
    elif kind == "click":
        element = random.choice(shop.ENUMS["element_type"])
        made |= {
            "page_url": url,
            "element_id": f"{element}_{random.randint(1, 99)}",
            "element_type": element,
            **product,
        }
    elif kind == "search":
        made |= {"search_query": random.choice(["shoes", "coat", "phone"]), "result_count": random.randint(0, 300)}
    elif kind == "add_to_cart":
        made |= {**product, "quantity": quantity, "unit_price": price}
    else:
        items = [{"product_id": product["product_id"], "quantity": quantity, "unit_price": price}]
        details = {"products": items, "discount_amount": 0, "shipping_fee": 3000, "coupon_code": None}
        made |= {
            "order_id": f"ORD{random.randint(10**12, 10**13 - 1):013d}",
            "total_amount": quantity * price + 3000,
            "payment_method": random.choice(shop.ENUMS["payment_method"]),
            "extra_data": json.dumps(details),
        }
    return made


def main() -> None:
    """Sessions until there are enough events, sorted by time, written line by line."""
    file, wanted = Path(sys.argv[1]), int(sys.argv[2])
    users = [User(number) for number in range(1, max(2, wanted // 100))]
    events: list[dict[str, Any]] = []
    while len(events) < wanted:
        user, session = random.choice(users), str(uuid.uuid4())
        hour = random.choices(range(24), HOURS)[0]
        at = datetime(2026, 1, 15, hour, random.randint(0, 59), random.randint(0, 59))
        for _ in range(random.randint(3, 25)):
            kind = random.choices(list(FUNNEL), list(FUNNEL.values()))[0]
            events.append(event(user, session, kind, at))
            at += timedelta(seconds=random.randint(2, 90))
    events.sort(key=lambda one: one["timestamp"])
    with file.open("w", encoding="utf-8") as out:
        for one in events[:wanted]:
            out.write(json.dumps(one, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
