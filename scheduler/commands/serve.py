"""`daygate serve`: the service that never forgets a day."""

from __future__ import annotations

from pipeline import settings
from scheduler.screen import configure_events


def serve() -> int:
    """Serve until told to stop."""
    chosen = settings.load()
    configure_events(chosen)
    from scheduler.service import Service

    return Service(chosen).run()
