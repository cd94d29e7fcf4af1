"""The fault × check matrix: what the real gate says of every named fault, as a table for people.

`make fault-matrix` measures it and writes it between the markers of every file in `FILES` that has them;
`tests/test_fault_matrix.py` keeps those files true.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from expectations_custom import checks
from gx import gate
from pipeline import contract as contracts
from pipeline import simulate
from pipeline.delivery import take
from pipeline.records import CheckReport, Verdict
from pipeline.settings import Settings
from pipeline.simulate import Fault
from pipeline.stage import Workers, stage

ROOT = Path(__file__).parent.parent
FILES = (ROOT / "README.md", ROOT / "README.ko.md", ROOT / "docs" / "fault-matrix.md")
BEGIN, END = "<!-- fault-matrix:begin -->", "<!-- fault-matrix:end -->"
DAY = date(2026, 1, 15)
EVENTS = 4000  # enough orders for five lines of every fault, the fewest a rule floor looks at
SHOWN = {Verdict.PASS: "·", Verdict.FAIL: "**FAIL**", Verdict.INCONCLUSIVE: "**?**"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One fault planted in a simulated day at its default rate, and what the gate said of that day."""

    fault: Fault
    #: The damaged delivery; gone with the folder it was made in.
    delivery: Path
    #: Lines the simulator damaged.
    planted: int
    report: CheckReport
    #: (check, rule) -> failing lines, as far as there are any.
    failing: dict[tuple[str, str], frozenset[int]]

    @property
    def lines(self) -> dict[str, set[int]]:
        """Failing lines of each check that has any."""
        found: dict[str, set[int]] = {}
        for (check, _), lines in self.failing.items():
            found.setdefault(check, set()).update(lines)
        return found

    @property
    def failed(self) -> set[str]:
        """Checks that failed."""
        return {check.id for check in self.report.checks if check.verdict is not Verdict.PASS}

    @property
    def exact(self) -> bool:
        """Whether the check meant for it failed, over as many lines as were planted, and no other found a line."""
        found = {check: len(lines) for check, lines in self.lines.items()}
        return self.failed == {self.fault.caught_by} and found == {self.fault.caught_by: self.planted}


def measure(fault: Fault, folder: Path) -> Row:
    """Plant the fault, stage the delivery and judge it, with default settings, as a run does."""
    contract = contracts.load()
    made = simulate.generate(
        DAY, contract=contract, output=folder / "events.jsonl", users=500, seed=7, events=EVENTS,
        faults={fault.name: fault.rate},
    )  # fmt: skip
    with take(made.path, folder=None) as delivery:
        staged = stage(delivery, day=DAY, contract=contract, folder=folder / "staged", workers=Workers(1))
    report = gate.check(staged, settings=Settings(), contract=contract, folder=folder).report
    rows = pl.read_parquet(report.failing).group_by("check", "rule").agg("line_no").rows()
    return Row(
        fault=fault,
        delivery=made.path,
        planted=made.planted[fault.name],
        report=report,
        failing={(check, rule): frozenset(lines) for check, rule, lines in rows},
    )


def markdown(rows: Iterable[Row]) -> str:
    """The table, with a sentence above that counts."""
    rows = list(rows)
    ids = [check.id for check in checks.CHECKS]
    exact = sum(row.exact for row in rows)
    summary = (
        f"Each fault was planted in a simulated day of {EVENTS:,} events at its default rate. "
        f"{exact} of {len(rows)} are caught by exactly the check meant for them: "
        "every planted line fails there, and no line fails another check."
    )
    lines = [
        summary,
        "",
        "| `daygate generate --fault` | what it plants | " + " | ".join(c.title for c in checks.CHECKS) + " | rule |",
        "|---|---|" + ":-:|" * len(ids) + "---|",
    ]
    for row in rows:
        verdicts = {check.id: SHOWN[check.verdict] for check in row.report.checks}
        spoke = ", ".join(f"`{rule}`" for _, rule in sorted(row.failing))
        cells = [f"`{row.fault.name}`", row.fault.describes, *(verdicts[check] for check in ids), spoke]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def block(text: str) -> str | None:
    """What stands between the markers; None when the text has none."""
    _, begin, rest = text.partition(BEGIN)
    inside, end, _ = rest.partition(END)
    return inside.strip("\n") if begin and end else None


def replaced(text: str, table: str) -> str:
    """The text with the table between its markers."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def marked(files: Iterable[Path]) -> list[Path]:
    """Those that are there and have the markers."""
    return [file for file in files if file.is_file() and block(file.read_text(encoding="utf-8")) is not None]


def main(arguments: list[str] | None = None) -> int:
    """Print the matrix, or write it into files; 1 when a fault is not caught as it should be."""
    parser = argparse.ArgumentParser(description="Measure which check catches which fault.")
    parser.add_argument(
        "--write", nargs="*", type=Path, metavar="FILE",
        help="write between the markers of these files (default: the project's own) instead of printing",
    )  # fmt: skip
    wanted: list[Path] | None = parser.parse_args(arguments).write
    targets = marked(wanted or FILES)
    if missing := set(wanted or ()) - set(targets):
        parser.error(f"no lines {BEGIN} and {END} in {', '.join(sorted(map(str, missing)))}")
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for fault in simulate.FAULTS.values():
            place = Path(folder) / fault.name
            place.mkdir()
            rows.append(measure(fault, place))
        table = markdown(rows)
    if wanted is None:
        sys.stdout.write(table + "\n")
    else:
        for file in targets:
            file.write_text(replaced(file.read_text(encoding="utf-8"), table), encoding="utf-8")
            sys.stdout.write(f"{file}: {len(rows)} faults\n")
    return 0 if all(row.exact for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
