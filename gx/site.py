"""The Data Docs page of one run, a folder of its own: what Great Expectations renders, in our layout.

Nothing here can change a verdict: whatever goes wrong is a `DocsError`, and the caller decides what that means.
"""

from __future__ import annotations

import copy
import logging
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Final

import great_expectations
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

from expectations_custom.checks import CHECKS
from expectations_custom.renderers import raised_type
from gx.answers import check_id, check_result
from gx.check_lines import CheckLine, line
from gx.look import STATES
from gx.published import INDEX, DocsError, copy_assets, why
from gx.views import PageView
from pipeline.files import fresh_folder, replace_file
from pipeline.records import Release, Verdict
from pipeline.words import FAILED, WARNED, Language, speaking, spoken

_ORDER: Final = {check.id: place for place, check in enumerate(CHECKS)}
#: A delivery's name that can be typed into a shell as it is shown.
_PLAIN_NAME: Final = re.compile(r"[^\W_][\w .@+=/-]*")
#: Great Expectations reports what a renderer raised to this logger, with values in the text, and goes on.
_RENDER_LOGGERS: Final = (
    "great_expectations.render.renderer.content_block.content_block",
    "great_expectations.render.renderer.content_block.validation_results_table_content_block",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class PageFacts:
    """What a page says beside the validation result."""

    day: date
    verdict: Verdict
    #: None for a check outside the ledger (`daygate check`).
    run_id: str | None
    #: As the delivery came; hostile text.
    delivery_name: str
    sha256: str
    engine: str
    lines: int
    good: int
    failing: int
    contract_sha256: str
    generated_at: datetime
    #: Why the verdict is INCONCLUSIVE.
    problems: tuple[str, ...] = ()
    #: A person's decision to publish the good lines although the day failed; its words are shown as they are.
    release: Release | None = None
    #: Guards and added expectations of which only name and verdict are known, as for a page made from the ledger.
    added: tuple[tuple[str, Verdict], ...] = ()


def render_page(
    result: CheckpointResult | ExpectationSuiteValidationResult | None,
    *,
    facts: PageFacts,
    folder: Path,
    language: Language = "en",
) -> Path:
    """Render the page of one run.

    Args:
        result: what Great Expectations returned; None when the checkpoint itself raised.
        facts: what stands around it.
        folder: becomes the page folder (`index.html` and `assets/`); replaced when it exists.
        language: of everything that is not data.

    Returns:
        The page's `index.html`.

    Raises:
        DocsError: the page could not be rendered or written.
    """
    try:
        with speaking(language):
            page = page_of(result, facts)
        with fresh_folder(folder) as fresh:
            copy_assets(fresh)
            replace_file(fresh / INDEX, page.encode())
    except Exception as error:
        # Whatever a renderer of some expectation raises; its text may hold values from events.
        raise DocsError(
            f"The Data Docs page of {facts.day} could not be made ({why(error)}).", hint="The verdict stands."
        ) from error
    return folder / INDEX


def check_lines(results: Sequence[ExpectationValidationResult]) -> list[CheckLine]:
    """The summary lines of the checks among some results, in their order."""
    return [line for result in results if (line := _check_line(result)) is not None]


def page_of(result: CheckpointResult | ExpectationSuiteValidationResult | None, facts: PageFacts) -> str:
    """The page of one run as text, in the language that is being spoken."""
    validation = _prepared(result)
    results = validation.results if validation is not None else []
    checks = check_lines(results)
    with _counting_failures() as failures:
        document = ValidationResultsPageRenderer().render(validation) if validation is not None else None
    problems = [spoken().again(problem) for problem in facts.problems]
    if failures:
        problems.append(spoken()("run.parts_missing", count=len(failures)))
    return PageView().render(
        document,
        facts=facts,
        checks=checks,
        problems=problems,
        state=STATES[facts.verdict],
        added=[(spoken().again(name), STATES[verdict]) for name, verdict in facts.added],
        sentence=_sentence(facts, checks),
        command=_command(facts) if facts.failing or any(line.failed for line in checks) else None,
        front=None if facts.run_id is None else f"../../{INDEX}",
        home="../../",
        gx_version=great_expectations.__version__,
    )


def _prepared(
    result: CheckpointResult | ExpectationSuiteValidationResult | None,
) -> ExpectationSuiteValidationResult | None:
    """A copy to render: the checks in their order, exceptions reduced to their type."""
    if isinstance(result, CheckpointResult):
        result = next(iter(result.run_results.values()))
    if result is None:
        return None
    prepared = copy.copy(result)
    ordered = sorted(result.results, key=lambda answer: _ORDER.get(check_id(answer) or "", len(_ORDER)))
    prepared.results = [_without_traceback(answer) for answer in ordered]
    return prepared


def _without_traceback(answer: ExpectationValidationResult) -> ExpectationValidationResult:
    raised = raised_type(answer.exception_info)
    if raised is None:
        return answer
    cleaned = copy.copy(answer)
    cleaned.exception_info = {"raised_exception": True, "exception_message": raised, "exception_traceback": raised}
    return cleaned


def _check_line(answer: ExpectationValidationResult) -> CheckLine | None:
    check = check_id(answer)
    if check is None or answer.expectation_config is None:
        return None
    record = check_result(answer)
    if record.verdict is Verdict.INCONCLUSIVE:
        record = replace(record, threshold=getattr(answer.expectation_config.to_domain_obj(), "mostly", 1))
    return line(record, href=f"#check-{check}")


def _sentence(facts: PageFacts, checks: Sequence[CheckLine]) -> str:
    """The verdict as a person would say it; a check outside the ledger decides about no day."""
    say, alone = spoken(), facts.run_id is None
    if facts.verdict is Verdict.INCONCLUSIVE:
        return say("run.would_unjudged" if alone else "day.unjudged")
    if facts.verdict is Verdict.FAIL:
        failed = ", ".join(line.title for line in checks if line.state == FAILED) or say("day.other_failed")
        said = "run.would_fail" if alone else "day.failed" if facts.release is None else "day.released"
        return say(said, checks=failed)
    warned = ", ".join(line.title for line in checks if line.state == WARNED)
    if warned:
        sentence = say("run.would_warn" if alone else "day.warned", checks=warned)
    else:
        sentence = say("run.would_pass" if alone else "day.passed")
    return f"{sentence} {say('day.stay_out', count=facts.failing)}" if facts.failing else sentence


def _command(facts: PageFacts) -> str:
    """What to type to get every failing line; a name that is no plain file name is left to the reader."""
    plain = _PLAIN_NAME.fullmatch(facts.delivery_name)
    name = shlex.quote(facts.delivery_name) if plain else "FILE"
    return f"daygate check {name} --date {facts.day} --failed-rows failing.jsonl"


@contextmanager
def _counting_failures() -> Iterator[list[None]]:
    """Counts what renderers raised and keeps its text, which may hold values from events, out of the log."""
    failures: list[None] = []

    def swallow(_: logging.LogRecord) -> bool:
        failures.append(None)
        return False

    loggers = [logging.getLogger(name) for name in _RENDER_LOGGERS]
    for logger in loggers:
        logger.addFilter(swallow)
    try:
        yield failures
    finally:
        for logger in loggers:
            logger.removeFilter(swallow)
