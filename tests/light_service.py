"""`daygate serve` with runs that are over in no time and the clock of this machine, which a test may lie about."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from house import LIGHT_CHILD

from pipeline import settings
from pipeline.zone import ZONE
from scheduler import service
from scheduler.screen import configure_events

service.TICK_SECONDS = service.BEAT_SECONDS = 1


def main(url: str) -> int:
    """Serve until told to stop."""
    chosen = settings.load()
    configure_events(chosen)
    serving = service.Service(chosen)
    serving.reconciler.clock = lambda: datetime.now(ZONE)
    serving.reconciler.command = lambda day, *, trigger, file: [
        *(sys.executable, str(LIGHT_CHILD), "published", url, str(chosen.runs_folder), str(day), trigger, str(file))
    ]
    return serving.run()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    sys.exit(main(sys.argv[1]))
