"""Services in this process whose runs are over in no time, and the moments at which they are asked."""

from __future__ import annotations

import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path

from pipeline.zone import ZONE
from scheduler.reconcile import Reconciler

DAY = date(2026, 1, 15)
LIGHT_CHILD = Path(__file__).parent / "light_child.py"


def moment(day: date = DAY, at: str = "02:00", after: int = 1) -> datetime:
    """So many days after a day, at a time in Seoul."""
    return datetime.combine(day + timedelta(days=after), time.fromisoformat(at), ZONE)


class House:
    """Services over one database, whose children end as they are told."""

    def __init__(self, settings, database_url) -> None:
        self.settings = settings
        self.url = database_url
        self.how = "published"
        self.now = moment()
        self.started: list[tuple[date, str, Path | None]] = []

    def service(self, **changes) -> Reconciler:
        self.settings = self.settings.model_copy(update=changes)
        return Reconciler(settings=self.settings, clock=lambda: self.now, command=self.command)

    def command(self, day, *, trigger, file):
        self.started.append((day, trigger, file))
        words = [self.how, self.url, self.settings.runs_folder, day, trigger, file]
        return [sys.executable, str(LIGHT_CHILD), *map(str, words)]

    def days(self, trigger="tick", **changes) -> list[date]:
        """What one call of a fresh service runs."""
        service = self.service(**changes)
        try:
            return [ran.day for ran in service.reconcile(trigger)]
        finally:
            service.close()
