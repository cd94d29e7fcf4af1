"""A step that met a passing trouble is tried again; nothing else is."""

from __future__ import annotations

import pytest

from pipeline import retry
from pipeline.errors import DatabaseError, StepFailed, TransientError


class Flaky:
    """Fails so many times, then answers."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.calls = 0
        self.error = error

    def __call__(self) -> str:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.mark.parametrize(("step", "tries"), [("load", 5), ("marts", 3), ("stage", 3), ("check", 3), ("publish", 5)])
def test_a_step_has_its_number_of_tries(step, tries):
    """The last try may succeed; one failure more is raised as it came."""
    enough, too_many = Flaky(tries - 1, TransientError("away")), Flaky(tries, TransientError("away"))

    assert retry.repeated(step, enough, first_wait=0) == "done"
    with pytest.raises(TransientError, match="away"):
        retry.repeated(step, too_many, first_wait=0)
    assert (enough.calls, too_many.calls) == (tries, tries)


@pytest.mark.parametrize("error", [DatabaseError("no"), StepFailed("no", step="load"), ValueError("no")])
def test_what_repeating_cannot_cure_is_raised_at_once(error):
    """A constraint, a full disk and a bug are not tried again."""
    work = Flaky(1, error)

    with pytest.raises(type(error)):
        retry.repeated("load", work, first_wait=0)
    assert work.calls == 1


def test_each_try_is_told(caplog):
    """The log says which step and which try."""
    retry.repeated("load", Flaky(2, TransientError("PostgreSQL is away.")), first_wait=0)

    assert [record.getMessage()[:18] for record in caplog.records] == ["Step load, try 1: ", "Step load, try 2: "]


def test_a_passing_trouble_is_known_through_what_wraps_it():
    """The ledger tells a passing failure from a lasting one."""
    passing = StepFailed("load", step="load")
    passing.__cause__ = TransientError("away")

    assert retry.failure_of(passing) == "transient"
    assert retry.failure_of(StepFailed("no", step="load")) == "permanent"
