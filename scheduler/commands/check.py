"""`daygate check`: files through the seven checks, or one line of a file explained."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from datetime import date as Date  # noqa: N812  # `date` is the flag
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Literal

from pipeline.errors import DaygateError, ExitCode, RefusedFile, SettingsError
from pipeline.records import EngineChoice
from pipeline.settings import Settings
from scheduler import arguments, output_json, output_junit, report_text
from scheduler.boundary import complain, worst
from scheduler.commands.common import FEW_SAMPLES, code_of, start
from scheduler.output import look_of, write
from scheduler.screen import progress
from scheduler.version import installed

if TYPE_CHECKING:
    from scheduler.checking import CheckOutcome

STDIN: Final = "-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What is to be judged, and by which measure: as it was typed."""

    files: Sequence[str]
    date: str | None
    engine: EngineChoice | None
    thresholds: Sequence[str] | None
    severities: Sequence[str] | None

    def deliveries(self) -> tuple[tuple[str, Date], ...]:
        """Each file with its day."""
        if self.files.count(STDIN) > 1:
            raise SettingsError("stdin can be read once only.", hint="give - once")
        return arguments.deliveries(self.files, self.date)

    def measures(self) -> dict[str, Any]:
        """The settings that were given on the command line; None for what was not."""
        return {
            "thresholds": arguments.thresholds(self.thresholds or ()) or None,
            "severities": arguments.severities(self.severities or ()) or None,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """How one file ended, and what a document tells of it."""

    code: int
    word: str
    document: output_json.Document | None
    suite: output_junit.Suite


def check(
    judged: Judged, *, output_format: str, report: Path | None, failed_rows: Path | None, limit: int | None
) -> int:
    """Check each file and answer with the worst outcome's exit code.

    Text goes out file by file, several files end with a line that counts them. JSON is one document for one
    file and an array for several; JUnit is one document always. A file that is refused is told of on stderr
    (in JUnit it has a suite too); the others are still checked.
    """
    wanted = judged.deliveries()
    if len(wanted) > 1 and (report or failed_rows):
        raise SettingsError("--report and --failed-rows take one FILE at a time.", hint="one command for each file")
    settings = start(sample_lines=limit, **judged.measures())
    if failed_rows is not None:
        from pipeline.failed_rows import require_form

        require_form(failed_rows, flag="--failed-rows")
    shown = min(FEW_SAMPLES, settings.sample_lines) if limit is None else limit
    from pipeline import engines

    engine = engines.settled(judged.engine or settings.engine, settings, [_source(file) for file, _ in wanted])
    told: list[Told] = []
    for number, (file, day) in enumerate(wanted):
        began, clock = datetime.now(UTC), monotonic()
        try:
            outcome = _outcome(settings, file, day, engine, report, failed_rows, in_common=output_format == "text")
        except SettingsError:
            raise
        except DaygateError as error:
            complain(error)
            told.append(_stopped(error, file=file, day=day, began=began, seconds=monotonic() - clock))
            continue
        told.append(_told(outcome, began, samples=shown))
        if output_format == "text":
            write(("\n" if number else "") + _text(outcome, failed_rows=failed_rows, samples=shown))
    _conclude(told, output_format)
    return worst(one.code for one in told)


def explain(judged: Judged, *, line: int, output_format: str, alone: bool) -> int:
    """Explain one line of one file: 0 when no check that blocks fails it, else 1."""
    wanted = judged.deliveries()
    if len(wanted) > 1 or not alone or output_format == "junit":
        raise SettingsError(
            "--explain takes one FILE, and neither --report, --failed-rows nor junit.",
            hint="daygate check --explain LINE FILE",
        )
    (file, day), *_ = wanted
    settings = start(**judged.measures())
    from scheduler import explain_text
    from scheduler.explain import explain_line

    with progress() as shown:
        explained = explain_line(settings, _source(file), day=day, line=line, progress=shown)
    if output_format == "json":
        write(explain_text.dumps(explain_text.document(explained, version=installed())))
    else:
        write(explain_text.text(explained, look_of(sys.stdout)))
    return ExitCode.FAIL if explained.blocking else ExitCode.OK


def _conclude(told: Sequence[Told], output_format: str) -> None:
    """What is written once all files are done."""
    several = len(told) > 1
    if output_format == "junit":
        write(output_junit.dumps([one.suite for one in told]))
    elif output_format == "json":
        documents = [one.document for one in told if one.document is not None]
        if documents or several:
            write(output_json.dumps(documents, several=several))
    elif several:
        words = Counter(one.word for one in told)
        write(f"\n{len(told)} files: " + ", ".join(f"{count} {word}" for word, count in words.items()))


def _source(file: str) -> Path | Literal["-"]:
    return STDIN if file == STDIN else Path(file)


def _outcome(
    settings: Settings,
    file: str,
    day: Date,
    engine: EngineChoice,
    report: Path | None,
    failed_rows: Path | None,
    *,
    in_common: bool,
) -> CheckOutcome:
    from scheduler import checking

    with progress() as shown:
        return checking.check_file(
            settings,
            _source(file),
            day=day,
            engine=engine,
            failed_rows=failed_rows,
            report_folder=report,
            in_common=in_common,
            progress=shown,
        )


def _stopped(error: DaygateError, *, file: str, day: Date, began: datetime, seconds: float) -> Told:
    return Told(
        code=error.exit_code,
        word="refused" if isinstance(error, RefusedFile) else "not checked",
        document=None,
        suite=output_junit.stopped(error, file=file, day=day, began=began, seconds=seconds),
    )


def _told(outcome: CheckOutcome, began: datetime, *, samples: int) -> Told:
    return Told(
        code=code_of(outcome.report.verdict),
        word=outcome.report.verdict.value,
        document=output_json.check_document(
            outcome.report,
            version=installed(),
            file=output_json.file_name(outcome.file),
            sha256=outcome.delivery.sha256,
            day=outcome.day,
            engine=outcome.engine,
            seconds=outcome.seconds,
        ),
        suite=output_junit.checked(
            outcome.report,
            file=outcome.file,
            sha256=outcome.delivery.sha256,
            day=outcome.day,
            engine=outcome.engine,
            began=began,
            seconds=outcome.seconds,
            samples=samples,
        ),
    )


def _text(outcome: CheckOutcome, *, failed_rows: Path | None, samples: int) -> str:
    return report_text.checked(
        outcome.report,
        file=outcome.file,
        day=outcome.day,
        engine=outcome.engine,
        took=outcome.seconds,
        page=outcome.page,
        failed_rows=failed_rows,
        samples=samples,
        look=look_of(sys.stdout),
    )
