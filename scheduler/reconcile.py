"""`reconcile`: bring the ledger to where it should be now, one day after the other, oldest first.

Every trigger of the service calls it; calling it again, or from several services at once, changes nothing. What
is due is read from the ledger each time, so nothing is lost with the process.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from time import monotonic
from typing import Final

from pipeline import aftermath, alerts, contract, database, due, landing, lateness, leftovers, outbox, workspace
from pipeline.database import Connection
from pipeline.errors import DaygateError, ExitCode
from pipeline.failpoints import failpoint
from pipeline.leader import Leadership
from pipeline.records import Alert, Failure, Run
from pipeline.settings import Settings
from pipeline.zone import ZONE
from scheduler import app
from scheduler import child as children
from scheduler.child import Child, Ending
from scheduler.screen import event

#: How often lateness is looked at while a run takes its time.
_LATENESS_SECONDS: Final = 60.0
#: How long a day that stays bad is told of again, once a day.
_REMINDED_DAYS: Final = 7
#: The child ended as `daygate run` does and said everything itself, or has nothing to say.
_TOLD: Final = frozenset({ExitCode.OK, ExitCode.FAIL, ExitCode.BUSY})


@dataclass(frozen=True, kw_only=True, slots=True)
class Ran:
    """A run that was started, and how its process ended."""

    day: date
    ending: Ending


@dataclass(frozen=True, kw_only=True, slots=True)
class _Plan:
    """The days that the service answers for at a moment."""

    now: datetime
    first: date
    last: date
    #: Before `first` and never run, because the service does not look back so far.
    left_out: tuple[date, ...]


@dataclass(kw_only=True)
class Reconciler:
    """Runs what is due, each day in a child process."""

    settings: Settings
    #: Set when the service is to stop; no further day is begun.
    stopping: threading.Event = field(default_factory=threading.Event)
    #: What day it is; the database's clock when None.
    clock: Callable[[], datetime] | None = None
    #: The command line of a run, from day, trigger and file.
    command: Callable[..., Sequence[str]] = children.command
    #: The command line that brings unfinished pages into the site.
    pages_command: Callable[[], Sequence[str]] = children.pages_command
    #: The running child, for who must kill it at once.
    child: Child | None = field(default=None, init=False)
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False)
    _leadership: Leadership = field(default_factory=Leadership, init=False)
    _hashes: landing.Hashes = field(default_factory=landing.Hashes, init=False)
    _ready: str | None = field(default=None, init=False)
    _leads: bool = field(default=False, init=False)
    _unfinished: frozenset[str] = field(default=frozenset(), init=False)
    #: When a call last went on, or a process it waits for was looked at.
    _moved_at: float = field(default_factory=monotonic, init=False)
    _looked_at: float = field(default_factory=monotonic, init=False)

    def reconcile(self, trigger: str) -> list[Ran]:
        """Run every day that is due; nothing when a call is under way already or another service leads.

        Args:
            trigger: why now, for the ledger: boot, cron, tick.

        Raises:
            DaygateError: the database or the contract is not usable now; the next call may succeed.
        """
        if not self._busy.acquire(blocking=False):
            return []
        self._moved_at = monotonic()
        try:
            return self._reconcile(trigger)
        finally:
            self._busy.release()

    def stuck_seconds(self) -> float:
        """Seconds since the call under way went on; 0 when there is none, or when it only waits for its process."""
        return monotonic() - self._moved_at if self._busy.locked() and self.child is None else 0.0

    def close(self) -> None:
        """Wait for the call under way, begin no further, and let another service lead."""
        self.stopping.set()
        with self._busy:
            self._leadership.give_up()

    def _reconcile(self, trigger: str) -> list[Ran]:
        url = self._database()
        ran: list[Ran] = []
        if not self._is_leader(url):
            return ran
        try:
            while not self.stopping.is_set():
                with database.session(url, name="reconcile", doing="looking for due days") as connection:
                    day = self._next(connection, tried={done.day for done in ran})
                if day is None or not self._is_leader(url):
                    break
                ran.append(self._run(url, day, trigger))
            if not self.stopping.is_set():
                self._clean(url)
                self._finish_pages(url)
        finally:
            # Last, because a day that only waited for the service to start is not worth an alarm; and always,
            # because a contract that cannot be read makes days late as well.
            if not self.stopping.is_set():
                self._tell_late(url)
        return ran

    def _clean(self, url: str) -> None:
        """Remove what killed processes left."""
        with database.session(url, name="cleaning", doing="cleaning up") as connection:
            swept = leftovers.sweep(self.settings, connection)
            workspace.sweep(connection)
        if swept:
            event("leftovers.removed", count=swept)

    def _finish_pages(self, url: str) -> None:
        """Let a process bring the pages of runs that died before into the site; tried once for the same runs."""
        unfinished = app.unfinished_pages(self.settings, url)
        if unfinished and unfinished != self._unfinished:
            ending = self._supervised(self.pages_command())
            event("pages.finished", runs=len(unfinished), how=ending.how, code=ending.code)
        self._unfinished = unfinished

    def _database(self) -> str:
        """The database, started and brought to this version once."""
        url = app.database_url(self.settings)
        if url != self._ready:
            database.upgrade(url)
            self._ready = url
        return url

    def _is_leader(self, url: str) -> bool:
        leads = self._leadership.held(url)
        if leads != self._leads:
            event("leader.won" if leads else "leader.lost")
            self._leads = leads
        return leads

    # -- what is due -----------------------------------------------------------------------------

    def _plan(self, connection: Connection) -> _Plan:
        now = self.clock() if self.clock is not None else due.clock(connection)
        last = due.last_day(now, self.settings.run_at)
        start = self.settings.start_day or due.first_day(connection) or last
        first = max(start, last - timedelta(days=self.settings.catch_up_days - 1))
        known = self._states(connection, start, first - timedelta(days=1), now)
        left_out = tuple(
            day for day in due.days(start, first - timedelta(days=1)) if day not in known or not known[day].published
        )
        return _Plan(now=now, first=first, last=last, left_out=left_out)

    def _states(self, connection: Connection, first: date, last: date, now: datetime) -> dict[date, due.DayState]:
        since = due.last_run_at(now, self.settings.run_at)
        return dict(due.states(connection, first, last, since=since, first_rest=self.settings.attempt_seconds))

    def _next(self, connection: Connection, *, tried: set[date]) -> date | None:
        """The oldest due day that was not run just now."""
        plan = self._plan(connection)
        known = self._states(connection, plan.first, plan.last, plan.now)
        rules = contract.load(self.settings.contract).sha256
        for day in due.days(plan.first, plan.last):
            file = landing.find(self.settings, day)
            if day in tried or (file is None and self.settings.source == "landing"):
                continue
            if due.is_due(
                known.get(day),
                contract_sha256=rules,
                most_attempts=self.settings.attempts_per_day,
                corrected=lambda state, file=file: self._hashes.differs(  # type: ignore[misc]
                    file, sha256=state.delivery_sha256, since=state.started_at
                ),
            ):
                return day
        return None

    # -- what is late ----------------------------------------------------------------------------

    def _tell_late(self, url: str) -> None:
        self._looked_at = monotonic()
        with database.session(url, name="lateness", doing="looking for late days") as connection:
            new = outbox.keep(connection, self._late(connection))
        failpoint("late.kept")
        app.notify(self.settings, new)

    def _late(self, connection: Connection) -> list[Alert]:
        plan = self._plan(connection)
        known = self._states(connection, plan.first, plan.last, plan.now)
        open_days = [day for day in due.days(plan.first, plan.last) if day not in known or not known[day].published]
        found = []
        missing = [
            day
            for day in open_days
            if self.settings.source == "landing"
            and (day not in known or known[day].status != "blocked")
            and due.reached(plan.now, day, self.settings.landing_deadline)
            and landing.find(self.settings, day) is None
        ]
        if missing:
            found.append(lateness.missing(missing, by=self.settings.landing_deadline))
        overdue = [day for day in open_days if due.reached(plan.now, day, self.settings.sla_time)]
        if overdue:
            found.append(lateness.unpublished(overdue, by=self.settings.sla_time))
        if plan.left_out:
            found.append(lateness.cut(plan.left_out, limit=self.settings.catch_up_days))
        return found + self._reminders(connection, plan, open_days)

    def _reminders(self, connection: Connection, plan: _Plan, open_days: Sequence[date]) -> list[Alert]:
        """Once a calendar day, at the time by which days are promised, for a week after a day was told to be bad."""
        today = plan.now.astimezone(ZONE).date()
        if not open_days or not due.reached(plan.now, today - timedelta(days=1), self.settings.sla_time):
            return []
        return [
            alerts.still_bad(day=bad.day, run_id=bad.run_id, since=bad.since, today=today)
            for bad in outbox.bad_days(connection, open_days)
            if 0 < (today - bad.since).days <= _REMINDED_DAYS
        ]

    # -- a run and what is left of it ------------------------------------------------------------

    def _run(self, url: str, day: date, trigger: str) -> Ran:
        found = landing.find(self.settings, day)
        with database.session(url, name="reconcile", doing="starting a run") as connection:
            before = aftermath.newest_fence(connection, day)
        failpoint("run.due")
        event("run.started", day=day, trigger=trigger)
        ending = self._supervised(self.command(day, trigger=trigger, file=None if found is None else found.path))
        event("run.ended", day=day, how=ending.how, code=ending.code, signal=ending.signal_name, seconds=ending.seconds)
        failpoint("run.ended")
        if ending.how != "ended" or ending.code not in _TOLD:
            self._close(url, day, before, trigger, ending)
        return Ran(day=day, ending=ending)

    def _supervised(self, command: Sequence[str]) -> Ending:
        """Start a process and wait for its end."""
        self.child = Child(command)
        try:
            return self.child.supervise(
                deadline_seconds=self.settings.run_deadline_seconds,
                grace_seconds=self.settings.grace_seconds,
                stopping=self.stopping,
                watch=self._watch,
            )
        finally:
            self._moved_at = monotonic()
            self.child = None

    def _watch(self) -> bool:
        """Whether to go on with the run: not when another service leads. Lateness does not wait for it.

        An embedded server that died is started again, so that the run's next try finds it.
        """
        try:
            url = self._database()
            if not self._is_leader(url):
                return False
            if monotonic() - self._looked_at > _LATENESS_SECONDS:
                self._tell_late(url)
        except DaygateError as error:
            # Nobody knows who leads while the database is away; the fence keeps a second leader's day whole.
            event("watch.failed", level="WARNING", error=error.message)
        return True

    def _close(self, url: str, day: date, before: int, trigger: str, ending: Ending) -> None:
        """Record a run that could not do so itself, and raise the alarm."""
        error, failure = self._reason(ending)
        told_to_stop = ending.how in ("stopped", "abandoned")

        def alert_of(run: Run) -> Alert:
            return alerts.step_failed(day=day, run_id=run.run_id, step="run", attempt=run.attempt, error=error)

        try:
            alert = aftermath.close(
                url,
                day,
                after=before,
                error=error,
                failure=failure,
                runs_folder=self.settings.runs_folder,
                trigger=None if told_to_stop else trigger,
                contract_sha256=contract.load(self.settings.contract).sha256,
                alert_of=None if told_to_stop else alert_of,
            )
        except DaygateError as lost:
            # The next claim of the day closes the row; the day stays due.
            event("run.unrecorded", level="ERROR", day=day, error=lost.message, reason=error)
            return
        failpoint("run.closed")
        if alert is not None:
            app.notify(self.settings, [alert])

    def _reason(self, ending: Ending) -> tuple[str, Failure]:
        if ending.how == "timeout":
            return f"It took longer than {self.settings.run_deadline_seconds} s and was ended.", "died"
        if ending.how == "stopped":
            return "It was stopped together with the service.", "interrupted"
        if ending.how == "abandoned":
            return "It was stopped because another service leads.", "interrupted"
        if ending.signal_name is not None:
            limit = self.settings.run_memory_bytes
            memory = f" Its memory was limited to {limit} bytes." if limit is not None else ""
            why = " (the system sends that when memory runs out)" if ending.signal_name == "SIGKILL" else ""
            return f"Its process was ended by {ending.signal_name}{why}.{memory}", "died"
        failure: Failure = "transient" if ending.code == ExitCode.INCONCLUSIVE else "permanent"
        return f"Its process ended with code {ending.code} without a word in the ledger.", failure
