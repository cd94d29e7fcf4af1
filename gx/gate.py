"""Runs the one checkpoint over a staged delivery and turns its answer into a CheckReport."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import great_expectations
import pandas as pd
import polars as pl
import pyarrow as pa
from great_expectations.checkpoint import Checkpoint
from great_expectations.checkpoint.actions import ValidationAction
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.batch_definition import BatchDefinition
from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.core.expectation_validation_result import ExpectationValidationResult
from great_expectations.core.run_identifier import RunIdentifier
from great_expectations.core.validation_definition import ValidationDefinition
from great_expectations.data_context import AbstractDataContext
from great_expectations.data_context.types.base import ProgressBarsConfig
from pyarrow import parquet

from expectations_custom import ALL, rules
from gx import suite as suites
from gx.verdict import Decision, Judged, as_judged, decide, outcome
from pipeline.contract import Contract
from pipeline.records import CheckReport, CheckResult, RuleResult, Sample, Severity, Staged, Verdict
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
    failing.unlink(missing_ok=True)
    suite = suites.build(settings, contract, failing_rows=failing)
    result, error = _run(suite, frame(staged, contract), actions or [], run_name)
    answers = [] if result is None else _answers(result)
    checks = tuple(_check_result(kind.check, answers, settings, error) for kind in ALL)
    judged = [as_judged(found, lines=_lines(answers, found.id)) for found in checks if _once(answers, found.id)]
    judged += [_other(answer) for answer in answers if _check_id(answer) is None]
    decision = decide(judged, expected=[kind.check.id for kind in ALL], staged_lines=staged.lines)
    return Checked(report=_report(staged, decision, checks, failing, error), result=result)


def frame(staged: Staged, contract: Contract) -> pd.DataFrame:
    """The staged columns the rules look at, one row a line: what the checkpoint takes as its DataFrame.

    Arrow-backed, so that nothing is copied on the way to polars, and cheap to hash, because Great
    Expectations hashes every column: repeated texts are dictionary-encoded, the timestamp is an integer.
    """
    repeated = [field.name for field in contract.fields if field.kind == "string" and field.name != "event_id"]
    parts = parquet.ParquetDataset([str(part) for part in staged.parts], read_dictionary=repeated)
    table = parts.read(columns=list(rules.columns(contract))).unify_dictionaries()
    place = table.schema.get_field_index("timestamp")
    table = table.set_column(place, "timestamp", table.column(place).cast(pa.int64()))
    return table.to_pandas(types_mapper=pd.ArrowDtype)


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
    suite: ExpectationSuite, data: pd.DataFrame, actions: list[ValidationAction], run_name: str
) -> tuple[CheckpointResult | None, str | None]:
    """The checkpoint's result, or the type of what it raised: never the text, it may hold values."""
    context = great_expectations.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = (
        context.data_sources.add_pandas(DATASOURCE)
        .add_dataframe_asset(ASSET)
        .add_batch_definition_whole_dataframe(BATCH)
    )
    try:
        result = checkpoint(context, batch, suite, actions).run(
            batch_parameters={"dataframe": data}, run_id=RunIdentifier(run_name=run_name)
        )
    except Exception as error:  # noqa: BLE001  # whatever Great Expectations raises, the day cannot be judged
        log.error("the checkpoint raised %s", type(error).__name__)  # noqa: TRY400  # a traceback may hold values
        return None, type(error).__name__
    return result, None


def _answers(result: CheckpointResult) -> list[ExpectationValidationResult]:
    return [answer for validation in result.run_results.values() for answer in validation.results]


def _check_id(answer: ExpectationValidationResult) -> str | None:
    meta = answer.expectation_config.meta if answer.expectation_config else None
    found = (meta or {}).get("check")
    return found if isinstance(found, str) else None


def _raised(answer: ExpectationValidationResult) -> str | None:
    """The type of the exception an expectation met; Great Expectations reports it in two shapes."""
    info = answer.exception_info or {}
    details = [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, dict)]
    for detail in details:
        if detail.get("raised_exception"):
            return str(detail.get("exception_traceback") or "").strip().rsplit("\n", 1)[-1].split(":", 1)[0] or "Error"
    return None


def _of(answers: list[ExpectationValidationResult], check: str) -> list[ExpectationValidationResult]:
    return [answer for answer in answers if _check_id(answer) == check]


def _once(answers: list[ExpectationValidationResult], check: str) -> bool:
    return len(_of(answers, check)) == 1


def _details(answer: ExpectationValidationResult) -> dict[str, Any] | None:
    details = (answer.result or {}).get("details")
    return details if isinstance(details, dict) else None


def _lines(answers: list[ExpectationValidationResult], check: str) -> int | None:
    details = _details(_of(answers, check)[0])
    return details["lines"] if details else None


def _check_result(
    check: rules.Check, answers: list[ExpectationValidationResult], settings: Settings, error: str | None
) -> CheckResult:
    mine = _of(answers, check.id)
    details = _details(mine[0]) if len(mine) == 1 else None
    raised = error or (_raised(mine[0]) if mine else None)
    if details is None or raised:
        return CheckResult(
            id=check.id,
            type=check.type,
            severity=settings.severity(check.id),
            verdict=Verdict.INCONCLUSIVE,
            evaluated_rows=0,
            failed_rows=0,
            pass_rate=None,
            threshold=settings.threshold(check.id),
            error=f"could not be judged ({raised or 'no result'})",
        )
    return CheckResult(
        id=check.id,
        type=check.type,
        severity=settings.severity(check.id),
        verdict=outcome(bool(mine[0].success)),
        evaluated_rows=details["evaluated_rows"],
        failed_rows=details["failed_rows"],
        pass_rate=details["pass_rate"],
        threshold=details["threshold"],
        rules=tuple(
            RuleResult(id=r["id"], field=r["field"], evaluated_rows=r["evaluated_rows"], failed_rows=r["failed_rows"])
            for r in details["rules"]
        ),
        samples=tuple(Sample(**sample) for sample in details["samples"]),
    )


def _other(answer: ExpectationValidationResult) -> Judged:
    """A guard or an expectation of the user's."""
    config = answer.expectation_config
    severity: Severity = "critical"
    if config is not None and config.severity is not None and config.severity.value != "critical":
        severity = "warning"
    meta = (config.meta if config else None) or {}
    return Judged(
        name=str(meta.get("guard") or (config.type if config else "an expectation")),
        check=None,
        severity=severity,
        success=None if _raised(answer) else bool(answer.success),
    )


def _report(
    staged: Staged, decision: Decision, checks: tuple[CheckResult, ...], failing: Path, error: str | None
) -> CheckReport:
    critical = [found.id for found in checks if found.severity == "critical"]
    if not failing.exists():
        _no_failures().write_parquet(failing)
    quarantined = pl.scan_parquet(failing).filter(pl.col("check").is_in(critical)).select(pl.col("line_no").n_unique())
    problems = decision.problems if error is None else (f"the checkpoint raised {error}", *decision.problems)
    return CheckReport(
        verdict=decision.verdict,
        checks=checks,
        lines=staged.lines,
        failing_lines=quarantined.collect().item(),
        failing=failing,
        problems=problems,
    )


def _no_failures() -> pl.DataFrame:
    texts = dict.fromkeys(("check", "rule", "field", "reason"), pl.String)
    return pl.DataFrame(schema={"line_no": pl.Int64, **texts})
