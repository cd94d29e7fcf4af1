"""Writes what was measured: `results.json` as it is, `RESULTS.md` for people."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import cases

BARS = "## The bars"
Row = dict[str, Any]


def write(results: dict[str, Any], folder: Path) -> None:
    """Both files; notes written by hand below `notes.md` are taken along."""
    folder.mkdir(parents=True, exist_ok=True)
    loads = results["load"]
    results = {**results, "load": {"median": sorted(loads)[len(loads) // 2], "highest": max(loads)}}
    (folder / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    notes = Path(__file__).parent / "notes.md"
    text = "\n".join(lines(results)) + "\n"
    if notes.exists():
        text += "\n" + notes.read_text(encoding="utf-8")
    (folder / "RESULTS.md").write_text(text, encoding="utf-8")


def lines(results: dict[str, Any]) -> Iterator[str]:
    """The page."""
    machine, load = results["machine"], results["load"]
    yield "# Benchmarks"
    yield ""
    yield f"Written by `{results['command']}` on {results['when']}. Ratios hold between machines, seconds do not."
    yield ""
    yield (
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_mb'] // 1024} GB, {machine['system']}, "
        f"Python {machine['python']}; load average while it ran: median {load['median']}, highest {load['highest']}."
    )
    yield "Versions: " + ", ".join(f"{name} {found}" for name, found in results["versions"].items()) + "."
    yield ""
    yield (
        "Whole processes, contenders in turns. *Seconds* are medians of wall time less the median of importing alone "
        "what each imports; *processor* is user and system time of all processes, imports included; *memory* is the "
        "highest sum over all processes (shared pages once), and in brackets the largest process."
    )
    yield from bars(results)
    for kind, events in dict.fromkeys((row["kind"], row["events"]) for row in results["checks"]):
        rows = [row for row in results["checks"] if (row["kind"], row["events"]) == (kind, events)]
        yield from check_table(kind, events, rows)
    yield from spark(results)
    yield from small(results)
    yield from days(results)
    yield from what_each_leaves_out(results)


def seconds(row: Row) -> float:
    """Process time less import."""
    return max(0.01, float(row["wall"]) - (row["import"]["wall"] if row["import"] else 0.0))


def check_table(kind: str, events: int, rows: Sequence[Row]) -> Iterator[str]:
    """Contenders on one file, fastest first."""
    ours = next((row for row in rows if row["contender"] == cases.OURS), None)
    yield from ("", f"## File to verdict: {events:,} events, {kind}", "")
    yield from header("contender", "runs", "seconds", "× ours", "whole process", "processor", "× ours", "memory MB")
    for row in sorted(rows, key=seconds):
        ratio = ("–", "–")
        if ours is not None:
            ratio = (f"{seconds(row) / seconds(ours):.2f}", f"{row['cpu'] / ours['cpu']:.2f}")
        yield cells(
            row["contender"],
            row["rounds"],
            f"{seconds(row):.2f}",
            ratio[0],
            f"{row['wall']:.2f}",
            f"{row['cpu']:.2f}",
            ratio[1],
            f"{row['peak']:,.0f} ({row['largest']:,.0f})",
        )


def spark(results: dict[str, Any]) -> Iterator[str]:
    """Our check on Spark beside the job written by hand."""
    if "spark" in results:
        found = results["spark"]
        yield from ("", f"## On Spark, local[2]: {found['events']:,} events, dirty", "")
        yield from header("what", "runs", "whole process", "processor", "memory MB")
        for name, row in found["runs"].items():
            memory = f"{row['peak']:,.0f} ({row['largest']:,.0f})"
            yield cells(name, row["rounds"], f"{row['wall']:.1f}", f"{row['cpu']:.1f}", memory)
        yield ""
        yield (
            f"Both counted {found['compared']} rules alike; the job by hand leaves out why a malformed line is one, "
            "wrong types, repeated keys, failing lines and reasons."
        )


def small(results: dict[str, Any]) -> Iterator[str]:
    """Commands and the simulator."""
    if "small" in results:
        yield from ("", "## Small commands", "")
        yield from header("what", "runs", "seconds", "processor", "memory MB")
        for name, row in results["small"].items():
            yield cells(name, row["rounds"], f"{row['wall']:.2f}", f"{row['cpu']:.2f}", f"{row['peak']:,.0f}")
    if "simulator" in results:
        found = results["simulator"]
        yield from ("", "## Simulator", "")
        yield (
            f"{found['events']:,} events in {found['ours']['wall']:.1f} s; an event-by-event loop makes "
            f"{found['loop_events']:,} in {found['loop']['wall']:.1f} s: {found['ratio']:.1f} times slower per event."
        )


def days(results: dict[str, Any]) -> Iterator[str]:
    """Whole days by step."""
    if "days" not in results:
        return
    found = results["days"]
    yield from ("", "## Whole days, seconds by step", "")
    steps = list(found[0]["steps"])
    yield from header("events", "runs", *steps, "whole", "processor, server's included", "load ÷ bare COPY")
    for row in found:
        yield cells(
            f"{row['events']:,}",
            row["rounds"],
            *(f"{row['steps'].get(step, 0):.2f}" for step in steps),
            f"{row['wall']:.1f}",
            f"{row['cpu'] + row['server_cpu']:.1f}",
            f"{row['steps']['load'] / row['copy_floor']:.2f}",
        )
    yield ""
    yield "Microseconds an event:"
    yield ""
    yield from header("events", *steps, "whole")
    for row in found:
        each = [row["steps"].get(step, 0) * 1e6 / row["events"] for step in steps]
        yield cells(f"{row['events']:,}", *(f"{one:.2f}" for one in each), f"{row['wall'] * 1e6 / row['events']:.2f}")
    original = results.get("original_day")
    if original:
        parts = ", ".join(f"{step} {took:.1f} s" for step, took in original["seconds"].items())
        yield ""
        yield (
            f"The original's way, {original['events']:,} events: {original['wall']:.1f} s wall, "
            f"{original['cpu'] + original['server_cpu']:.1f} s processor ({parts})."
        )


def bars(results: dict[str, Any]) -> Iterator[str]:
    """What was promised, and what was measured."""
    found = list(measured_bars(results))
    if found:
        yield from ("", BARS, "")
        yield from header("what", "bar", "measured", "")
        for what, bar, value, holds in found:
            yield cells(what, bar, value, "✓" if holds else "✗")


def measured_bars(results: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Each bar that this run can say something about."""
    by = {(row["contender"], row["events"], row["kind"]): row for row in results["checks"]}
    million = [row for (_, events, kind), row in by.items() if events == 1_000_000 and kind == "dirty"]
    ours = by.get((cases.OURS, 1_000_000, "dirty"))
    if ours and len(million) > 1:
        full = {one.name for one in cases.CHECKERS if one.full and one.script is not None}
        fastest = min((row for row in million if row["contender"] in full), key=seconds)
        plain = results["small"]["import"]["wall"] if "small" in results else None
        peers = [
            (fastest["contender"], 0.8),
            ("DuckDB SQL", 1.3),
            ("GX, core expectations", 1 / 8),
            ("pure Python, the original's kind", 1 / 5),
        ]
        for name, bar in peers:
            if (name, 1_000_000, "dirty") in by:
                yield against(ours, by[name, 1_000_000, "dirty"], bar, plain)
    for events, most in ((1_000_000, 700), (5_000_000, 1500), (20_000_000, 3000)):
        rows = [row for (name, size, _), row in by.items() if (name, size) == (cases.OURS, events)]
        if rows:
            peak = max(row["peak"] for row in rows)
            yield f"memory of check, {events // 1_000_000}M", f"{most} MB", f"{peak:,.0f} MB", peak <= most
    yield from day_bars(results)
    yield from small_bars(results)
    if "publishing" in results:
        for what, name in (("day", "a whole day"), ("pages", "its pages alone")):
            by_days = {row["days"]: row["cpu_seconds"] for row in results["publishing"] if row["what"] == what}
            few, many = min(by_days), max(by_days)
            said = f"{name}, beside {many:,} published days against {few} (processor)"
            yield at_most(said, by_days[many] / by_days[few], 1.2)
    if "spark" in results:
        events, (ours, theirs) = results["spark"]["events"], results["spark"]["runs"].values()
        yield at_most(f"check of {events:,} on Spark against PySpark by hand", ours["wall"] / theirs["wall"], 1.5)
    if "simulator" in results:
        ratio = results["simulator"]["ratio"]
        yield "simulator against an event loop", "20 ×", f"{ratio:.1f} ×", ratio >= 20


def against(ours: Row, peer: Row, bar: float, plain: float | None) -> tuple[str, str, str, bool]:
    """Our check beside a peer's: less the plain import of Great Expectations, and less only what ours imports of it."""
    what, strict = f"check of 1M against {peer['contender']}", seconds(ours) / seconds(peer)
    if plain is None:
        return at_most(what, strict, bar)
    _, bar_said, said, holds = at_most(what, max(0.01, ours["wall"] - plain) / seconds(peer), bar)
    return what, bar_said, f"{said} ({at_most(what, strict, bar)[2]} less only what it imports)", holds


def small_bars(results: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Bars of what a person waits for."""
    if "small" in results:
        small = results["small"]
        import_and_one = small["import"]["wall"] + 1.0
        took = small["check of 1,000 lines"]["wall"]
        yield (
            "check of 1,000 lines",
            f"import + 1.0 s = {import_and_one:.2f} s",
            f"{took:.2f} s",
            took <= import_and_one,
        )
        took = small["help"]["wall"]
        yield "--help", "0.3 s", f"{took:.2f} s", took <= 0.3


def day_bars(results: dict[str, Any]) -> Iterator[tuple[str, str, str, bool]]:
    """Bars of whole days."""
    days = {row["events"]: row for row in results.get("days", ())}
    original = results.get("original_day")
    if original and original["events"] in days:
        ratio = original["wall"] / days[original["events"]]["wall"]
        yield f"whole day of {original['events']:,} against the original's way", "12 ×", f"{ratio:.1f} ×", ratio >= 12
    if 1_000_000 in days:
        yield at_most(
            "load step of 1M against a bare COPY", days[1_000_000]["steps"]["load"] / days[1_000_000]["copy_floor"], 2
        )
    if len(days) > 1:
        few, many = days[min(days)], days[max(days)]
        growth = {
            step: few["events"] / many["events"] * many["steps"][step] / few["steps"][step]
            for step in few["steps"]
            if few["steps"][step] > 0.1
        }
        worst = max(growth, key=lambda step: growth[step])
        what = f"cost per event, {min(days):,} to {max(days):,}, worst step ({worst})"
        yield at_most(what, growth[worst], 1.1)


def at_most(what: str, ratio: float, bar: float) -> tuple[str, str, str, bool]:
    """A ratio that must not be larger; small ones are told the other way round."""
    if bar < 0.5:
        return what, f"{1 / bar:.0f} × faster", f"{1 / ratio:.1f} × faster", ratio <= bar
    return what, f"{bar} ×", f"{ratio:.2f} ×", ratio <= bar


def what_each_leaves_out(results: dict[str, Any]) -> Iterator[str]:
    """So that nobody takes a count for a gate."""
    yield from ("", "## What each gives, leaves out, and counts differently", "")
    dirty = sorted(results["checks"], key=lambda row: (row["kind"] == "dirty", row["events"]))
    compared = {row["contender"]: row["differs"] for row in dirty if row["differs"]}
    yield from header("contender", "gives", "leaves out", "rules compared", "counts other than ours (ours → theirs)")
    for one in cases.CHECKERS:
        differs = compared.get(one.name, {})
        rules = [f"`{rule}` {ours} → {theirs}" for rule, (ours, theirs) in differs.get("rules", {}).items()]
        shown = f"{differs['compared']} of {differs['of']}" if differs else "–"
        yield cells(one.name, one.gives, one.leaves_out, shown, "; ".join(rules) or "none")


def header(*names: object) -> Iterator[str]:
    """The first two lines of a table; the first column is text, the others numbers or text alike."""
    yield cells(*names)
    yield cells(*("---" for _ in names))


def cells(*values: object) -> str:
    """A line of a table."""
    return "| " + " | ".join(map(str, values)) + " |"
