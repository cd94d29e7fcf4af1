"""A simulator of the original's kind: a loop that makes one event after another and writes it with json.dumps.

What the original says of its own is in it: fixed profiles, hours of the day, a catalogue, the order of the funnel.

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
#: What a visitor does next, by what was done last; a purchase needs a cart, a cart needs a view.
NEXT = {
    None: {"page_view": 0.8, "search": 0.2},
    "page_view": {"page_view": 0.4, "click": 0.35, "search": 0.1, "add_to_cart": 0.15},
    "click": {"page_view": 0.55, "click": 0.2, "add_to_cart": 0.25},
    "search": {"page_view": 0.6, "click": 0.4},
    "add_to_cart": {"page_view": 0.5, "click": 0.1, "purchase": 0.4},
    "purchase": {"page_view": 1.0},
}


class User:
    """A customer with a fixed device and favourite categories."""

    def __init__(self, number: int) -> None:
        self.user_id = f"U{number:06d}"
        self.platform = random.choices(list(shop.ALLOWED), [5, 3, 4])[0]
        self.device_type = random.choice(shop.ALLOWED[self.platform]["device_type"])
        self.os = random.choice(shop.ALLOWED[self.platform]["os"])
        self.browser = random.choice(shop.ENUMS["browser"])
        self.favourites = random.sample(range(20), 3)


class Catalogue:
    """Products with their category and price."""

    def __init__(self) -> None:
        self.products = [
            {"product_id": f"P{n:04d}", "category_id": f"CAT{n % 20 + 1:03d}", "unit_price": (n % 50 + 1) * 1000}
            for n in range(1, 501)
        ]
        self.of_category = [
            [one for one in self.products if one["category_id"] == f"CAT{c + 1:03d}"] for c in range(20)
        ]

    def product(self, user: User) -> dict[str, Any]:
        """A product, more often of a favourite category."""
        among = self.of_category[random.choice(user.favourites)] if random.random() < 0.6 else self.products
        return random.choice(among)


def event(
    user: User, session: str, kind: str, at: datetime, product: dict[str, Any], cart: list[dict[str, Any]]
) -> dict[str, Any]:
    """One event of a session; what is bought is what is in the cart."""
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
    url = f"https://shop.example/products/{product['product_id']}"
    if kind == "page_view":
        made |= {"page_url": url, "page_type": random.choice(shop.ENUMS["page_type"]), "referrer": None}
    elif kind == "click":
        element = random.choice(shop.ENUMS["element_type"])
        made |= {
            "page_url": url,
            "element_id": f"{element}_{random.randint(1, 99)}",
            "element_type": element,
            "product_id": product["product_id"],
            "category_id": product["category_id"],
        }
    elif kind == "search":
        made |= {"search_query": random.choice(["shoes", "coat", "phone"]), "result_count": random.randint(0, 300)}
    elif kind == "add_to_cart":
        made |= {**product, "quantity": random.randint(1, 5)}
        cart.append({name: made[name] for name in ("product_id", "quantity", "unit_price")})
    else:
        details = {"products": cart, "discount_amount": 0, "shipping_fee": 3000, "coupon_code": None}
        made |= {
            "order_id": f"ORD{random.randint(10**12, 10**13 - 1):013d}",
            "total_amount": sum(item["quantity"] * item["unit_price"] for item in cart) + 3000,
            "payment_method": random.choice(shop.ENUMS["payment_method"]),
            "extra_data": json.dumps(details),
        }
    return made


def visit(user: User, catalogue: Catalogue, day: datetime) -> list[dict[str, Any]]:
    """What one customer does in one session."""
    session, made = str(uuid.uuid4()), []
    hour = random.choices(range(24), HOURS)[0]
    at = day + timedelta(hours=hour, minutes=random.randint(0, 59), seconds=random.randint(0, 59))
    done: str | None = None
    cart: list[dict[str, Any]] = []
    for _ in range(random.randint(3, 25)):
        after = NEXT[done]
        done = random.choices(list(after), list(after.values()))[0]
        made.append(event(user, session, done, at, catalogue.product(user), cart))
        if done == "purchase":
            cart = []
        at += timedelta(seconds=random.randint(2, 90), milliseconds=random.randint(0, 999))
    return made


def main() -> None:
    """Sessions until there are enough events, sorted by time, written line by line."""
    file, wanted = Path(sys.argv[1]), int(sys.argv[2])
    users, catalogue = [User(number) for number in range(1, max(2, wanted // 100))], Catalogue()
    events: list[dict[str, Any]] = []
    while len(events) < wanted:
        events.extend(visit(random.choice(users), catalogue, datetime(2026, 1, 15)))
    events.sort(key=lambda one: one["timestamp"])
    with file.open("w", encoding="utf-8") as out:
        for one in events[:wanted]:
            out.write(json.dumps(one, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
