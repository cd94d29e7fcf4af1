"""The order of the day: deliver → stage → check → (only on PASS, or released) load → marts → publish, or block.

`DayRunner.run` reads top to bottom. What needs Great Expectations comes in as an argument (`Gate`).
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TypeVar

from pipeline import (
    alerts,
    archive,
    database,
    engines,
    landing,
    ledger,
    leftovers,
    load,
    marts,
    outbox,
    publish,
    release,
    simulate,
)
from pipeline.contract import Contract
from pipeline.database import Connection
from pipeline.delivery import take, verify_unchanged
from pipeline.errors import BusyError, DaygateError, ExitCode, RefusedFile, StepFailed, tells_to_stop
from pipeline.failpoints import failpoint
from pipeline.files import replace_file
from pipeline.load import LoadReceipt
from pipeline.marts import MartTables
from pipeline.progress import Progress
from pipeline.records import (
    Alert,
    CheckReport,
    DaySummary,
    Delivery,
    Engine,
    EngineChoice,
    Failure,
    Release,
    Run,
    Staged,
    Verdict,
)
from pipeline.retry import failure_of, repeated
from pipeline.settings import Settings
from pipeline.stage import Workers

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Judges a staged delivery; a closed gate comes with its alerts. The run's folder is the work folder.
Gate = Callable[[Staged, Run], tuple[CheckReport, list[Alert]]]


@dataclass(frozen=True, kw_only=True, slots=True)
class DayOrder:
    """What was asked for."""

    day: date
    #: The delivery; the day's own file (generated or landed) when None.
    file: Path | None
    engine: EngineChoice
    #: Run even when this very delivery is already published under this contract.
    force: bool
    trigger: str
    #: A delivery that was taken already, instead of a file.
    delivery: Delivery | None = None
    #: The last judged run of the day that the order was made for; nothing is done when there is a later one.
    follows: str | None = None
    #: Publish the good lines although the day fails.
    release: Release | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DayOutcome:
    """How it ended."""

    summary: DaySummary
    #: None when the delivery was published already and nothing was done.
    report: CheckReport | None
    alerts: tuple[Alert, ...] = ()


class RunFailed(StepFailed):
    """A run that the ledger tells as failed; carries the alert to send."""

    def __init__(self, cause: DaygateError, *, step: str, alert: Alert) -> None:
        super().__init__(cause.message, step=step, hint=cause.hint)
        self.exit_code = cause.exit_code
        self.alert = alert


@dataclass(frozen=True, kw_only=True)
class DayRunner:
    """Takes days through the gate, one at a time, with one set of settings."""

    settings: Settings
    contract: Contract
    database_url: str
    gate: Gate
    progress: Progress
    #: Called once or more when this process or its cores have little to do; returns at once.
    meanwhile: Callable[[], None] = lambda: None

    def run(self, order: DayOrder) -> DayOutcome:
        """Take one day through the gate.

        Raises:
            BusyError: another run holds the day.
            RunFailed: a step failed; nothing of the day became visible, the ledger says why.
            SettingsError: the tables do not fit the contract; nothing was begun.
            TransientError: the database was away before the day could be claimed.
        """
        with (
            database.session(self.database_url, name="run", doing="running the day") as connection,
            Workers(self.settings.workers) as workers,
        ):
            load.require_columns(connection, self.contract)
            leftovers.sweep(self.settings, connection)
            with self._delivery(connection, order, workers) as delivery, archive.settling(delivery) as settled:
                published = ledger.published(connection, order.day)
                if published and not order.force and self._unchanged(published, delivery):
                    return DayOutcome(summary=published, report=None)
                engine = engines.choose(order.engine, self.settings, delivery)
                with self._attempt(connection, order, engine, delivery) as run:
                    _require_last(connection, order)
                    staged = self._stage(run, delivery, engine, workers)
                    report, closed = self._check(connection, run, staged, order.release)
                    if report.verdict is not Verdict.PASS and order.release is None:
                        settled()
                        return self._block(run, staged, report, closed)
                    receipt = self._load(run, staged, report)
                    tables = self._marts(run, receipt)
                    settled()  # what is published can be read again, whatever happens
                    return self._publish(run, staged, report, receipt, tables, order.release)

    def _stage(self, run: Run, delivery: Delivery, engine: Engine, workers: Workers) -> Staged:
        def stage() -> Staged:
            return engines.stage(
                self.settings,
                engine,
                delivery,
                day=run.day,
                contract=self.contract,
                folder=run.folder / "staged",
                progress=self.progress,
                workers=workers,
                meanwhile=self.meanwhile,
            )

        with self._step("stage"):
            return self._repeated("stage", stage)

    def _check(
        self, connection: Connection, run: Run, staged: Staged, released: Release | None
    ) -> tuple[CheckReport, list[Alert]]:
        with self._step("check"):
            report, closed = self._repeated("check", lambda: self.gate(staged, run))
            if released is not None:
                release.require_same_answer(connection, released, report)
        return report, closed

    def _load(self, run: Run, staged: Staged, report: CheckReport) -> LoadReceipt:
        with self._step("load"):
            receipt = self._repeated(
                "load",
                lambda: engines.load(self.settings, self.database_url, run, staged, report, self.contract),
            )
            self._keep_out(run, staged, report)
        return receipt

    def _marts(self, run: Run, receipt: LoadReceipt) -> MartTables:
        with self._step("marts"):
            return self._repeated("marts", lambda: marts.build(self.database_url, run, receipt))

    def _publish(
        self,
        run: Run,
        staged: Staged,
        report: CheckReport,
        receipt: LoadReceipt,
        tables: MartTables,
        released: Release | None,
    ) -> DayOutcome:
        with self._step("publish"):
            if released is None:
                done = alerts.day_completed(run=run, report=report, rows=receipt.rows, totals=tables)
                news = self._repeated("publish", lambda: self._good_news(done))
            else:
                news = alerts.day_released(run=run, report=report, rows=receipt.rows, totals=tables, release=released)
            summary = self._repeated(
                "publish",
                lambda: publish.publish(
                    self.database_url,
                    run,
                    staged,
                    report,
                    receipt,
                    tables,
                    (news,),
                    release=released,
                    timings=self.progress.timings,
                ),
            )
        return self._ended(run, summary, report, (news,))

    def _good_news(self, completed: Alert) -> Alert:
        """That the day is published, and that it recovered when it was told to be bad."""
        with database.session(self.database_url, name="news", doing="looking at earlier alerts") as connection:
            bad = outbox.bad_days(connection, [completed.day])
        return alerts.recovered(completed, since=bad[0].since) if bad else completed

    def _block(self, run: Run, staged: Staged, report: CheckReport, closed: list[Alert]) -> DayOutcome:
        with self._step("block"):
            self._keep_out(run, staged, report)
            summary = self._repeated(
                "block",
                lambda: publish.block(
                    self.database_url,
                    run,
                    staged,
                    report,
                    closed,
                    contract_sha256=self.contract.sha256,
                    timings=self.progress.timings,
                ),
            )
        return self._ended(run, summary, report, tuple(closed))

    def _keep_out(self, run: Run, staged: Staged, report: CheckReport) -> None:
        self._repeated("quarantine", lambda: engines.keep_out(self.settings, self.database_url, run, staged, report))

    def _ended(self, run: Run, summary: DaySummary, report: CheckReport, news: tuple[Alert, ...]) -> DayOutcome:
        shutil.rmtree(run.folder / "staged", ignore_errors=True)  # the delivery itself is kept
        try:
            _write_report(run.folder / "report.json", summary, report)
        except OSError as error:
            # The day is decided and recorded; its story on disk must not make it look undone.
            log.warning("report.json of %s could not be written: %s.", run.run_id, error.strerror)
        failpoint("report.done")
        return DayOutcome(summary=summary, report=report, alerts=news)

    @contextmanager
    def _delivery(self, connection: Connection, order: DayOrder, workers: Workers) -> Iterator[Delivery]:
        """The day's delivery as a private copy; one that cannot be had is a failed attempt in the ledger."""
        if order.delivery is not None:
            yield order.delivery
            verify_unchanged(order.delivery)
            return
        with ExitStack() as stack:
            try:
                with self._step("deliver"):
                    source = order.file or self._day_file(order.day)
                    # A delivery that was published already will hardly be judged.
                    likely = order.force or ledger.published(connection, order.day) is None
                    meanwhile = partial(self._begin, order, source, workers) if likely else None
                    taken = take(source, folder=self.settings.deliveries_folder, meanwhile=meanwhile)
                    delivery = stack.enter_context(taken)
            except DaygateError:
                with self._attempt(connection, order, "pandas" if order.engine == "auto" else order.engine):
                    raise
            yield delivery

    def _begin(self, order: DayOrder, source: Path, workers: Workers) -> None:
        """What staging and checking will need, begun while the delivery is copied."""
        if engines.settled(order.engine, self.settings, [source]) == "pandas":
            workers.start()
        self.meanwhile()

    def _day_file(self, day: date) -> Path:
        """The day's own file, generated when the simulator is the source and it is not there yet."""
        landed = landing.find(self.settings, day)
        if landed is not None:
            return landed.path
        file = self.settings.event_file(day)
        if self.settings.source == "landing":
            raise RefusedFile(
                f"No complete delivery for {day}: {file} is not there (DAYGATE_LANDING_MARKER says when it is).",
                reason="missing",
                hint=f"daygate run --date {day} --file PATH",
            )
        made = simulate.generate(
            day,
            contract=self.contract,
            output=file,
            users=self.settings.users,
            seed=self.settings.seed,
            on_progress=self.progress.advance,
        )
        return made.path

    def _unchanged(self, published: DaySummary, delivery: Delivery) -> bool:
        same_rules = published.contract_sha256 in (None, self.contract.sha256)
        return published.delivery_sha256 == delivery.sha256 and same_rules

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        """Time a step, and let whatever it raises carry its name."""
        with self.progress.step(name):
            try:
                yield
                failpoint(f"{name}.done")
            except (StepFailed, BusyError):
                raise
            except DaygateError as error:
                failed = StepFailed(error.message, step=name, hint=error.hint)
                failed.exit_code = error.exit_code
                raise failed from error
            except BaseException as error:
                if tells_to_stop(error):
                    raise
                # The text of a foreign exception may hold values from events; its type does not.
                raise StepFailed(
                    f"The step {name} met {type(error).__name__}.", step=name, hint="the same command with --debug"
                ) from error

    def _repeated(self, step: str, work: Callable[[], T]) -> T:
        return repeated(step, work, first_wait=self.settings.retry_seconds)

    @contextmanager
    def _attempt(
        self, connection: Connection, order: DayOrder, engine: Engine, delivery: Delivery | None = None
    ) -> Iterator[Run]:
        """Claim the day; whatever happens inside ends in the ledger."""
        run = ledger.claim(
            connection,
            order.day,
            trigger=order.trigger,
            engine=engine,
            runs_folder=self.settings.runs_folder,
            delivery_sha256=None if delivery is None else delivery.sha256,
            contract_sha256=self.contract.sha256,
        )
        failpoint("claim.done")
        try:
            with ledger.kept_alive(self.database_url, run):
                yield run
        except BusyError:
            raise
        except DaygateError as error:
            step = error.step if isinstance(error, StepFailed) else "run"
            alert = alerts.step_failed(
                day=run.day, run_id=run.run_id, step=step, attempt=run.attempt, error=error.message
            )
            self._record_failure(run, error.message, failure_of(error), alert)
            raise RunFailed(error, step=step, alert=alert) from error
        except BaseException as error:
            told_to_stop = isinstance(error, SystemExit | KeyboardInterrupt)
            self._record_failure(
                run, f"interrupted by {type(error).__name__}", "interrupted" if told_to_stop else "died"
            )
            raise

    def _record_failure(self, run: Run, error: str, failure: Failure, alert: Alert | None = None) -> None:
        shutil.rmtree(run.folder / "staged", ignore_errors=True)

        def record() -> None:
            # The connection of the run may be the very one that was lost.
            with database.session(self.database_url, name="failure", doing="recording the failure") as connection:
                ledger.fail(connection, run, error=error, failure=failure, alert=alert)

        try:
            self._repeated("failure", record)
        except DaygateError as lost:
            # The lease runs out by itself; the error that led here is the one to tell.
            log.warning("The failure of %s could not be recorded: %s", run.run_id, lost)


def _require_last(connection: Connection, order: DayOrder) -> None:
    """Stop an order that was made before another run of the day was judged."""
    if order.follows is None:
        return
    last = ledger.judged(connection, order.day)
    if last is None or last.run_id != order.follows:
        late = StepFailed(
            f"Another run of {order.day} was judged after {order.follows}; nothing was done.",
            step="stage",
            hint=f"daygate quarantine show {order.day}",
        )
        late.exit_code = ExitCode.BUSY
        raise late


def _write_report(path: Path, summary: DaySummary, report: CheckReport) -> None:
    """Leave the whole story of the run as JSON: the ledger's fields and the checks."""
    story = {**asdict(summary), **publish.report_facts(report)}
    replace_file(path, json.dumps(story, ensure_ascii=False, indent=1, default=str).encode())
