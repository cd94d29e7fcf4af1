"""`make bench-engines`: `daygate check` on pandas and on Spark, whole processes over files of growing size.

Both engines take turns on the same file and must give the same answer; Spark runs in one process on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import cases
from benchmarks.measure import Measured, run

DAY = "2026-01-15"
FAULTS = ("browser_unknown=0.003", "line_repeated=0.003", "total_mismatch=0.005")
#: What may differ between two answers.
VOLATILE = ("engine", "seconds")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=cases.ROOT / ".bench" / "engines")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000, 8_000_000])
    options = parser.parse_args()
    print("| events | engine | seconds | processor seconds | MB at most | MB the largest process | load |")
    print("|---|---|---|---|---|---|---|")
    for events in options.sizes:
        file = made(options.data, events)
        answers = []
        for engine in ("pandas", "spark"):
            found = checked(file, engine)
            answers.append({name: value for name, value in json.loads(found.out).items() if name not in VOLATILE})
            figures = (f"{found.wall:.1f}", f"{found.cpu:.1f}", f"{found.peak:,.0f}", f"{found.largest:,.0f}")
            print(f"| {events:,} | {engine} | {' | '.join(figures)} | {os.getloadavg()[0]:.1f} |", flush=True)
        if answers[0] != answers[1]:
            sys.exit(f"The engines disagree about {file}.")


def made(data: Path, events: int) -> Path:
    """A dirty day of so many events, made once."""
    folder = data / str(events)
    file = folder / "events_20260115.jsonl"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        users = str(min(900_000, max(100, events // 25)))
        words = ["generate", "--date", DAY, "--events", str(events), "--users", users, "--output", str(folder)]
        daygate([*words, *(word for fault in FAULTS for word in ("--fault", fault))], folder)
    return file


def checked(file: Path, engine: str) -> Measured:
    """One check as a whole process."""
    return daygate(["check", file.name, "--engine", engine, "--output-format", "json"], file.parent)


def daygate(words: list[str], folder: Path) -> Measured:
    """The command in that folder, on two cores."""
    own = {
        "PYTHONPATH": str(cases.ROOT),
        "DAYGATE_HOME": str(folder.parent / "home"),
        "DAYGATE_SPARK_MASTER": "local[2]",
        "DAYGATE_SPARK_UI": "false",
    }
    return run([sys.executable, "-m", "scheduler", *words], cwd=folder, environment=own, codes=(0, 1))


if __name__ == "__main__":
    main()
