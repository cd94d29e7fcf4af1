"""`daygate` whose service looks at its ledger every second instead of every minute."""

from __future__ import annotations

from scheduler import service
from scheduler.boundary import main

service.TICK_SECONDS = service.BEAT_SECONDS = 1

if __name__ == "__main__":
    main()
