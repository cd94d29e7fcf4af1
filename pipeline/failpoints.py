"""Named places between steps where a test may let the process die.

A no-op unless the environment names the place: `DAYGATE_FAILPOINT=load.done` kills the process there
with SIGKILL, as a power cut or the out-of-memory killer would.
"""

from __future__ import annotations

import os
import signal
from typing import Final

VARIABLE: Final = "DAYGATE_FAILPOINT"
#: Every place there is, in the order a day passes them.
ALL: Final = (
    "deliver.done",
    "claim.done",
    "stage.done",
    "check.done",
    "load.done",
    "marts.done",
    "publish.attached",
    "publish.commit",
    "publish.done",
    "block.commit",
    "block.done",
)


def failpoint(name: str) -> None:
    """Die here if the environment says so.

    Raises:
        ValueError: a name that `ALL` does not list.
    """
    if name not in ALL:
        raise ValueError(f"{name} is no failpoint")
    if os.environ.get(VARIABLE) == name:
        os.kill(os.getpid(), signal.SIGKILL)
