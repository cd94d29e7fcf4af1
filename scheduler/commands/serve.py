"""`daygate serve`: the service that never forgets a day."""

from __future__ import annotations

import signal
import sys

from pipeline import settings
from scheduler.screen import configure_events


def serve() -> int:
    """Serve until told to stop."""
    # Importing takes seconds, in which process 1 would not even hear of a signal it does not handle.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    chosen = settings.load()
    configure_events(chosen)
    from scheduler.service import Service

    return Service(chosen).run()
