"""`make bench-engines`: `daygate check` on pandas and on Spark, whole processes over files of growing size.

Both engines take turns on the same file and must give the same answer; Spark runs in one process on two cores.
`python -m benchmarks.engines --by-hand 5000000` measures Spark against a PySpark job written by hand instead, which
has the same cores and memory and must count the same.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import cases
from benchmarks.__main__ import answer_of, difference, summary
from benchmarks.measure import Measured, run
from pipeline.settings import Settings
from pipeline.spark import configuration, java

DAY = cases.DAY
MASTER = "local[2]"
HEAD = "seconds | processor seconds | MB at most | MB the largest process | load |"
FAULTS = ("browser_unknown=0.003", "line_repeated=0.003", "total_mismatch=0.005")
#: What may differ between two answers.
VOLATILE = ("engine", "seconds")


def main() -> None:
    """Print the table that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=cases.ROOT / ".bench" / "engines")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1_000_000, 2_000_000, 4_000_000, 8_000_000])
    parser.add_argument("--by-hand", type=int, metavar="EVENTS", help="the job written by hand, in turns with ours")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each beside the job written by hand")
    options = parser.parse_args()
    if options.by_hand is None:
        compare_engines(options.data, options.sizes)
    else:
        found = compare_by_hand(options.data, options.by_hand, options.rounds)
        ours, theirs = found["runs"].values()
        for what in ("wall", "cpu", "peak"):
            print(f"{what}: {ours[what] / theirs[what]:.2f} x, {found['compared']} rules counted alike")


def compare_engines(data: Path, sizes: Sequence[int]) -> None:
    """Both engines on each file."""
    print(f"| events | engine | {HEAD}")
    print("|---|---|---|---|---|---|---|")
    for events in sizes:
        file = made(data, events)
        answers = []
        for engine in ("pandas", "spark"):
            found = checked(file, engine)
            answers.append({name: value for name, value in json.loads(found.out).items() if name not in VOLATILE})
            print(f"| {events:,} | {engine} | {row(found)}", flush=True)
        if answers[0] != answers[1]:
            sys.exit(f"The engines disagree about {file}.")


def compare_by_hand(data: Path, events: int, rounds: int) -> dict[str, Any]:
    """Spark and the job written by hand in turns: medians of both, and the rules that both counted alike."""
    file = made(data, events)
    runs: dict[str, list[Measured]] = {"daygate check --engine spark": [], "PySpark by hand": []}
    print(f"| {events:,} events | {HEAD}")
    print("|---|---|---|---|---|---|")
    for _ in range(rounds):
        for (name, mine), measured in zip(runs.items(), (checked(file, "spark"), by_hand(file)), strict=True):
            mine.append(measured)
            print(f"| {name} | {row(measured)}", flush=True)
    ours, theirs = runs.values()
    differing = difference(answer_of(ours[0].out), answer_of(theirs[0].out))
    if differing["rules"]:
        sys.exit(f"The counts differ: {differing['rules']}")
    found = {name: summary(mine) for name, mine in runs.items()}
    return {"events": events, "runs": found, "compared": differing["compared"]}


def row(found: Measured) -> str:
    """The cells of a run, as `HEAD` names them."""
    figures = (f"{found.wall:.1f}", f"{found.cpu:.1f}", f"{found.peak:,.0f}", f"{found.largest:,.0f}")
    return f"{' | '.join(figures)} | {os.getloadavg()[0]:.1f} |"


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


def by_hand(file: Path) -> Measured:
    """The job written by hand under spark-submit, with the master and the memory that ours has."""
    settings = Settings(home=file.parent.parent / "home", spark_master=MASTER)
    runtime = java.home_for_spark(java.find(), settings.home)
    submit = [configuration.spark_home() / "bin" / "spark-submit", "--master", MASTER]
    settled = ["--driver-memory", settings.spark_driver_memory, "--conf", "spark.ui.enabled=false"]
    job = [cases.CONTENDERS / "pyspark_by_hand.py", file, DAY]
    around = configuration.environment(MASTER, runtime)
    return run([*submit, *settled, *job], cwd=file.parent, environment=around)


def daygate(words: list[str], folder: Path) -> Measured:
    """The command in that folder, on two cores."""
    own = {
        "PYTHONPATH": str(cases.ROOT),
        "DAYGATE_HOME": str(folder.parent / "home"),
        "DAYGATE_SPARK_MASTER": MASTER,
        "DAYGATE_SPARK_UI": "false",
    }
    return run([sys.executable, "-m", "scheduler", *words], cwd=folder, environment=own, codes=(0, 1))


if __name__ == "__main__":
    main()
