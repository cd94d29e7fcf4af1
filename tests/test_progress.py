"""Steps as they go on: timed always, drawn on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console
from rich.progress import Progress as Bars

from pipeline.progress import Silent
from scheduler import screen


def test_progress_sums_a_step_that_ran_twice_and_counts_one_that_failed():
    """Timings are of everything that was begun."""
    progress = Silent()
    with progress.step("stage"):
        progress.advance(1, 2)
    with pytest.raises(ValueError, match="x"), progress.step("check"):
        raise ValueError("x")

    assert list(progress.timings) == ["stage", "check"]
    assert all(seconds >= 0 for seconds in progress.timings.values())


def test_progress_draws_on_a_terminal_and_leaves_nothing_behind():
    """Steps may nest; names are not markup."""
    bars = Bars(console=Console(file=io.StringIO()), transient=True)
    drawn = screen.Drawn(bars)
    with drawn.step("outer [red]"), drawn.step("inner"):
        drawn.advance(1, 2)
        assert [task.completed for task in bars.tasks] == [0, 1]

    drawn.advance(1, 2)
    assert bars.tasks == []


def test_a_note_is_printed_beside_what_is_drawn():
    """One line that stays, taken literally, longer than the screen or not."""
    screen_of_20 = io.StringIO()
    drawn = screen.Drawn(Bars(console=Console(file=screen_of_20, width=20), transient=True))
    with drawn.step("stage"):
        drawn.note("Spark shows [red]\x1b at http://127.0.0.1:4040")

    assert screen_of_20.getvalue() == "Spark shows [red]\\x1b at http://127.0.0.1:4040\n"
