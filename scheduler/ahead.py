"""Great Expectations imported while worker processes parse: it takes seconds, and this process has nothing to do."""

from __future__ import annotations

import gc
import importlib
import logging
import signal
import sys
import threading
from typing import Final

from scheduler.postponed import postponed

log = logging.getLogger(__name__)

_GATE: Final = "gx.gate"


def import_gate() -> None:
    """Begin to import the gate in a thread; whoever imports it afterwards waits for that and hears of what failed.

    The thread is no daemon: to end a process in the middle of an import takes libraries apart.
    """
    if _GATE not in sys.modules:
        threading.Thread(target=_import, name="import").start()


def have_gate() -> None:
    """Import the gate, if that is not done yet.

    An eighth of the time would go into looking for garbage among what is imported, which stays to the end; a third
    into libraries that only its expectations about distributions use, which none of the seven checks is.
    """
    if _GATE in sys.modules:
        return
    collecting = gc.isenabled()
    gc.disable()
    try:
        with postponed("altair", "scipy.stats"):
            importlib.import_module(_GATE)
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


def _import() -> None:
    # Signals are for the main thread, which may hold them back; threads that libraries start inherit this.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        have_gate()
    except Exception as error:  # noqa: BLE001  # told by the import that needs it
        log.debug("importing the gate ahead failed: %s", type(error).__name__)
