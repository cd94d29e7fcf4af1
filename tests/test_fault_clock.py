"""Clocks that jump, stand still, or live elsewhere: every day is run once, when it is due in Seoul."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from services import needs, wait_for

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
LIGHT_SERVICE = Path(__file__).parent / "light_service.py"
#: 02:00 in Seoul on 16 January: the 15th is due.
TWO = datetime(2026, 1, 15, 17, tzinfo=UTC)
DAY = date(2026, 1, 15)


class Clock:
    """What a process takes for the time: the true one and so many seconds more or less."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def set(self, moment: datetime) -> None:
        """Jump there; from there on it goes as clocks do."""
        ahead = (moment - datetime.now(UTC)).total_seconds()
        new = self.file.with_suffix(".new")
        new.write_text(f"{ahead:+.3f}\n", encoding="utf-8")
        new.replace(self.file)


@pytest.fixture
def clock(tmp_path):
    """A clock of one's own, ten seconds before two."""
    needs(LIBRARY, "libfaketime (Debian's package faketime)")
    clock = Clock(tmp_path / "clock")
    clock.set(TWO - timedelta(seconds=10))
    return clock


@pytest.fixture
def service(started, variables, clock, database_url, query):
    """Starts a light service by that clock, and waits until it leads."""

    def start(**changes):
        own = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DAYGATE_RUN_AT": "02:00",
            "DAYGATE_START_DAY": str(DAY),
            **changes,
        }
        served = started([sys.executable, LIGHT_SERVICE, database_url], {**variables, **own})
        wait_for(lambda: served.events("leader.won"))
        return served

    return start


@pytest.fixture
def has_run(query):
    """Waits until these days have run, and says whether it was these alone and each once."""

    def has_run(*days):
        every = "SELECT day FROM pipeline_run_log ORDER BY fence"
        wait_for(lambda: len(query(every)) >= len(days))
        return query(every) == [(day,) for day in days]

    return has_run


def day(number: int) -> date:
    """So many days after the first."""
    return DAY + timedelta(days=number)


def test_fault_41_a_clock_that_jumps_a_day_ahead_runs_what_became_due_once_each(service, clock, has_run, query):
    """Nothing before its time, no flood, and nothing again when the clock comes back."""
    served = service()
    early = query("SELECT count(*) FROM pipeline_run_log")
    clock.set(TWO + timedelta(days=1))
    jumped = has_run(day(0), day(1))
    clock.set(TWO + timedelta(hours=1))
    wait_for(lambda: served.events("clock.moved"))
    clock.set(TWO + timedelta(days=2))

    assert (early, jumped) == ([(0,)], True)
    assert has_run(day(0), day(1), day(2))
    assert served.end() == 0


def test_fault_42_a_clock_that_is_put_back_neither_repeats_a_day_nor_sleeps_through_the_next(service, clock, has_run):
    """Six hours back: the service goes on looking, by the time that passes."""
    served = service()
    clock.set(TWO + timedelta(seconds=1))
    first = has_run(day(0))
    clock.set(TWO - timedelta(hours=6))
    wait_for(lambda: served.events("clock.moved"))
    clock.set(TWO + timedelta(days=1))

    assert first
    assert has_run(day(0), day(1))
    assert served.end() == 0


def test_fault_43_a_machine_that_sleeps_through_two_in_the_morning_runs_the_day_on_waking(service, clock, has_run):
    """Within a look, whatever the alarm missed."""
    served = service()
    os.kill(served.process.pid, signal.SIGSTOP)
    clock.set(TWO + timedelta(hours=3))
    os.kill(served.process.pid, signal.SIGCONT)

    assert has_run(day(0))
    assert served.end() == 0


_DUE = (
    "import sys\n"
    "from datetime import datetime, time\n"
    "from pipeline import due\n"
    "for text in sys.argv[1:]:\n"
    "    print(due.last_day(datetime.fromisoformat(text), time(2)))\n"
)


@pytest.mark.parametrize("zone", ["", "UTC", "America/New_York", "Nonsense/Nowhere"])
def test_fault_45_where_the_machine_thinks_it_is_does_not_matter(zone):
    """Two in the morning of Seoul is two in the morning of Seoul, at the change to summer time elsewhere too."""
    kept = {name: value for name, value in os.environ.items() if name != "TZ"}
    moments = ["2026-03-08T16:59:59+00:00", "2026-03-08T17:00:00+00:00", "2026-11-01T01:30:00-04:00"]
    done = subprocess.run(
        [sys.executable, "-c", _DUE, *moments],
        env={**kept, "PYTHONPATH": str(LIGHT_SERVICE.parent.parent), **({"TZ": zone} if zone else {})},
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.split() == ["2026-03-07", "2026-03-08", "2026-10-31"]
