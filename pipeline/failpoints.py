"""Named places between steps where a test may let something happen to the process.

A no-op unless the environment names the place: `DAYGATE_FAILPOINT=load.done` kills the process there with SIGKILL,
as a power cut or the out-of-memory killer would. `load.done:hang` waits there for ever, until a signal ends it;
`load.done:stop` stops there as SIGSTOP does, until SIGCONT; `load.done:crash` ends as a fault in a library would.
"""

from __future__ import annotations

import os
import resource
import signal
import threading
from typing import Final

VARIABLE: Final = "DAYGATE_FAILPOINT"
#: Passed by the process that runs a day, in this order; a day is either published or blocked.
RUN: Final = (
    "deliver.copied",
    "deliver.done",
    "claim.done",
    "stage.part",
    "stage.done",
    "check.answered",
    "check.done",
    "load.copied",
    "load.done",
    "marts.built",
    "marts.done",
    "publish.attached",
    "publish.commit",
    "publish.done",
    "block.commit",
    "block.done",
    "report.done",
    "pages.copied",
    "pages.done",
)
#: Passed by the service around a run: before its process starts, after it ended, after its row was closed, and
#: between keeping an alert about lateness and sending it.
SERVICE: Final = ("run.due", "run.ended", "run.closed", "late.kept")
#: Passed by whichever process sends an alert: before, and between Slack's answer and writing it down.
SENDER: Final = ("alert.before", "alert.sent")
#: Every place there is.
ALL: Final = RUN + SERVICE + SENDER


def failpoint(name: str) -> None:
    """Suffer here what the environment says, if anything.

    Raises:
        ValueError: a name that `ALL` does not list.
    """
    if name not in ALL:
        raise ValueError(f"{name} is no failpoint")
    place, _, what = os.environ.get(VARIABLE, "").partition(":")
    if place == name:
        _suffer(what)


def _suffer(what: str) -> None:
    if what == "hang":
        threading.Event().wait()
    elif what == "crash":
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.kill(os.getpid(), signal.SIGSEGV)
    else:
        os.kill(os.getpid(), signal.SIGSTOP if what == "stop" else signal.SIGKILL)
