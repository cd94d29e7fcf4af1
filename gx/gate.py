"""Runs the one checkpoint over a staged delivery and turns its answer into a CheckReport."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import great_expectations
import pandas as pd
import polars as pl
from great_expectations.checkpoint import Checkpoint
from great_expectations.checkpoint.actions import ValidationAction
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.compatibility import pyspark
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context import AbstractDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from pyarrow import parquet

from expectations_custom import ALL, columns, rules
from expectations_custom.checks import Check
from gx import suite as suites
from gx.answers import answers_of, check_id, check_result, details_of, unjudged
from gx.verdict import Decision, Judged, decide
from pipeline.contract import Contract
from pipeline.engines import count_failing
from pipeline.failing import remove
from pipeline.records import CheckReport, CheckResult, Staged, Verdict
from pipeline.settings import Settings

log = logging.getLogger(__name__)

DATASOURCE: Final = "daygate"
ASSET: Final = "staged"
BATCH: Final = "day"
RESULT_FORMAT: Final = {"result_format": "SUMMARY", "partial_unexpected_count": 20}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """The report, with the checkpoint's own result for rendering; None when it never came back."""

    report: CheckReport
    result: CheckpointResult | None


def check(
    staged: Staged,
    *,
    settings: Settings,
    contract: Contract,
    folder: Path,
    actions: list[ValidationAction] | None = None,
    run_name: str = "check",
) -> Checked:
    """Run the checkpoint once.

    Args:
        folder: work folder; `failing.parquet` is written there.
        actions: run by Great Expectations after validation.
        run_name: ours, never taken from data (Great Expectations makes folders of it).
    """
    failing = folder / "failing.parquet"
    remove(failing)
    suite = suites.build(settings, contract, failing_rows=failing)
    data = frame(staged, contract) if staged.engine == "pandas" else _spark_frame(staged, settings, contract)
    result, error = _run(suite, data, actions or [], run_name)
    answers = [] if result is None else answers_of(result)
    results = [check_result(answer) for answer in answers if check_id(answer) is not None]
    checks = tuple(_found(kind.check, results, settings, error) for kind in ALL)
    decision = decide(
        [_judged(answer) for answer in answers], expected=[check.id for check in checks], staged_lines=staged.lines
    )
    report = _report(staged, settings, decision, checks, failing, error)
    added = tuple(check_result(answer) for answer in answers if check_id(answer) is None)
    return Checked(report=replace(report, added=added), result=result)


def frame(staged: Staged, contract: Contract) -> pd.DataFrame:
    """The staged columns the rules look at, one row a line: what the checkpoint takes as its DataFrame.

    The values stay in the parts; `expectations_custom.columns` says why and how.
    """
    parts = columns.Parts(
        paths=staged.parts,
        rows=sum(parquet.read_metadata(part).num_rows for part in staged.parts),
        digest=staged.delivery.sha256,
    )
    return columns.frame_of(parts, rules.columns(contract))


def _spark_frame(staged: Staged, settings: Settings, contract: Contract) -> Any:
    """The same as a Spark DataFrame.

    Raises:
        RuntimeError: Great Expectations was imported where Spark was not to be had, and would judge nothing.
    """
    known: Any = pyspark.SparkSession  # or a stand-in, which is false
    if not known:
        raise RuntimeError("the gate was imported without Spark")
    from pipeline.spark import frames, session  # noqa: PLC0415  # an extra

    with session.session(settings) as spark, session.failures("check", settings):
        return frames.staged_frame(spark, staged).select(*rules.columns(contract))


def checkpoint(
    context: AbstractDataContext, batch: BatchDefinition[Any], suite: ExpectationSuite, actions: list[ValidationAction]
) -> Checkpoint:
    """Suite, validation definition and checkpoint over a batch definition, added to a context."""
    definition = context.validation_definitions.add(
        ValidationDefinition(name=suites.NAME, data=batch, suite=context.suites.add(suite))
    )
    return context.checkpoints.add(
        Checkpoint(
            name=suites.NAME,
            validation_definitions=[definition],
            actions=actions,
            result_format=RESULT_FORMAT,
        )
    )


def _run(
    suite: ExpectationSuite, data: Any, actions: list[ValidationAction], run_name: str
) -> tuple[CheckpointResult | None, str | None]:
    """The checkpoint's result, or the type of what it raised: never the text, it may hold values."""
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    sources: Any = context.data_sources  # typed for one kind of frame at a time
    source = (
        sources.add_pandas(DATASOURCE)
        if isinstance(data, pd.DataFrame)
        else sources.add_spark(DATASOURCE, persist=False)
    )
    batch = source.add_dataframe_asset(ASSET).add_batch_definition_whole_dataframe(BATCH)
    try:
        result = checkpoint(context, batch, suite, actions).run(
            batch_parameters={"dataframe": data}, run_id=RunIdentifier(run_name=run_name)
        )
    except Exception as error:  # noqa: BLE001  # whatever Great Expectations raises, the day cannot be judged
        log.error("the checkpoint raised %s", type(error).__name__)  # noqa: TRY400  # a traceback may hold values
        return None, type(error).__name__
    return result, None


def _found(check: Check, answers: list[CheckResult], settings: Settings, error: str | None) -> CheckResult:
    """The check's one answer; a check that came back never or twice could not be judged."""
    mine = [answer for answer in answers if answer.id == check.id]
    if len(mine) == 1:
        return replace(mine[0], severity=settings.severity(check.id), threshold=settings.threshold(check.id))
    return unjudged(
        check.id,
        check.type,
        severity=settings.severity(check.id),
        threshold=settings.threshold(check.id),
        why=error or f"{len(mine)} results",
    )


def _judged(answer: ExpectationValidationResult) -> Judged:
    result, details = check_result(answer), details_of(answer)
    return Judged(
        name=result.id,
        check=check_id(answer),
        severity=result.severity,
        success=None if result.verdict is Verdict.INCONCLUSIVE else result.verdict is Verdict.PASS,
        lines=details["lines"] if details is not None else None,
    )


def _report(
    staged: Staged,
    settings: Settings,
    decision: Decision,
    checks: tuple[CheckResult, ...],
    failing: Path,
    error: str | None,
) -> CheckReport:
    critical = [found.id for found in checks if found.severity == "critical"]
    if not failing.exists():
        _no_failures().write_parquet(failing)
    problems = decision.problems if error is None else (f"the checkpoint raised {error}", *decision.problems)
    return CheckReport(
        verdict=decision.verdict,
        checks=checks,
        lines=staged.lines,
        failing_lines=count_failing(settings, staged.engine, failing, critical),
        failing=failing,
        problems=problems,
    )


def _no_failures() -> pl.DataFrame:
    texts = dict.fromkeys(("check", "rule", "field", "reason"), pl.String)
    return pl.DataFrame(schema={"line_no": pl.Int64, **texts})
