"""`table.daygate_outcomes`: the one metric that all seven expectations read.

Great Expectations resolves equal metric configurations once per batch, so the seven share a single
evaluation of the rule table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import ExecutionEngine, PandasExecutionEngine, SparkDFExecutionEngine
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from expectations_custom import columns, rules
from expectations_custom.outcomes import Outcomes, evaluate
from pipeline import contract
from pipeline.contract import Contract

METRIC = "table.daygate_outcomes"


class DaygateOutcomes(TableMetricProvider):
    """Counts per check and rule, samples, and (when asked) a Parquet file of every failing line."""

    metric_name = METRIC
    value_keys = ("contract", "failing_rows", "sample_lines")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls,  # noqa: N805  # the decorator makes it a class method
        execution_engine: PandasExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],  # noqa: ARG002  # Great Expectations' signature
        runtime_configuration: dict[str, Any],  # noqa: ARG002
    ) -> Outcomes:
        frame, agreed = _asked(execution_engine, metric_domain_kwargs, metric_value_kwargs)
        return evaluate(columns.scan(frame, rules.columns(agreed)), rules.table(agreed), **_wanted(metric_value_kwargs))

    @metric_value(engine=SparkDFExecutionEngine)
    def _spark(
        cls,  # noqa: N805
        execution_engine: SparkDFExecutionEngine,
        metric_domain_kwargs: dict[str, Any],
        metric_value_kwargs: dict[str, Any],
        metrics: dict[str, Any],  # noqa: ARG002
        runtime_configuration: dict[str, Any],  # noqa: ARG002
    ) -> Outcomes:
        from expectations_custom import outcomes_spark  # noqa: PLC0415  # Spark is an extra

        frame, agreed = _asked(execution_engine, metric_domain_kwargs, metric_value_kwargs)
        return outcomes_spark.evaluate(
            frame.select(*rules.columns(agreed)), rules.table(agreed), **_wanted(metric_value_kwargs)
        )


def _asked(engine: ExecutionEngine[Any], domain: dict[str, Any], values: dict[str, Any]) -> tuple[Any, Contract]:
    """The engine's frame of the batch, and the contract it is judged by."""
    frame, _, _ = engine.get_compute_domain(domain, domain_type=MetricDomainTypes.TABLE)
    source = values.get("contract")
    return frame, contract.load(Path(source) if source else None)


def _wanted(values: dict[str, Any]) -> dict[str, Any]:
    """What the caller wants beside the counts."""
    failing = values.get("failing_rows")
    return {"sample_lines": values.get("sample_lines") or 0, "failing": Path(failing) if failing else None}
