"""What every command starts with and ends with."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pipeline import settings as all_settings
from pipeline.errors import ExitCode
from pipeline.records import DaySummary, Verdict
from pipeline.settings import Settings
from scheduler import report_text
from scheduler.output import look_of, write
from scheduler.screen import configure_logging

if TYPE_CHECKING:
    from scheduler.app import RunOutcome

#: Failing lines shown per check when nobody asked for a number: enough to see the kind of defect.
FEW_SAMPLES: Final = 5
_CODES: Final = {Verdict.PASS: ExitCode.OK, Verdict.FAIL: ExitCode.FAIL}


def start(*, short_alerts: bool = False, **flags: Any) -> Settings:
    """Read the settings, with the flags that were given over them, and send the log where it belongs.

    A command that prints a day's whole report has `short_alerts` in its log.
    """
    settings = all_settings.load(**{name: value for name, value in flags.items() if value is not None})
    configure_logging(settings.log_level, short_alerts=short_alerts)
    return settings


def tell_run(outcome: RunOutcome, timings: Mapping[str, float], *, took: float, settings: Settings) -> ExitCode:
    """Print how a run ended, and return its exit code."""
    write(
        report_text.ran(
            outcome.summary,
            outcome.report,
            page=outcome.page,
            unchanged=outcome.unchanged,
            timings=timings,
            took=took,
            samples=min(FEW_SAMPLES, settings.sample_lines),
            look=look_of(sys.stdout),
        )
    )
    return code_of_run(outcome.summary)


def code_of_run(summary: DaySummary) -> ExitCode:
    """The exit code of a run: 0 for a published day, also for one that a person released."""
    return ExitCode.OK if summary.status == "published" else code_of(summary.verdict)


def code_of(verdict: Verdict | None) -> ExitCode:
    """The exit code a verdict ends with; no verdict is as bad as INCONCLUSIVE."""
    return _CODES.get(verdict, ExitCode.INCONCLUSIVE) if verdict else ExitCode.INCONCLUSIVE
