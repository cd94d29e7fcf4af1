"""`daygate check`: files through the seven checks."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import DaygateError, SettingsError
from pipeline.settings import Settings
from scheduler import output_json, report_text
from scheduler.arguments import day_for
from scheduler.boundary import complain, worst
from scheduler.commands.common import FEW_SAMPLES, code_of, start
from scheduler.output import look_of, write
from scheduler.screen import progress
from scheduler.version import installed

if TYPE_CHECKING:
    from scheduler.app import CheckOutcome

STDIN: Final = "-"


def check(  # one keyword per flag
    files: Sequence[str],
    *,
    date: str | None,
    engine: str,
    as_json: bool,
    report: Path | None,
    failed_rows: Path | None,
    limit: int | None,
) -> int:
    """Check each file and answer with the worst outcome's exit code.

    Text goes out file by file; JSON is one document for one file and an array for several. A file that is
    refused is told of on stderr and has no document; the others are still checked.
    """
    if len(files) > 1 and (report or failed_rows):
        raise SettingsError("--report and --failed-rows take one FILE at a time.", hint="one command for each file")
    if files.count(STDIN) > 1:
        raise SettingsError("stdin can be read once only.", hint="give - once")
    wanted = [(file, day_for(file, date)) for file in files]
    settings = start(sample_lines=limit)
    codes: list[int] = []
    documents: list[output_json.Document] = []
    for number, (file, day) in enumerate(wanted):
        try:
            outcome = _outcome(settings, file, day, engine=engine, report=report, failed_rows=failed_rows)
        except SettingsError:
            raise
        except DaygateError as error:
            complain(error)
            codes.append(error.exit_code)
            continue
        codes.append(code_of(outcome.report.verdict))
        if as_json:
            documents.append(_document(outcome))
        else:
            shown = min(FEW_SAMPLES, settings.sample_lines) if limit is None else limit
            write(("\n" if number else "") + _text(outcome, failed_rows=failed_rows, samples=shown))
    if documents or (as_json and len(files) > 1):
        write(output_json.dumps(documents, several=len(files) > 1))
    return worst(codes)


def _outcome(
    settings: Settings, file: str, day: date, *, engine: str, report: Path | None, failed_rows: Path | None
) -> CheckOutcome:
    from scheduler import app

    with progress() as shown:
        return app.check_file(
            settings,
            STDIN if file == STDIN else Path(file),
            day=day,
            engine=engine,
            failed_rows=failed_rows,
            report_folder=report,
            progress=shown,
        )


def _document(outcome: CheckOutcome) -> output_json.Document:
    return output_json.check_document(
        outcome.report,
        version=installed(),
        file=output_json.file_name(outcome.file),
        sha256=outcome.delivery.sha256,
        day=outcome.day,
        engine=outcome.engine,
        seconds=outcome.seconds,
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
