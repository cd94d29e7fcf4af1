"""Processes whose parent died before them fall to process 1; there, that may be us, and nobody else buries them."""

from __future__ import annotations

import os
from collections.abc import Set as AbstractSet

_INIT = 1


def reap(*, keep: AbstractSet[int], process_id: int | None = None) -> int:
    """Bury every ended child that nobody waits for, when this is process 1.

    Args:
        keep: children that somebody waits for.
        process_id: of this process.

    Returns:
        How many were buried.
    """
    if (os.getpid() if process_id is None else process_id) != _INIT:
        return 0
    buried = 0
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return buried
        # One that is kept hides those behind it until its own parent has waited for it, which is soon.
        if ended is None or ended.si_pid in keep:
            return buried
        os.waitpid(ended.si_pid, os.WNOHANG)
        buried += 1
