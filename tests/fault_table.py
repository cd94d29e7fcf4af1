"""docs/faults.md: every fault of the list, what must come of it, and the test that injects it.

`python tests/fault_table.py --write` writes it; a test compares it with what stands there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "faults.md"

#: Number -> (fault, outcome).
FAULTS = {
    12: ("The connection is cut while COMMIT is under way", "The ledger tells what arrived; nothing is loaded twice"),
    16: ("PostgreSQL ends the connection of a load or a publish", "The step is repeated whole; equal tables"),
    17: ("PostgreSQL ends the leader's connection", "Another service leads; a fence keeps out what the first began"),
    18: ("PostgreSQL crashes under a run", "It is started again, the step is repeated, the day is published"),
    19: ("PostgreSQL restarts between two days", "The service joins again with its next look"),
    20: ("PostgreSQL is away at 02:00", "The first look that finds it runs the day, once"),
    21: ("PostgreSQL is away when the service starts", "It waits, says so, and stops when told; no crash loop"),
    22: ("No connection is free", "A passing trouble in plain words; over when somebody leaves"),
    23: ("Somebody keeps a table locked", "The wait ends, the step is tried again; never for ever"),
    24: ("A deadlock with somebody else", "The whole transaction is tried again"),
    25: ("Packets of a connection vanish", "Given up within 20 seconds, then a passing trouble like any other"),
    26: ("A slow and thin line to the database", "The day gets through; its lease is renewed beside it"),
    27: ("The disk under a run is full", "A clear error and an alert, nothing visible; well again with room"),
    28: ("The disk under the site is full", "Published with a warning, no half page; pages are finished later"),
    29: ("The disk under PostgreSQL is full", "A passing trouble; with room the same load goes through"),
    32: ("Slack says 429 with Retry-After", "It is waited for; nothing else waits"),
    33: ("Slack fails over and over, then works", "Tried again with growing waits, delivered once"),
    34: ("Slack accepts and answers nothing, or a byte at a time", "Given up in time and tried again"),
    37: ("Several services start together", "One leads; every day is run once"),
    38: ("A day is run by hand while the service would", "The service leaves it alone; who comes second exits with 5"),
    39: ("A run stands still past its lease and wakes", "Its publish is refused; the other's tables stay"),
    40: ("Two runs by hand with different files", "One after the other; both are in the history"),
    41: ("The clock jumps a day ahead", "What became due is run, once each; nothing twice when it comes back"),
    42: ("The clock is put back six hours", "No day is repeated, and the next one is not slept through"),
    43: ("The machine sleeps through 02:00", "The day is run on waking"),
    44: ("The service was down for five days", "All five, oldest first, once each; beyond a cap an alert"),
    45: ("The machine's zone is another, or none", "02:00 and the day are Seoul's"),
    46: ("Leap days and the turn of the year", "The right day"),
    47: ("The same delivery twice", "Nothing changes, not even the ledger"),
    48: ("A corrected delivery under the same name", "A new attempt; the same bytes again are none"),
    49: ("A delivery changes while it is read", "Refused; nothing was decided on half of it"),
    52: ("The database is of another version", "Refused, with both versions"),
    53: ("SIGTERM in any step", "The run ends in order, its row says interrupted, the next service ends the day"),
    54: ("A second SIGTERM", "Everything ends at once; the ledger finds out by itself"),
    55: ("The terminal goes away (SIGHUP, closed stderr)", "The service goes on"),
    57: ("A run needs more memory than it may have", "The run fails and is told; the service lives"),
    58: ("A run hangs, or a library crashes", "Ended at its deadline or recorded with its signal; alert; days go on"),
    61: ("The site is gone, or something stands in its place", "The day stands; the site is made again"),
    62: ("No file can be opened any more", "An error with its exit code, nothing visible; and none is left open"),
}


def tests() -> dict[str, str]:
    """Test -> the file it stands in."""
    found = {}
    for file in sorted((ROOT / "tests").glob("test_*.py")):
        for name in re.findall(r"^def (test_\w+)\(", file.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = file.name
    return found


def named() -> dict[int, list[str]]:
    """Number of a fault -> the tests that inject it."""
    known = tests()
    found: dict[int, list[str]] = {number: [] for number in FAULTS}
    for name in known:
        match = re.match(r"test_fault_([0-9]+)_", name)
        if match:
            found.setdefault(int(match[1]), []).append(name)
    return found


def table() -> str:
    """The document."""
    places, by_number = tests(), named()
    rows = []
    for number, (fault, outcome) in FAULTS.items():
        told = "<br>".join(f"`{name}` ({places[name]})" for name in by_number[number])
        rows.append(f"| {number} | {fault} | {outcome} | {told} |")
    return _HEAD + "\n".join(rows) + "\n"


_HEAD = """# What may break, and what comes of it

Written by `make fault-table`; a test compares it. The numbers are those of our list of faults; the ones that are
missing are about a process that dies at a place of its own, and one test walks through all of these places
(`tests/test_failpoints.py`): each run dies there once under `daygate serve`, and afterwards every table equals that
of a database where nothing happened. While the faults are injected a reader looks at all tables every ten
milliseconds and must never see a part of a day. `make soak DAYS=30` simulates as many days with a fault each,
`make kill-trials` kills 200 runs at any moment.

What must hold after every fault (`tests/invariants.py`): equal tables; no part of a day visible; one current run a
day, and only of a day that passed or was released; an alert for what failed; nothing left behind, in the database or
on disk; every line loaded or in quarantine with its bytes; the pages reachable.

| # | Fault | Outcome | Test |
|---|---|---|---|
"""


if __name__ == "__main__":
    if "--write" in sys.argv:
        FILE.write_text(table(), encoding="utf-8")
    else:
        sys.stdout.write(table())
