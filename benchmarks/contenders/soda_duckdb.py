"""Soda Core on DuckDB: SodaCL checks over the table that the DuckDB contender also makes.

Leaves out: malformed lines, wrong types that a cast takes, repeated keys, failing lines and reasons. Whatever needs
more than one column or line is a metric whose SQL is written by hand.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import shop
from duckdb_sql import facts, listed, load, rules


def native(name: str) -> list[str]:
    """Checks SodaCL has words for; empty texts count as missing."""
    checks = []
    if name in shop.REQUIRED:
        checks.append(f'  - missing_count({name}) = 0:\n      missing values: [""]')
    valid = []
    if name in shop.ENUMS:
        valid.append(f"      valid values: [{listed(shop.ENUMS[name])}]")
    if name in shop.PATTERNS:
        valid.append(f"      valid regex: '{shop.PATTERNS[name]}'")
    elif name in shop.LENGTHS:
        valid.append(f"      valid max length: {shop.LENGTHS[name][1]}")
    if name in shop.RANGES:
        low, high = shop.RANGES[name]
        valid.append(f"      valid min: {low}\n      valid max: {high}")
    if valid:
        empty = ['      missing values: [""]'] if shop.kind(name) == "string" else []
        checks.append("\n".join([f"  - invalid_count({name}) = 0:", *valid, *empty]))
    return checks


def custom(day: str) -> dict[str, str]:
    """Rules for which SodaCL needs SQL: those of several columns or lines."""
    chosen = ("unique_event_id/", "funnel_order/", "timestamp_validity/", "order_total/", "platform_device/")
    return {name: sql for name, sql in rules(day).items() if name.startswith(chosen) or "." in name}


def checks(day: str) -> str:
    """The SodaCL document."""
    lines = ["checks for facts:"]
    for name in shop.FIELDS:
        lines += native(name)
    for number, condition in enumerate(custom(day).values()):
        lines += [
            f"  - rule_{number} = 0:",
            f"      rule_{number} expression: count(CASE WHEN {condition} THEN 1 END)",
        ]
    return "\n".join(lines)


def scan(con: Any, document: str) -> dict[str, int]:
    """Run Soda's scan; metric name -> value."""
    from soda.scan import Scan  # noqa: PLC0415  # after its folder of settings was chosen

    found = Scan()
    found.add_duckdb_connection(con)
    found.set_data_source_name("duckdb")
    found.add_sodacl_yaml_str(document)
    found.execute()
    if found.has_error_logs():
        raise SystemExit(found.get_error_logs_text())
    checks = found.get_scan_results()["checks"]
    return {check["name"].split(" = ")[0]: check["diagnostics"]["value"] for check in checks}


def main() -> None:
    """Load, add the facts as a view, scan."""
    file, day = shop.asked()
    os.environ["HOME"] = tempfile.mkdtemp()
    (Path(os.environ["HOME"]) / ".soda").mkdir()
    (Path(os.environ["HOME"]) / ".soda" / "config.yml").write_text("send_anonymous_usage_stats: false\n")
    con = duckdb.connect()
    con.execute("SET TimeZone = 'Asia/Seoul'")
    load(con, str(file), day)
    con.execute(f"CREATE TABLE facts AS SELECT * FROM ({facts()}) WHERE is_object")
    lines = con.execute("SELECT count(*) FROM events").fetchone()
    assert lines is not None
    found = scan(con, checks(day))
    counts = {rule: found.get(f"rule_{number}", 0) for number, rule in enumerate(custom(day))}
    for check, metric in (("required_fields", "missing_count"), ("value_ranges", "invalid_count")):
        for name in shop.FIELDS:
            counts[f"{check}/{name}"] = found.get(f"{metric}({name})", 0)
    counts = {rule: counts[rule] for rule in counts if rule in shop.every_rule()}
    shop.answer(lines[0], counts, without=("required_fields/line",))


if __name__ == "__main__":
    main()
