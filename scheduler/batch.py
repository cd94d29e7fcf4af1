"""What `daygate spark-batch` does: the good lines of days that passed the gate, through the aggregates, into a folder.

Where the good lines come from is the one choice: from the published days of the ledger, or from files that are taken
through the gate first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline import archive, database, engines, failing, landing, ledger, quarantine
from pipeline import contract as contracts
from pipeline.contract import Contract
from pipeline.errors import DaygateError, ExitCode, SettingsError, StepFailed
from pipeline.kept_out import kept_out
from pipeline.progress import Progress
from pipeline.records import CheckReport, DaySummary, Staged, Verdict
from pipeline.settings import Settings
from pipeline.spark import configuration, output
from pipeline.spark import session as sessions
from pipeline.stage import Workers
from scheduler import app, checking

if TYPE_CHECKING:
    from pipeline.spark.aggregates import GoodDay

STEP: Final = "spark-batch"
#: What the aggregates are computed from.
_NEEDED: Final = ("event_type", "user_id", "session_id", "timestamp", "platform", "product_id", "extra_data")
#: Staged bytes that go through Spark in one pass; from there on a pass costs more than its start.
_PASS_BYTES: Final = 1 << 30


class DayShut(DaygateError):
    """The day has not passed the gate, so nothing of it is aggregated."""

    exit_code = ExitCode.FAIL


@dataclass(kw_only=True, slots=True)
class BatchOutcome:
    """What was written, and what was not."""

    folder: Path
    days: list[date] = field(default_factory=list)
    #: Aggregate -> rows over all days.
    rows: dict[str, int] = field(default_factory=dict)
    #: What kept days out.
    refused: list[DaygateError] = field(default_factory=list)


def run(
    settings: Settings, days: Sequence[date], *, source: Path | None, folder: Path, progress: Progress
) -> BatchOutcome:
    """Compute the aggregates of the days and put them in place; days that are not good are left out and told.

    Args:
        source: folder of deliveries that are judged first; the published days of the ledger when None.
        folder: where the aggregates are kept.

    Raises:
        SettingsError: Spark is not installed, or the contract has other events.
        StepFailed: Spark could not finish; what was there before is as it was.
        BusyError: another process writes to the folder.
    """
    configuration.require_installed()
    contract = contracts.load(settings.contract)
    _require_columns(contract)
    outcome = BatchOutcome(folder=folder)
    with output.alone(folder), TemporaryDirectory(prefix=output.WORK, dir=folder) as made:
        waiting = deque(enumerate(days, 1))
        while waiting:
            with ExitStack() as held:
                good: list[GoodDay] = []
                while waiting and sum(one.bytes for one in good) < _PASS_BYTES:
                    number, day = waiting.popleft()
                    with progress.step(f"{day} ({number} of {len(days)})"):
                        opened = _good_day(settings, contract, day, source, progress)
                        good += _held(held, opened, outcome.refused)
                if good:
                    rows = _write(settings, good, Path(made), progress)
                    outcome.days += [one.day for one in good]
                    outcome.rows = {name: outcome.rows.get(name, 0) + count for name, count in rows.items()}
        for name in outcome.rows:
            output.put_in_place(Path(made) / name, folder / name, outcome.days)
    return outcome


def _held(held: ExitStack, opened: AbstractContextManager[GoodDay], refused: list[DaygateError]) -> Iterator[GoodDay]:
    """The day, kept until `held` ends; nothing when it is not good, and then `refused` says why."""
    try:
        yield held.enter_context(opened)
    except SettingsError:
        raise
    except DaygateError as error:
        refused.append(error)


def _write(settings: Settings, days: Sequence[GoodDay], made: Path, progress: Progress) -> dict[str, int]:
    from pipeline.spark import aggregates

    with sessions.failures(STEP, settings), sessions.session(settings) as spark:
        sessions.tell_link(spark, progress)
        with progress.step("aggregates"):
            return aggregates.write_days(spark, days, made, on_progress=progress.advance)


def _require_columns(contract: Contract) -> None:
    missing = [name for name in _NEEDED if name not in contract.names]
    if missing:
        raise SettingsError(
            f"{contract.source} declares no {', '.join(missing)}: the aggregates are of the shipped events.",
            hint="daygate check FILE takes any contract",
        )


def _good_day(
    settings: Settings, contract: Contract, day: date, source: Path | None, progress: Progress
) -> AbstractContextManager[GoodDay]:
    if source is None:
        return _published(settings, contract, day, progress)
    return _judged(settings, contract, day, source, progress)


@contextmanager
def _judged(settings: Settings, contract: Contract, day: date, source: Path, progress: Progress) -> Iterator[GoodDay]:
    """The good lines of a day's file in a folder, when they pass the gate now."""
    from pipeline.spark.aggregates import GoodDay

    plain = source / settings.event_file(day).name
    forms = (plain.with_name(plain.name + suffix) for suffix in landing.SUFFIXES)
    file = next(filter(Path.exists, forms), plain)
    # A cluster that is there takes the day's staging too, where its executors see the parts.
    engine = settings.engine if configuration.on_this_machine(settings.spark_master) else "spark"
    with checking.checking(settings, file, day=day, contract=contract, progress=progress, engine=engine) as (
        staged,
        checked,
    ):
        report = checked.report
        _require_pass(report, file, day)
        failed = failing.scan(report.failing).filter(kept_out(report.critical_checks)).select("line_no").unique()
        bad = _kept_out(failed.collect(), day, report.failing.parent)
        yield GoodDay(day=day, parts=staged.parts, kept_out=bad, lines=report.good_lines)


def _kept_out(lines: pl.DataFrame, day: date, folder: Path) -> Path:
    path = folder / "kept_out.parquet"
    lines.select(pl.lit(day).alias("event_date"), "line_no").write_parquet(path)
    return path


def _require_pass(report: CheckReport, file: Path, day: date) -> None:
    if report.verdict is Verdict.PASS:
        return
    failed = ", ".join(check.id for check in report.broken)
    words = f"{day} is {report.verdict} and was left out ({failed or '; '.join(report.problems)})."
    hint = f"daygate check {file} --date {day}"
    if report.verdict is Verdict.FAIL:
        raise DayShut(words, hint=hint)
    raise StepFailed(words, step="check", hint=hint)


@contextmanager
def _published(settings: Settings, contract: Contract, day: date, progress: Progress) -> Iterator[GoodDay]:
    """The lines that the day's published run loaded: its archived delivery without what is in quarantine."""
    from pipeline.spark.aggregates import GoodDay

    with engines.work_folder(settings, "spark") as (folder, _), Workers(settings.workers) as workers:
        run, bad = _from_ledger(settings, day, folder)
        delivery = archive.reopen(settings.deliveries_folder, run)
        staged = engines.stage(
            settings,
            engines.choose(settings.engine, settings, delivery),
            delivery,
            day=day,
            contract=contract,
            folder=folder / "staged",
            progress=progress,
            workers=workers,
        )
        _require_same_lines(staged, run)
        yield GoodDay(day=day, parts=staged.parts, kept_out=bad, lines=run.loaded)


def _from_ledger(settings: Settings, day: date, folder: Path) -> tuple[DaySummary, Path]:
    """The published run of a day, and a file of the lines that it kept out."""
    url = app.database_url(settings)
    database.upgrade(url)
    with database.session(url, name=STEP, doing="reading the ledger") as connection:
        run = ledger.published(connection, day)
        if run is None:
            raise _not_published(ledger.judged(connection, day), day)
        return run, _kept_out(quarantine.places(connection, run.run_id), day, folder)


def _not_published(judged: DaySummary | None, day: date) -> DaygateError:
    if judged is not None and judged.verdict is Verdict.FAIL:
        return DayShut(f"{day} is FAIL and was left out: the gate blocked it.", hint=f"daygate quarantine show {day}")
    return StepFailed(
        f"{day} is not published and was left out.",
        step=STEP,
        hint=f"daygate run --date {day}, or --input DIR to judge files here",
    )


def _require_same_lines(staged: Staged, run: DaySummary) -> None:
    if staged.lines != run.lines:
        raise StepFailed(
            f"{run.day}: the archived delivery has {staged.lines} lines where run {run.run_id} judged {run.lines}.",
            step=STEP,
            hint=f"daygate run --date {run.day} --force",
        )
