"""Great Expectations imported while worker processes parse: it takes seconds, and this process has nothing to do."""

from __future__ import annotations

import gc
import importlib
import logging
import signal
import sys
import threading
from typing import Final

from scheduler.postponed import absent, postponed

log = logging.getLogger(__name__)

_GATE: Final = "gx.gate"


def import_gate(*, spark: bool) -> None:
    """Begin to import the gate in a thread; whoever imports it afterwards waits for that and hears of what failed.

    The thread is no daemon: to end a process in the middle of an import takes libraries apart.

    Args:
        spark: as for `have_gate`.
    """
    if _GATE not in sys.modules:
        threading.Thread(target=_import, args=(spark,), name="import").start()


def have_gate(*, spark: bool) -> None:
    """Import the gate, if that is not done yet.

    An eighth of the time would go into looking for garbage among what is imported, which stays to the end; a third
    into libraries that only its expectations about distributions use, which none of the seven checks is; a fifth
    into those for databases, which it never reads, and for Spark.

    Args:
        spark: whether this process may judge with Spark; a gate that was imported without refuses to.
    """
    if _GATE in sys.modules:
        return
    left_out = ("sqlalchemy",) if spark else ("sqlalchemy", "pyspark")
    collecting = gc.isenabled()
    gc.disable()
    try:
        with postponed("altair", "scipy.stats"), absent(*left_out):
            importlib.import_module(_GATE)
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


def _import(spark: bool) -> None:
    # Signals are for the main thread, which may hold them back; threads that libraries start inherit this.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    usual = sys.getswitchinterval()
    # Who reads, hashes and writes meanwhile needs Python for a moment only, between one large piece and the next.
    sys.setswitchinterval(usual / 10)
    try:
        have_gate(spark=spark)
    except Exception as error:  # noqa: BLE001  # told by the import that needs it
        log.debug("importing the gate ahead failed: %s", type(error).__name__)
    finally:
        sys.setswitchinterval(usual)
