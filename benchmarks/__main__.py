"""`make bench`: makes the data, runs everybody in turns, writes RESULTS.md, results.json and the plot.

Every figure is of whole processes. Contenders take turns within a round, so that whatever else the machine does
meanwhile meets all of them; quote ratios of one run only.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import cases, report
from benchmarks.cases import CHECKERS, Contender
from benchmarks.measure import Failed, Measured, processor_seconds, run

PARTS = ("small", "checks", "simulator", "days", "publishing", "spark", "memory")
#: Told with their versions.
LIBRARIES = (
    *("daygate", "great_expectations", "polars", "pandas", "pyarrow", "narwhals", "msgspec", "numpy"),
    *("duckdb", "dataframely", "pandera", "pointblank", "soda-core", "soda-core-duckdb", "psycopg2-binary", "pyspark"),
)


class Bench:
    """One run of the benchmarks; `results` is what is written as JSON."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.data: Path = options.data
        self.ours = [options.python, "-m", "scheduler"]
        for name in [name for name in os.environ if name.startswith("DAYGATE_")]:
            del os.environ[name]
        self.environment = {"PYTHONPATH": str(cases.ROOT), "DAYGATE_HOME": str(self.data / "home")}
        self.results: dict[str, Any] = {
            "when": datetime.now(UTC).isoformat(timespec="minutes"),
            "machine": machine(),
            "load": [],
            "versions": {**versions(options.bench_python), **versions(options.python)},
            "checks": [],
        }

    def run(self, command: Sequence[str | Path], *codes: int) -> Measured:
        """Run from the data folder, with our packages in reach and none of the caller's settings."""
        self.results["load"].append(round(os.getloadavg()[0], 1))
        return run(command, cwd=self.data, environment=self.environment, codes=codes or (0,))

    def say(self, text: str) -> None:
        """Progress for whoever waits."""
        print(f"{datetime.now(UTC):%H:%M:%S} {text}", flush=True)

    def file(self, events: int, kind: str) -> Path:
        """A day of so many events, clean or dirty, made once."""
        folder = self.data / f"{kind}-{events}"
        file = folder / cases.FILE
        if not file.exists():
            self.say(f"making {events:,} events, {kind}")
            faults = self.faults() if kind == "dirty" else []
            self.run([*self.generate(events, folder), *faults])
        return file

    def generate(self, events: int, folder: Path) -> list[str | Path]:
        """The command that simulates a day."""
        users = max(100, min(900_000, events // 100))
        sizes = ["--events", str(events), "--users", str(users), "--seed", str(cases.SEED)]
        return [*self.ours, "generate", "--date", cases.DAY, *sizes, "--output", folder]

    def faults(self) -> list[str]:
        """All of the simulator's faults at one rate."""
        listed = self.run([*self.ours, "generate", "--fault", "list"]).out.splitlines()[1:]
        return [word for line in listed for word in ("--fault", f"{line.split()[0]}={cases.RATE}")]

    def check_command(self, contender: Contender, file: Path) -> list[str | Path]:
        """How a contender is asked about a file."""
        if contender.script is None:
            answer = ["--date", cases.DAY, "--output-format", "json", "--limit", "0"]
            return [*self.ours, "check", file, *answer]
        return [self.options.bench_python, cases.CONTENDERS / contender.script, file, cases.DAY]

    def import_command(self, contender: Contender) -> list[str | Path]:
        """Only what the contender imports."""
        python = self.options.python if contender.script is None else self.options.bench_python
        return [python, "-c", contender.imports]

    def checks(self, events: int, kind: str, rounds: int) -> None:
        """All contenders on one file, in turns."""
        file = self.file(events, kind)
        small = events <= self.options.slow_up_to
        chosen = self.options.contenders if small else self.options.large_contenders or self.options.contenders
        taking_part = [one for one in CHECKERS if (small or not one.slow) and (not chosen or one.name in chosen)]
        runs: dict[str, list[tuple[Measured, Measured]]] = {one.name: [] for one in taking_part}
        for turn in range(rounds):
            for one in taking_part:
                if one.slow and turn >= self.options.slow_rounds:
                    continue
                try:
                    imported = self.run(self.import_command(one))
                    runs[one.name].append((self.run(self.check_command(one, file), 0, 1), imported))
                except Failed as failed:
                    self.say(str(failed))
                    continue
                self.say(f"{events:,} {kind}, round {turn + 1}/{rounds}: {one.name} {runs[one.name][-1][0].wall:.1f} s")
        answers = {name: answer_of(done[-1][0].out) for name, done in runs.items() if done}
        for name, done in runs.items():
            if done:
                self.results["checks"].append(
                    {"contender": name, "events": events, "kind": kind, **medians(done)}
                    | {"differs": difference(answers.get(cases.OURS), answers[name])}
                )
        report.write(self.results, self.options.results)

    def single_commands(self, rounds: int) -> None:
        """Small things people wait for: `--help`, and a file of 1,000 lines against the bare import."""
        small = self.file(1000, "clean")
        commands = {
            "help": [*self.ours, "--help"],
            "import": [self.options.python, "-c", "import great_expectations"],
            "check of 1,000 lines": self.check_command(CHECKERS[0], small),
        }
        runs: dict[str, list[Measured]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                runs[name].append(self.run(command))
        self.results["small"] = {name: summary(done) for name, done in runs.items()}
        self.say("small commands done")

    def simulator(self, rounds: int) -> None:
        """Our simulator against a loop, per event; a tenth of the events is enough for the loop."""
        events = self.options.sizes[min(1, len(self.options.sizes) - 1)]
        few = max(1, events // 10)
        made = self.data / "loop.jsonl"
        ours, loop = [], []
        for _ in range(rounds):
            # A day is generated once; to take the place of an old file costs the time of removing that.
            shutil.rmtree(self.data / "made", ignore_errors=True)
            made.unlink(missing_ok=True)
            ours.append(self.run(self.generate(events, self.data / "made")))
            loop.append(self.run([self.options.bench_python, cases.CONTENDERS / "event_loop.py", made, str(few)]))
        made.unlink()
        self.results["simulator"] = {
            "events": events,
            "ours": summary(ours),
            "loop_events": few,
            "loop": summary(loop),
            "ratio": statistics.median(run.wall for run in loop) * events / few
            / statistics.median(run.wall for run in ours),
        }  # fmt: skip
        self.say("simulator done")

    def days(self) -> None:
        """Whole days, step by step, on each size; the load step against its floor; and the original's way."""
        self.run([*self.ours, "status"])
        url = self.database_url()
        found = []
        for events in self.options.sizes:
            file = self.file(events, "clean")
            rounds = 1 if events > 2_000_000 else self.options.day_rounds
            runs = [self.day(file) for _ in range(rounds)]
            floor = json.loads(
                self.run([self.options.python, cases.ROOT / "benchmarks" / "load_floor.py", url, cases.DAY, "3"]).out
            )
            steps = {step: statistics.median(one["timings"][step] for one in runs) for step in runs[0]["timings"]}
            found.append(
                {"events": events, "rounds": rounds, "steps": steps, "copy_floor": statistics.median(floor)}
                | {name: statistics.median(one[name] for one in runs) for name in ("wall", "cpu", "server_cpu", "peak")}
            )
            self.say(f"day of {events:,}: {found[-1]['wall']:.1f} s")
        self.results["days"] = found
        events = self.options.original_events
        if events:
            file = self.file(events, "clean")
            command = [self.options.python, cases.CONTENDERS / "original_day.py", url, file, cases.DAY]
            before = self.server_seconds()
            done = self.run(command)
            self.results["original_day"] = {
                "events": events,
                "wall": done.wall,
                "cpu": done.cpu,
                "server_cpu": self.server_seconds() - before,
                "peak": done.peak,
                **json.loads(done.out),
            }
            self.say(f"the original's day of {events:,}: {done.wall:.1f} s")
        self.run([*self.ours, "down"])

    def day(self, file: Path) -> dict[str, Any]:
        """One day through the whole gate."""
        before = self.server_seconds()
        done = self.run([*self.ours, "run", "--date", cases.DAY, "--file", file, "--force"])
        stories = sorted((self.data / "home" / "runs").glob("*/report.json"), key=lambda path: path.stat().st_mtime)
        timings = json.loads(stories[-1].read_text(encoding="utf-8"))["timings"]
        # The ledger is written while publishing, so what comes after is what is left of the whole.
        timings["start, publish, pages"] = done.wall - sum(timings.values())
        server = self.server_seconds() - before
        return {"wall": done.wall, "cpu": done.cpu, "server_cpu": server, "peak": done.peak, "timings": timings}

    def database_url(self) -> str:
        """Where the embedded server listens."""
        code = "import sys; from pathlib import Path; from pipeline import postgres; "
        code += "print(postgres.ensure_running(Path(sys.argv[1])))"
        return self.run([self.options.python, "-c", code, self.data / "home"]).out.strip()

    def server_seconds(self) -> float:
        """Processor seconds of the embedded server so far."""
        [pid_file] = (self.data / "home").glob("**/postmaster.pid")
        return processor_seconds(int(pid_file.read_text(encoding="utf-8").splitlines()[0]))

    def publishing(self) -> None:
        """What publishing a day costs beside few and many published days."""
        told = self.data / "publish_cost.json"
        self.run([self.options.python, cases.ROOT / "benchmarks" / "publish_cost.py", "--json", told])
        self.results["publishing"] = json.loads(told.read_text(encoding="utf-8"))
        self.say("publishing done")

    def spark(self, events: int, rounds: int) -> None:
        """Our check on Spark and a PySpark job written by hand, in turns."""
        from benchmarks import engines  # noqa: PLC0415  # it imports this module

        self.results["load"].append(round(os.getloadavg()[0], 1))
        self.results["spark"] = engines.compare_by_hand(self.data / "engines", events, rounds)
        self.say("Spark done")

    def memory(self, events: int) -> None:
        """One `check` of a file too big for anything else here, for its memory."""
        file = self.file(events, "clean")
        done = self.run(self.check_command(CHECKERS[0], file), 0, 1)
        entry = {"contender": cases.OURS, "events": events, "kind": "clean", "rounds": 1, "import": None}
        self.results["checks"].append(entry | summary([done]) | {"differs": {}})
        self.say(f"check of {events:,}: {done.wall:.1f} s, {done.peak:.0f} MB")
        file.unlink()


def answer_of(out: str) -> dict[str, int]:
    """Rule -> failing lines, of ours or of a contender's answer."""
    said = json.loads(out)
    if "rules" in said:
        return dict(said["rules"])
    return {f"{check['id']}/{rule['id']}": rule["failed_rows"] for check in said["checks"] for rule in check["rules"]}


def difference(ours: dict[str, int] | None, theirs: dict[str, int]) -> dict[str, Any]:
    """Where the counts differ, and how many rules were compared."""
    if ours is None:
        return {}
    rules = {rule: [ours.get(rule), count] for rule, count in theirs.items() if ours.get(rule) != count}
    return {"compared": len(theirs), "of": len(ours), "rules": rules}


def summary(runs: Sequence[Measured]) -> dict[str, float]:
    """Medians of some runs; the highest memory of all."""
    return {
        "rounds": len(runs),
        "wall": statistics.median(run.wall for run in runs),
        "cpu": statistics.median(run.cpu for run in runs),
        "peak": max(run.peak for run in runs),
        "largest": max(run.largest for run in runs),
    }


def medians(runs: Sequence[tuple[Measured, Measured]]) -> dict[str, Any]:
    """Medians of checks, with the imports that took place beside them."""
    return {**summary([check for check, _ in runs]), "import": summary([imported for _, imported in runs])}


def machine() -> dict[str, Any]:
    """What it ran on."""
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    memory = int(Path("/proc/meminfo").read_text().split()[1]) // 1024
    return {
        "processor": cpu.split(":")[1].strip(),
        "cores": os.cpu_count(),
        "memory_mb": memory,
        "system": platform.platform(),
        "python": sys.version.split()[0],
    }


def versions(python: Path) -> dict[str, str]:
    """Installed versions of what matters in an environment."""
    code = (
        "import json, sys; from importlib.metadata import version, PackageNotFoundError as Missing\n"
        "found = {}\n"
        "for name in sys.argv[1:]:\n"
        "    try: found[name] = version(name)\n"
        "    except Missing: pass\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([python, "-c", code, *LIBRARIES], check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout))


def _absolute(text: str) -> Path:
    """A path that holds in the folder that the contenders run in; a link stays one, as `bin/python` of a venv is."""
    return Path(text).absolute()


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--data", type=_absolute, default=cases.ROOT / ".bench", help="where files are made and kept")
    parser.add_argument("--python", type=_absolute, default=Path(sys.executable), help="an environment with daygate")
    parser.add_argument("--bench-python", type=_absolute, required=True, help="an environment with the contenders")
    parser.add_argument("--sizes", type=int, nargs="+", default=[100_000, 1_000_000, 5_000_000])
    parser.add_argument("--kinds", nargs="+", default=["dirty", "clean"], help="files to check; clean: one size only")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each contender up to a million events")
    parser.add_argument("--large-rounds", type=int, default=1, help="runs of each beyond")
    parser.add_argument("--slow-rounds", type=int, default=3, help="runs of the slow ones")
    parser.add_argument("--slow-up-to", type=int, default=1_000_000, help="most events the slow ones are given")
    parser.add_argument("--day-rounds", type=int, default=3)
    parser.add_argument("--original-events", type=int, default=1_000_000, help="0 leaves the original's day out")
    parser.add_argument("--spark-events", type=int, default=5_000_000)
    parser.add_argument("--spark-rounds", type=int, default=3)
    parser.add_argument("--memory", type=int, nargs="*", default=[20_000_000], help="sizes checked for memory only")
    parser.add_argument("--contenders", nargs="*", help="only these")
    parser.add_argument("--large-contenders", nargs="*", help="only these beyond --slow-up-to")
    parser.add_argument("--parts", nargs="+", default=list(PARTS))
    parser.add_argument("--results", type=_absolute, default=cases.ROOT / "benchmarks", help="where they are written")
    return parser.parse_args(words)


def main() -> None:
    """Run all parts and write what was found after each, so that an interrupted run leaves its figures."""
    asked = options()
    asked.data.mkdir(parents=True, exist_ok=True)
    bench = Bench(asked)
    bench.results["command"] = f"python -m benchmarks {' '.join(sys.argv[1:])}".replace(str(cases.ROOT), ".")
    parts = {
        "small": lambda: bench.single_commands(asked.rounds),
        "checks": lambda: all_checks(bench),
        "simulator": lambda: bench.simulator(min(3, asked.rounds)),
        "days": bench.days,
        "publishing": bench.publishing,
        "spark": lambda: bench.spark(asked.spark_events, asked.spark_rounds),
        "memory": lambda: [bench.memory(events) for events in asked.memory],
    }
    for name, part in parts.items():
        if name in asked.parts:
            part()
            report.write(bench.results, asked.results)
    plot = [asked.bench_python, cases.ROOT / "benchmarks" / "plot.py", asked.results]
    subprocess.run(plot, check=True)
    bench.say(f"written: {asked.results / 'RESULTS.md'}")


def all_checks(bench: Bench) -> None:
    """Dirty files of all sizes, a clean one of a middling size."""
    sizes = bench.options.sizes
    middle = 1_000_000 if 1_000_000 in sizes else max(sizes)
    for events in bench.options.sizes:
        rounds = bench.options.rounds if events <= bench.options.slow_up_to else bench.options.large_rounds
        if "dirty" in bench.options.kinds:
            bench.checks(events, "dirty", rounds)
        if "clean" in bench.options.kinds and events == middle:
            bench.checks(events, "clean", rounds)


if __name__ == "__main__":
    main()
