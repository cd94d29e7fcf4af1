"""The JSON of `daygate check`: stable keys in a fixed order, described by `schemas/check_output.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from pipeline.records import CheckReport, CheckResult, Verdict

Document = dict[str, object]


def check_document(
    report: CheckReport, *, version: str, file: str, sha256: str, day: date, engine: str, seconds: float
) -> Document:
    """One checked file as a JSON-ready document; `seconds` is rounded to milliseconds."""
    document: Document = {
        "daygate": version,
        "file": file,
        "sha256": sha256,
        "day": day.isoformat(),
        "engine": engine,
        "verdict": report.verdict.value,
        "lines": report.lines,
        "good_lines": report.good_lines,
        "failing_lines": report.failing_lines,
        "seconds": round(seconds, 3),
        "checks": [_check(check) for check in report.checks],
    }
    added = [one for one in report.added if one.verdict is not Verdict.PASS]
    if added:
        document["added"] = [{"id": one.id, "severity": one.severity, "verdict": one.verdict.value} for one in added]
    return document


def _check(check: CheckResult) -> Document:
    return {
        "id": check.id,
        "type": check.type,
        "verdict": check.verdict.value,
        "severity": check.severity,
        "evaluated_rows": check.evaluated_rows,
        "failed_rows": check.failed_rows,
        "pass_rate": check.pass_rate,
        "threshold": check.threshold,
        "rules": [
            {"id": r.id, "field": r.field, "evaluated_rows": r.evaluated_rows, "failed_rows": r.failed_rows}
            for r in check.rules
        ],
        "samples": [
            {"line": s.line, "event_id": s.event_id, "rule": s.rule, "field": s.field, "reason": s.reason}
            for s in check.samples
        ],
    }


def dumps(documents: Sequence[Document], *, several: bool) -> str:
    r"""One document as an object, several as an array; pure ASCII.

    Everything beyond printable ASCII is written as `\uXXXX`, so that no value can act on a terminal and
    no encoding can break the document.
    """
    text = json.dumps(documents if several else documents[0], indent=2, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def file_name(name: str) -> str:
    r"""A file name as JSON can carry it: bytes that are no UTF-8 as the text `\udcNN`."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
