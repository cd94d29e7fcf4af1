"""PySpark by hand: one query, whose windows see only what rules over several lines need.

Leaves out: why a malformed line is one (a row of nulls), wrong types (null without a word, and so missing), repeated
keys, failing lines and reasons: it only counts. Memory and master are those that spark-submit or the environment gives.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from functools import reduce

import shop
from pyspark.sql import Column, DataFrame, Observation, SparkSession, Window
from pyspark.sql import functions as F  # noqa: N812  # its usual name
from pyspark.sql import types as t

ZONE = "Asia/Seoul"
TYPES = {"string": t.StringType(), "integer": t.LongType(), "number": t.DoubleType()}
SCHEMA = t.StructType([t.StructField(name, TYPES[shop.kind(name)]) for name in shop.FIELDS])
DETAILS = """
    products ARRAY<STRUCT<unit_price: DOUBLE, quantity: DOUBLE>>, discount_amount DOUBLE, shipping_fee DOUBLE
"""
PLATFORMS = list(shop.ALLOWED)
#: What rules over several lines look at.
NEEDED = ("line", "event_id", "session_id", "order_id", "event_type", "platform", "instant", "on_day", "is_order")


def main() -> None:
    """Count, and print what was found."""
    file, day = shop.asked()
    spark = SparkSession.builder.config("spark.sql.session.timeZone", ZONE).getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    shop.answer(*counted(spark, str(file), day))


def counted(spark: SparkSession, file: str, day: str) -> tuple[int, dict[str, int]]:
    """Lines, and the failing ones of each rule: those of single lines on the way to the others."""
    on_the_way = Observation()
    frame = read(spark, file, day).observe(on_the_way, F.count("*").alias("lines"), *counts(single()))
    found = with_facts(frame.select(*NEEDED)).agg(*counts(crossed())).collect()[0].asDict()
    alone = on_the_way.get
    return alone.pop("lines"), alone | found


def counts(rules: dict[str, Column]) -> Iterator[Column]:
    """How many lines fail each."""
    return (F.count_if(condition).alias(rule) for rule, condition in rules.items())


def read(spark: SparkSession, file: str, day: str) -> DataFrame:
    """The events with their line's place in the file, their instant and what their items come to."""
    # Not spark.read.json: that makes events of what stands in an array.
    lines = spark.read.text(file).select(F.from_json("value", SCHEMA).alias("event"))
    frame = lines.select("event.*", F.monotonically_increasing_id().alias("line"))
    is_order = F.col("event_type") == shop.ORDER["event"]
    frame = frame.withColumns(
        {
            "is_order": is_order,
            "instant": F.try_to_timestamp("timestamp"),
            "details": F.from_json(F.when(is_order, F.col("extra_data")), DETAILS),
        }
    )
    on_day = F.to_date("instant") == F.lit(day).cast("date")
    return frame.withColumns({"on_day": on_day, "items": items()}).drop("details")


def items() -> Column:
    """Σ price · quantity − discount + shipping of an order; null where it has none or it is unreadable."""
    each = F.transform("details.products", lambda item: item["unit_price"] * item["quantity"])
    total = F.aggregate(each, F.lit(0.0), lambda total, one: total + one)
    nothing = F.lit(0.0)
    discount, shipping = (F.coalesce(F.col(f"details.{name}"), nothing) for name in ("discount_amount", "shipping_fee"))
    return total - discount + shipping


def with_facts(frame: DataFrame) -> DataFrame:
    """The frame with first copies, and what came before in the session."""
    place = F.when(F.col("on_day"), F.struct("instant", "line"))
    # A line without a usable instant is evidence whatever its place.
    evidence = F.coalesce(place, F.struct(F.lit(None).cast("timestamp").alias("instant"), F.lit(-1).alias("line")))
    session = Window.partitionBy("session_id")
    before = {
        f"before_{event}": F.min(F.when(F.col("event_type").isin(after), evidence)).over(session)
        for event, after in shop.STEPS
    }
    began_with = F.min_by("platform", F.when(F.col("platform").isin(PLATFORMS), place)).over(session)
    first_event = F.min("line").over(Window.partitionBy("event_id"))
    found = frame.withColumns({"place": place, **before, "began_with": began_with}).withColumn(
        "first_event", first_event
    )
    # Few lines have an order id; all others would meet in one task.
    has_order = F.coalesce(F.col("is_order") & (F.col("order_id") != ""), F.lit(False))
    first_order = F.min("line").over(Window.partitionBy("order_id"))
    orders = found.where(has_order).withColumn("first_order", first_order)
    return orders.unionByName(found.where(~has_order), allowMissingColumns=True)


def single() -> dict[str, Column]:
    """Rule -> condition of a failing line, as far as it says so itself."""
    is_object = F.coalesce(*(F.col(name) for name in ("event_id", "event_type", "user_id"))).isNotNull()
    found = {"required_fields/line": ~is_object}
    found |= {f"required_fields/{name}": is_object & missing(name) for name in shop.REQUIRED}
    for event, names in shop.REQUIRED_BY_TYPE.items():
        found |= {f"required_fields/{event}.{name}": (F.col("event_type") == event) & missing(name) for name in names}
    for name in shop.FIELDS:
        if parts := bounds(name):
            present = F.col(name) != "" if shop.kind(name) == "string" else F.lit(True)
            found[f"value_ranges/{name}"] = present & reduce(operator.or_, parts)
    low, high = (F.lit(shop.TIMESTAMP[name]).cast("timestamp") for name in ("formatMinimum", "formatExclusiveMaximum"))
    found["timestamp_validity/instant"] = (F.col("timestamp") != "") & F.col("instant").isNull()
    found["timestamp_validity/range"] = (F.col("instant") < low) | (F.col("instant") >= high)
    found["timestamp_validity/day"] = ~F.col("on_day")
    unreadable = F.col("is_order") & (F.col("extra_data") != "") & F.col("items").isNull()
    difference = F.abs(F.col("total_amount") - F.col("items"))
    found["order_total/extra_data"] = unreadable
    found["order_total/total_amount"] = F.col("total_amount").between(*shop.RANGES["total_amount"]) & (
        difference > shop.ORDER["tolerance"]
    )
    for name in ("device_type", "os"):
        wrong = (
            (F.col("platform") == platform) & ~F.col(name).isin(allowed[name])
            for platform, allowed in shop.ALLOWED.items()
        )
        found[f"platform_device/{name}"] = F.col(name).isin(shop.ENUMS[name]) & reduce(operator.or_, wrong)
    return found


def crossed() -> dict[str, Column]:
    """Rules that look at other lines, too."""
    known = F.col("platform").isin(PLATFORMS) & (F.col("session_id") != "")
    found = {
        "unique_event_id/event_id": (F.col("event_id") != "") & (F.col("line") > F.col("first_event")),
        "unique_event_id/order_id": F.col("line") > F.col("first_order"),
        "platform_device/session": known & (F.col("platform") != F.col("began_with")),
    }
    for event, _ in shop.STEPS:
        judged = (F.col("event_type") == event) & (F.col("session_id") != "") & F.col("place").isNotNull()
        found[f"funnel_order/{event}"] = judged & F.coalesce(F.col(f"before_{event}") >= F.col("place"), F.lit(True))
    return found


def missing(name: str) -> Column:
    """Absent, null or empty."""
    column = F.col(name)
    return column.isNull() | (column == "") if shop.kind(name) == "string" else column.isNull()


def bounds(name: str) -> list[Column]:
    """Ways in which a present value breaks the contract."""
    column, parts = F.col(name), []
    if name in shop.ENUMS:
        parts.append(~column.isin(shop.ENUMS[name]))
    if name in shop.PATTERNS:
        parts.append(~column.rlike(shop.PATTERNS[name]))
    if name in shop.LENGTHS:
        parts.append(~F.length(column).between(*shop.LENGTHS[name]))
    if name in shop.RANGES:
        parts.append(~column.between(*shop.RANGES[name]))
    return parts


if __name__ == "__main__":
    main()
