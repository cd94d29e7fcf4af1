"""Simulated days through `daygate serve`, each with a fault of its own: `make soak DAYS=30`, `make kill-trials`.

Every day is landed, something happens while it is run, and the service has to come through by itself. A reader looks
every ten milliseconds. At the end every table must equal one where nothing happened, and every invariant must hold.
Which fault meets which day is decided by the seed alone; when exactly it strikes also by the machine.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path

import psycopg2

sys.path.insert(0, str(Path(__file__).parent))

from invariants import Poller, ask, assert_invariants, digest
from proxy import Proxy
from services import Served, runs_on, wait_for, worker_of
from staged_days import administer, discard
from warm import interpreter

from pipeline import contract, database, failpoints, postgres, simulate
from pipeline.settings import PREFIX
from pipeline.zone import ZONE

ROOT = Path(__file__).parent.parent
QUICK = Path(__file__).parent / "quick_daygate.py"
EVENTS = 300
BAD = {"line_truncated": 0.02, "total_mismatch": 0.3}
GOOD = {"browser_unknown": 0.003}
#: A run takes about that long.
RUN_SECONDS = 1.5
PATIENCE = 300.0


class House:
    """A service with everything it needs, and what may happen to it."""

    def __init__(self, home: Path, python: Path, url: str, proxy: Proxy, dice: random.Random) -> None:
        self.home = home
        self.data = home / "data"
        self.python = python
        self.url = url
        self.proxy = proxy
        self.dice = dice
        self.plans = home / "plans"
        self.plans.mkdir()
        self.kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        self.service: Served | None = None
        self.first = ""

    def variables(self, **own: str) -> dict[str, str]:
        """The surroundings of a process."""
        common = {"PYTHONPATH": str(ROOT), "DAYGATE_SOURCE": "landing", "DAYGATE_HOME": str(self.data)}
        return {**self.kept, **common, **own}

    def serve(self) -> None:
        """Start the service."""
        own = {
            "WARM_PLANS": str(self.plans),
            "DAYGATE_DATABASE_URL": self.proxy.url,
            "DAYGATE_START_DAY": self.first,
            "DAYGATE_RUN_AT": "00:00",
            "DAYGATE_CATCH_UP_DAYS": "3660",
            "DAYGATE_ATTEMPT_SECONDS": "0",
            "DAYGATE_ATTEMPTS_PER_DAY": "20",
            "DAYGATE_RETRY_SECONDS": "0.2",
            "DAYGATE_WEB_PORT": "0",
        }
        self.service = Served([self.python, QUICK, "serve"], self.variables(**own), self.home)

    def land(self, day: date, *, bad: bool) -> None:
        """A delivery of the day, complete as soon as it has its name."""
        file = self.data / "events" / f"events_{day:%Y%m%d}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        simulate.generate(
            day, contract=contract.load(), output=file, users=50, events=EVENTS, seed=7, faults=BAD if bad else GOOD
        )

    # -- what may happen while a day is run; each takes the day -----------------------------------

    def nothing(self, _: date) -> None:
        """An ordinary day."""

    def killed(self, day: date) -> None:
        """Kill -9 of the run at any moment."""
        self._plan(day, f"kill={self.dice.uniform(0, RUN_SECONDS):.3f}")

    def died_at_a_place(self, day: date) -> None:
        """Kill -9, or a crash, at a failpoint."""
        self._plan(day, f"failpoint={self.dice.choice(failpoints.RUN)}{self.dice.choice(['', ':crash'])}")

    def connections_ended(self, _: date) -> None:
        """pg_terminate_backend of everything of ours, three times."""
        for _time in range(3):
            self._later()
            ask(
                self.url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'daygate-%%'"
                " AND datname = current_database() AND pid <> pg_backend_pid() AND %s",
                True,
            )

    def connections_cut(self, _: date) -> None:
        """The network hangs up on everybody, twice."""
        for _time in range(2):
            self._later()
            self.proxy.cut()

    def database_crashed(self, _: date) -> None:
        """An immediate shutdown, and a start some time later."""
        self._later()
        folder = postgres.status(self.home).folder
        os.kill(int((folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]), signal.SIGQUIT)
        self._later()
        postgres.ensure_running(self.home)

    def service_killed(self, _: date) -> None:
        """Kill -9 of the service, sometimes with its run."""
        self._later()
        if self.dice.random() < 0.5:
            for run in runs_on(self.data):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(run), signal.SIGKILL)
        self.service.end(signal.SIGKILL)
        self.serve()

    def service_stopped(self, _: date) -> None:
        """SIGTERM, and a start."""
        self._later()
        assert self.service.end() == 0
        self.serve()

    def run_frozen(self, _: date) -> None:
        """The run stands still for a second."""
        self._later()
        for run in runs_on(self.data)[:1]:
            worker = worker_of(run)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGSTOP)
                threading.Event().wait(1)
                os.kill(worker, signal.SIGCONT)

    def _plan(self, day: date, line: str) -> None:
        (self.plans / str(day)).write_text(line + "\n", encoding="utf-8")

    def _later(self) -> None:
        threading.Event().wait(self.dice.uniform(0, RUN_SECONDS))


BEFORE = ("killed", "died_at_a_place")
FAULTS = (
    *BEFORE,
    *("nothing", "connections_ended", "connections_cut", "database_crashed", "service_killed", "service_stopped"),
    "run_frozen",
)


def say(text: str) -> None:
    """On standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def soak(days: int, seed: int, faults=FAULTS) -> Counter:
    """Run so many days; how often what happened. Raises AssertionError at a violation."""
    dice = random.Random(seed)
    happened: Counter = Counter()
    home = Path(tempfile.mkdtemp(prefix="soak-", dir="/tmp"))
    home.chmod(0o755)
    try:
        url = postgres.ensure_running(home)
        database.upgrade(url)
        with interpreter() as python, Proxy(url) as proxy:
            house = House(home, python, url, proxy, dice)
            yesterday = datetime.now(ZONE).date() - timedelta(days=1)
            every = [yesterday - timedelta(days=n) for n in reversed(range(days))]
            house.first = str(every[0])
            house.serve()
            try:
                with Poller(url) as poller:
                    for number, day in enumerate(every, 1):
                        fault = dice.choice(faults)
                        happened[fault] += 1
                        _one_day(house, day, fault, bad=dice.random() < 1 / 6)
                        say(f"{number}/{days} {day} {fault}")
                    wait_for(lambda: _holds(url, house.data), PATIENCE)
                assert house.service.end() == 0
                say(f"{poller.looks} looks, {len(poller.states)} states, {poller.unanswered} times nobody answered")
            finally:
                house.service.process.kill()
                house.service.process.wait()
            assert_invariants(url, house.data)
            assert digest(url) == digest(_undisturbed(house, every))
    finally:
        discard(home)
        shutil.rmtree(home)
    return happened


def _one_day(house: House, day: date, fault: str, *, bad: bool) -> None:
    strike = getattr(house, fault)
    if fault in BEFORE:
        strike(day)
    house.land(day, bad=bad)
    if fault not in BEFORE:
        wait_for(lambda: _asked(house.url, "SELECT count(*) FROM pipeline_run_log WHERE day = %s", day) != 0, PATIENCE)
        strike(day)
    decided = "SELECT count(*) FROM pipeline_run_log WHERE day = %s AND status IN ('published', 'blocked')"
    wait_for(lambda: _asked(house.url, decided, day), PATIENCE)


def _asked(url: str, question: str, day: date) -> int:
    try:
        return ask(url, question, day)[0][0]
    except psycopg2.OperationalError:
        return 0


def _holds(url: str, home: Path) -> bool:
    try:
        assert_invariants(url, home, serving=True)
    except AssertionError:
        return False
    return not runs_on(home)


def _undisturbed(house: House, days: list[date]) -> str:
    """URL of a database in which the same days were run in peace."""
    administer(house.url, "CREATE DATABASE undisturbed")
    url = house.url.replace("/daygate?", "/undisturbed?")
    data = house.home / "undisturbed"
    shutil.copytree(house.data / "events", data / "events")
    words = ["-m", "scheduler", "backfill", "--start", str(days[0]), "--end", str(days[-1])]
    own = house.variables(DAYGATE_HOME=str(data), DAYGATE_DATABASE_URL=url)
    done = subprocess.run([house.python, *words], env=own, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return url


def main() -> int:
    """The command line; exit code 1 after a violation."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", action="store_true", help="nothing but kill -9 of a run at any moment")
    asked = parser.parse_args()
    began = time.monotonic()
    happened = soak(asked.days, asked.seed, ("killed",) if asked.kills else FAULTS)
    told = ", ".join(f"{count} {name}" for name, count in sorted(happened.items()))
    say(f"{asked.days} days (seed {asked.seed}): {told}; no violation; {time.monotonic() - began:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
