"""`daygate` whose service looks at its ledger every second and does not wait long at its end."""

from __future__ import annotations

from scheduler import service
from scheduler.boundary import main

service.TICK_SECONDS = service.BEAT_SECONDS = 1
service._LAST_SECONDS = 3.0

if __name__ == "__main__":
    main()
