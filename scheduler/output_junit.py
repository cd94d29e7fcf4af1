"""The JUnit XML of `daygate check`: one suite per file, one test case per check, described by `schemas/junit.xsd`.

A check of severity warning that fails and a check that looked at nothing are skipped, not failed: what
a build server shows as red is what blocks. The first case of every suite is the file itself: an error
when it was refused or could not be judged, a failure when something else than the seven said FAIL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from xml.etree import ElementTree as ET

from pipeline.errors import DaygateError, RefusedFile
from pipeline.records import CheckReport, CheckResult, Verdict
from pipeline.wording import visible
from scheduler.output import Look
from scheduler.report_text import counts, detail, word_of

#: The case that stands for the file as a whole.
FILE_CASE: Final = "file"
_LONGEST: Final = 1000
_PLAIN: Final = Look()


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What ends a test case other than well; none of the three means it passed."""

    #: error, failure or skipped.
    kind: str
    #: A stable word for scripts; a skipped case has none.
    type: str = ""
    message: str
    text: str = ""


Case = tuple[str, Outcome | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """One file. `file` is hostile text; `seconds` were spent on it."""

    file: str
    began: datetime
    seconds: float
    properties: tuple[tuple[str, str], ...]
    cases: tuple[Case, ...]
    said: str = ""


def checked(
    report: CheckReport,
    *,
    file: str,
    sha256: str,
    day: date,
    engine: str,
    began: datetime,
    seconds: float,
    samples: int,
) -> Suite:
    """The suite of a file that was checked, with at most `samples` failing lines per rule."""
    properties = {
        "day": day.isoformat(),
        "engine": engine,
        "sha256": sha256,
        "verdict": report.verdict.value,
        "lines": str(report.lines),
        "good_lines": str(report.good_lines),
        "failing_lines": str(report.failing_lines),
    }
    cases = [(check.id, _of_check(check, samples)) for check in report.checks]
    return Suite(
        file=file,
        began=began,
        seconds=seconds,
        properties=tuple(properties.items()),
        cases=((FILE_CASE, _of_file(report, [outcome for _, outcome in cases])), *cases),
        said=f"{report.verdict.value}: {counts(report, seconds)}",
    )


def stopped(error: DaygateError, *, file: str, day: date, began: datetime, seconds: float) -> Suite:
    """The suite of a file that was refused, or whose check did not come to an end."""
    reason = error.reason if isinstance(error, RefusedFile) else "not_checked"
    outcome = Outcome(kind="error", type=reason, message=error.message, text=error.hint)
    return Suite(
        file=file,
        began=began,
        seconds=seconds,
        properties=(("day", day.isoformat()),),
        cases=((FILE_CASE, outcome),),
        said=error.message,
    )


def _of_file(report: CheckReport, of_checks: Sequence[Outcome | None]) -> Outcome | None:
    if report.problems:
        problems = "\n".join(visible(problem, limit=_LONGEST) for problem in report.problems)
        return Outcome(kind="error", type="inconclusive", message="The file could not be judged.", text=problems)
    told = any(outcome is not None and outcome.kind != "skipped" for outcome in of_checks)
    if report.verdict is Verdict.PASS or told:
        return None
    names = ", ".join(visible(one.id) for one in report.broken)
    return Outcome(kind="failure", type="verdict", message=f"{report.verdict.value}: {names}")


def _of_check(check: CheckResult, samples: int) -> Outcome | None:
    word = word_of(check)
    if word == Verdict.PASS.value:
        return None
    if check.verdict is Verdict.PASS:
        return Outcome(kind="skipped", message=f"{word}: it looks at none of the lines")
    head, *evidence = detail(check, samples=samples, look=_PLAIN)
    message = head.split(": ", 1)[-1]
    if check.verdict is Verdict.INCONCLUSIVE:
        return Outcome(kind="error", type="inconclusive", message=message, text="\n".join(evidence))
    if check.severity == "warning":
        return Outcome(kind="skipped", message=f"warning, does not block: {message}", text="\n".join(evidence))
    return Outcome(kind="failure", type=check.type, message=message, text="\n".join(evidence))


def dumps(suites: Sequence[Suite]) -> str:
    """The document; pure ASCII, so that no value can act on a terminal and no encoding can break it."""
    root = ET.Element("testsuites")
    for number, suite in enumerate(suites):
        root.append(_suite(suite, number))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="us-ascii", xml_declaration=True)
    return document.decode("ascii")


def _suite(suite: Suite, number: int) -> ET.Element:
    kinds = [outcome.kind for _, outcome in suite.cases if outcome is not None]
    made = ET.Element(
        "testsuite",
        {
            "id": str(number),
            "package": "daygate",
            "name": _inert(suite.file),
            "timestamp": suite.began.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "tests": str(len(suite.cases)),
            "failures": str(kinds.count("failure")),
            "errors": str(kinds.count("error")),
            "skipped": str(kinds.count("skipped")),
            "time": f"{suite.seconds:.3f}",
        },
    )
    properties = ET.SubElement(made, "properties")
    for name, value in suite.properties:
        ET.SubElement(properties, "property", {"name": name, "value": _inert(value)})
    for place, (name, outcome) in enumerate(suite.cases):
        # All checks come out of one pass over the file: the time stands at the file.
        time = "0.000" if place else f"{suite.seconds:.3f}"
        case = ET.SubElement(made, "testcase", {"classname": _inert(suite.file), "name": _inert(name), "time": time})
        if outcome is not None:
            case.append(_outcome(outcome))
    ET.SubElement(made, "system-out").text = _inert(suite.said)
    ET.SubElement(made, "system-err")
    return made


def _outcome(outcome: Outcome) -> ET.Element:
    attributes = {"message": _inert(outcome.message)} | ({"type": _inert(outcome.type)} if outcome.type else {})
    made = ET.Element(outcome.kind, attributes)
    if outcome.text:
        made.text = "\n" + "\n".join(map(_inert, outcome.text.split("\n"))) + "\n"
    return made


def _inert(text: str) -> str:
    """Text without what XML cannot hold (controls, surrogates, noncharacters), each shown as its escape."""
    return visible(text, limit=_LONGEST)
