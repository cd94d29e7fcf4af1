"""The service: a thin clock over `reconcile`, the web beside it, and an orderly end.

APScheduler runs in the main thread and decides nothing: a cron trigger at `run_at`, a tick a minute and the start
all call the same function, and the ledger says what is due. So nothing is missed that the clock misses.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Final

from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from pipeline import database, outbox_sender
from pipeline.errors import DaygateError, ExitCode, TransientError
from pipeline.settings import Settings
from pipeline.zone import ZONE
from scheduler import app, orphans, web, web_database
from scheduler.health import Heartbeat
from scheduler.reconcile import Reconciler
from scheduler.screen import event
from scheduler.web_server import Running

if TYPE_CHECKING:
    from collections.abc import Callable

    from apscheduler.triggers.base import BaseTrigger

#: Seconds between two looks at the ledger, and between two signs of life.
TICK_SECONDS: Final = 60
BEAT_SECONDS: Final = 10
#: Between two looks at the outbox.
ALERT_SECONDS: Final = 10
#: A call that does not go on for so long is taken for stuck.
STUCK_SECONDS: Final = 120
#: After the grace time of a run, for everything else that has to end.
_LAST_SECONDS: Final = 15.0

log = logging.getLogger(__name__)


def _wall_ahead() -> float:
    """Seconds that the clock on the wall is ahead of the one that nobody can set."""
    return time.time() - time.monotonic()


def _every(seconds: float) -> IntervalTrigger:
    return IntervalTrigger(seconds=seconds, timezone=ZONE)


class Service:
    """Everything `daygate serve` keeps going, in one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._heartbeat = Heartbeat()
        self._asked_to_stop = threading.Event()
        self._signals = 0
        self._site: Running | None = None
        self._code = 0
        self.reconciler = Reconciler(settings=settings)
        self._scheduler = BlockingScheduler(
            timezone=ZONE,
            executors={"default": ThreadPoolExecutor(4)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

        # It tells every minute of a long run that the tick waits for it, which it is meant to do.
        logging.getLogger("apscheduler").setLevel(logging.ERROR)

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; call it from the main thread.

        Returns:
            0: told to stop, and stopped within the grace time; 3: the web died and did not start again.

        Raises:
            SettingsError: the database is of a newer version, the login is refused, the web address is taken.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # the terminal it was started from may go
        self._prepare()
        self._site = web.start(self._settings, self._heartbeat)
        try:
            self._scheduler.add_job(self._reconcile, args=["boot"], id="boot")
            self._add_jobs()
            # Not before the clock runs: until then it cannot be stopped.
            self._scheduler.add_listener(self._clock_runs, EVENT_SCHEDULER_STARTED)
            threading.Thread(target=self._watch_clock, name="clock", daemon=True).start()
            event("service.started", run_at=f"{self._settings.run_at:%H:%M}", source=self._settings.source)
            self._scheduler.start()
        finally:
            self.reconciler.close()
            if self._site is not None:
                self._site.stop()
            event("service.stopped")
        return self._code

    def _beat(self) -> None:
        """A sign of life, unless a call got stuck. A web that died is started again, or takes the service with it."""
        if self.reconciler.stuck_seconds() < STUCK_SECONDS:
            self._heartbeat.beat()
        if self._site is None or self._site.alive or self._asked_to_stop.is_set():
            return
        try:
            self._site = web.start(self._settings, self._heartbeat)
            event("web.restarted", level="ERROR", address=self._site.address)
        except DaygateError as error:
            event("web.died", level="ERROR", error=error.message, hint=error.hint)
            self._code = ExitCode.INCONCLUSIVE
            self._asked_to_stop.set()

    def _prepare(self) -> None:
        """Refuse what no waiting can cure; a database that is away for now is waited for by the ticks."""
        try:
            database.upgrade(app.database_url(self._settings))
        except TransientError as error:
            event("database.away", level="WARNING", error=error.message)

    def _add_jobs(self) -> None:
        """Every job anew, its next moment counted from now: an interval counts from when its trigger was made."""
        at = self._settings.run_at
        cron = CronTrigger(hour=at.hour, minute=at.minute, second=at.second, timezone=ZONE)
        self._add_job("cron", cron, self._reconcile, "cron")
        self._add_job("tick", _every(TICK_SECONDS), self._reconcile, "tick")
        self._add_job("heartbeat", _every(BEAT_SECONDS), self._beat)
        self._add_job("alerts", _every(ALERT_SECONDS), self._send_alerts)

    def _add_job(self, name: str, trigger: BaseTrigger, call: Callable[..., None], *arguments: str) -> None:
        self._scheduler.add_job(call, trigger, args=arguments, id=name, replace_existing=True)

    def _reconcile(self, trigger: str) -> None:
        """One call whose failure costs nothing but this call."""
        try:
            self.reconciler.reconcile(trigger)
            if self.reconciler.child is None:
                orphans.reap(keep=frozenset())
        except DaygateError as error:
            event("reconcile.failed", level="ERROR", trigger=trigger, error=error.message, hint=error.hint)
        except Exception as error:  # noqa: BLE001  # the clock's boundary: a bug must not end the service in silence
            event("reconcile.failed", level="ERROR", trigger=trigger, error=f"a bug: {type(error).__name__}")

    def _send_alerts(self) -> None:
        """Whichever instance comes first; nothing is started for it, and nothing waits for it."""
        try:
            outbox_sender.work_off(web_database.address(self._settings), self._settings)
        except DaygateError as error:
            log.debug("No database to send alerts from: %s", error.message)
        except Exception as error:  # noqa: BLE001  # a bug must not end the job
            event("alerts.failed", level="ERROR", error=f"a bug: {type(error).__name__}")

    def _on_signal(self, number: int, _frame: object) -> None:
        """First: stop in order. Second: end at once; the ledger finds out by itself."""
        self._signals += 1
        if self._signals > 1:
            child = self.reconciler.child
            if child is not None:
                child.kill()
            os._exit(128 + number)
        self._asked_to_stop.set()

    def _give_up(self) -> None:
        """End although something does not: a database that never answers, for one. The ledger finds out by itself."""
        event("service.gave_up", level="ERROR")
        child = self.reconciler.child
        if child is not None:
            child.kill()
        os._exit(ExitCode.INCONCLUSIVE)

    def _watch_clock(self) -> None:
        """APScheduler sleeps until its next moment comes; after the clock was put back, that would be hours."""
        ahead = _wall_ahead()
        while not self._asked_to_stop.wait(BEAT_SECONDS):
            before, ahead = ahead, _wall_ahead()
            if ahead < before - BEAT_SECONDS:
                self._add_jobs()
                event("clock.moved", level="WARNING", seconds=ahead - before)

    def _clock_runs(self, _: object) -> None:
        threading.Thread(target=self._stop_when_asked, name="stop", daemon=True).start()

    def _stop_when_asked(self) -> None:
        self._asked_to_stop.wait()
        event("service.stopping")
        patience = threading.Timer(self._settings.grace_seconds + _LAST_SECONDS, self._give_up)
        patience.daemon = True
        patience.start()
        self.reconciler.close()
        self._scheduler.shutdown(wait=False)
