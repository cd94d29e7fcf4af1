"""`table.daygate_outcomes`: the one metric that all seven expectations read.

Great Expectations resolves equal metric configurations once per batch, so the seven share a single
evaluation of the rule table.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from great_expectations.core.metric_domain_types import MetricDomainTypes
from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from expectations_custom import columns, rules
from expectations_custom.outcomes import Outcomes, evaluate
from pipeline import contract

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
        frame, _, _ = execution_engine.get_compute_domain(metric_domain_kwargs, domain_type=MetricDomainTypes.TABLE)
        source = metric_value_kwargs.get("contract")
        failing = metric_value_kwargs.get("failing_rows")
        agreed = contract.load(Path(source) if source else None)
        return evaluate(
            columns.scan(frame, rules.columns(agreed)),
            rules.table(agreed),
            sample_lines=metric_value_kwargs.get("sample_lines") or 0,
            failing=Path(failing) if failing else None,
        )
