"""Repeating a step of the day that met a passing trouble: the database away, a deadlock, a lock held too long.

Only `TransientError` is repeated, and only steps that may be: each either commits nothing until its end or
finds in the ledger what it already did.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final, TypeVar

import tenacity

from pipeline.errors import TransientError
from pipeline.records import Failure

log = logging.getLogger(__name__)

T = TypeVar("T")
#: Tries of a step before the attempt at the day is given up; steps that are not named have three.
TRIES: Final = {"load": 5, "publish": 5, "block": 5, "marts": 3}
_USUAL_TRIES: Final = 3
#: Longest wait between two tries, in seconds.
_LONGEST_WAIT: Final = 60.0


def repeated(step: str, work: Callable[[], T], *, first_wait: float) -> T:
    """What `work` returns, tried again while it raises a TransientError.

    Args:
        step: name of the step; decides how often it is tried.
        work: may be called several times.
        first_wait: seconds before the second try; doubled each time, up to as much again added at random so
            that several instances do not come back at once.

    Raises:
        TransientError: that of the last try. Any other error is raised at once.
    """
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_attempt(TRIES.get(step, _USUAL_TRIES)),
        wait=tenacity.wait_exponential(multiplier=first_wait, max=_LONGEST_WAIT) + tenacity.wait_random(0, first_wait),
        before_sleep=lambda state: _tell(step, state),
        reraise=True,
    )
    return retrying(work)


def patiently(work: Callable[[], T], *, seconds: float) -> T:
    """What `work` returns, tried every few seconds for so long as it raises a TransientError, which is raised then."""
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TransientError),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_exponential(multiplier=0.5, max=5),
        reraise=True,
    )
    return retrying(work)


def failure_of(error: BaseException) -> Failure:
    """Whether what an error tells of may pass by itself; looks through the errors that wrap one another."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TransientError):
            return "transient"
        cause = cause.__cause__
    return "permanent"


def _tell(step: str, state: tenacity.RetryCallState) -> None:
    wait = state.next_action.sleep if state.next_action is not None else 0.0
    error = state.outcome.exception() if state.outcome is not None else None
    log.warning("Step %s, try %s: %s Again in %.1f s.", step, state.attempt_number, error, wait)
