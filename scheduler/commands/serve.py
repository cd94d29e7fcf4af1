"""`daygate serve`: the service that never forgets a day."""

from __future__ import annotations

import os
import signal

from pipeline import settings
from scheduler.screen import configure_events


def serve() -> int:
    """Serve until told to stop."""
    # Importing takes seconds, in which process 1 would not even hear of a signal it does not handle. Nothing was begun
    # yet; and an exception raised within one of the import system's own callbacks would be swallowed.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    chosen = settings.load()
    configure_events(chosen)
    from scheduler.service import Service

    return Service(chosen).run()
