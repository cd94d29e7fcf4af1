"""Data Docs pages as folders, and the published site: `index.html` and one folder per run.

    page folder           site folder
    index.html            index.html          all days, newest first
    assets/               assets/
                          runs/<run_id>/      page folders as they were rendered

A page is made in a fresh folder and swapped in whole; the index is replaced in one rename. Old runs
are never touched, so publishing costs the same however many there are. Nothing here can change a
verdict: whatever goes wrong is a `DocsError`, and the caller decides what that means.
"""

from __future__ import annotations

import copy
import logging
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

import great_expectations
from great_expectations.checkpoint.checkpoint import CheckpointResult
from great_expectations.core.expectation_validation_result import (
    ExpectationSuiteValidationResult,
    ExpectationValidationResult,
)
from great_expectations.expectations.registry import get_expectation_impl
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

from expectations_custom.checks import CHECKS
from expectations_custom.renderers import FAILED, NOT_APPLICABLE, NOT_JUDGED, PASSED, WARNED, raised_type, state
from gx.answers import check_id, details_of
from gx.views import ASSETS, PageView
from pipeline.errors import DaygateError
from pipeline.files import fresh_folder, replace_file, sync_folder
from pipeline.records import DaySummary, Release, Verdict
from pipeline.wording import percent, share

INDEX: Final = "index.html"
_ORDER: Final = {check.id: place for place, check in enumerate(CHECKS)}
_STATES: Final = {Verdict.PASS: PASSED, Verdict.FAIL: FAILED, Verdict.INCONCLUSIVE: ("dg-error", "INCONCLUSIVE")}
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
#: A delivery's name that can be typed into a shell as it is shown.
_PLAIN_NAME: Final = re.compile(r"[^\W_][\w .@+=/-]*")
#: Great Expectations reports what a renderer raised to this logger, with values in the text, and goes on.
_RENDER_LOGGERS: Final = (
    "great_expectations.render.renderer.content_block.content_block",
    "great_expectations.render.renderer.content_block.validation_results_table_content_block",
)


class DocsError(DaygateError):
    """A page or the site could not be made; no verdict depends on it."""


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


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckLine:
    """A check as one line of the summary."""

    id: str
    title: str
    #: CSS class and word.
    state: tuple[str, str]
    #: Share of good lines as text; empty when there were none to look at.
    rate: str
    needed: str
    failed: int
    evaluated: int
    worst: str | None
    worst_failed: int
    #: Failing share over the share that is allowed; None when nothing was looked at.
    allowance_used: float | None

    @property
    def judged(self) -> bool:
        """Whether its figures mean anything."""
        return self.state != NOT_JUDGED

    @property
    def good(self) -> bool:
        """Whether it stands in nobody's way."""
        return self.state in (PASSED, NOT_APPLICABLE)


def render_page(
    result: CheckpointResult | ExpectationSuiteValidationResult | None, *, facts: PageFacts, folder: Path
) -> Path:
    """Render the page of one run.

    Args:
        result: what Great Expectations returned; None when the checkpoint itself raised.
        facts: what stands around it.
        folder: becomes the page folder (`index.html` and `assets/`); replaced when it exists.

    Returns:
        The page's `index.html`.

    Raises:
        DocsError: the page could not be rendered or written.
    """
    try:
        page = _page(result, facts)
        with fresh_folder(folder) as fresh:
            _copy_assets(fresh)
            replace_file(fresh / INDEX, page.encode())
    except Exception as error:
        # Whatever a renderer of some expectation raises; its text may hold values from events.
        raise DocsError(
            f"The Data Docs page of {facts.day} could not be made ({_why(error)}).", hint="The verdict stands."
        ) from error
    return folder / INDEX


def publish_page(page_folder: Path, site_folder: Path, run_id: str) -> Path:
    """Copy a rendered page into the site.

    Args:
        page_folder: made by `render_page`.
        site_folder: made when it is not there.
        run_id: ours; names the folder below `runs/`.

    Returns:
        The published `index.html`.

    Raises:
        DocsError: the run id is no folder name, or the page could not be copied.
    """
    if not _RUN_ID.fullmatch(run_id):
        raise DocsError("The run id cannot name a folder of the site.")
    target = site_folder / "runs" / run_id
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with fresh_folder(target) as fresh:
            shutil.copytree(page_folder, fresh, dirs_exist_ok=True)
            sync_folder(fresh)
    except OSError as error:
        raise DocsError(f"The page of run {run_id} could not be published to {site_folder} ({_why(error)}).") from error
    return target / INDEX


def publish_index(site_folder: Path, days: Sequence[DaySummary], *, generated_at: datetime) -> Path:
    """Replace the list of days.

    Args:
        days: runs to list, in any order; empty before the first run.
        generated_at: shown below the list.

    Returns:
        The site's `index.html`.

    Raises:
        DocsError: the site could not be written.
    """
    newest_first = sorted(days, key=lambda run: (run.day, run.attempt, run.started_at), reverse=True)
    rows = [_row(run, site_folder) for run in newest_first]
    try:
        site_folder.mkdir(parents=True, exist_ok=True)
        page = PageView().render(None, "index.html", days=rows, generated_at=generated_at)
        _copy_assets(site_folder)
        replace_file(site_folder / INDEX, page.encode())
    except OSError as error:
        raise DocsError(f"The index in {site_folder} could not be written ({_why(error)}).") from error
    return site_folder / INDEX


def check_lines(results: Sequence[ExpectationValidationResult]) -> list[CheckLine]:
    """The summary lines of the checks among some results, in their order."""
    return [line for result in results if (line := _check_line(result)) is not None]


def _page(result: CheckpointResult | ExpectationSuiteValidationResult | None, facts: PageFacts) -> str:
    validation = _prepared(result)
    results = validation.results if validation is not None else []
    checks = check_lines(results)
    with _counting_failures() as failures:
        document = ValidationResultsPageRenderer().render(validation) if validation is not None else None
    problems = [*facts.problems]
    if failures:
        problems.append(f"{len(failures)} parts of this page could not be rendered.")
    return PageView().render(
        document,
        facts=facts,
        checks=checks,
        problems=problems,
        state=_STATES[facts.verdict],
        sentence=_sentence(facts, checks),
        command=_command(facts) if facts.failing or any(line.failed for line in checks) else None,
        front=None if facts.run_id is None else f"../../{INDEX}",
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
    details = details_of(answer)
    judged = state(answer)
    title = getattr(get_expectation_impl(answer.expectation_config.type), "title", check)
    if judged == NOT_JUDGED or details is None:
        needed = share(getattr(answer.expectation_config.to_domain_obj(), "mostly", 1))
        return CheckLine(
            id=check, title=title, state=NOT_JUDGED, rate="", needed=needed, failed=0, evaluated=0, worst=None,
            worst_failed=0, allowance_used=None,
        )  # fmt: skip
    failed, evaluated = details["failed_rows"], details["evaluated_rows"]
    worst = max(details["rules"], key=lambda rule: rule["failed_rows"], default=None)
    broken = worst if worst is not None and worst["failed_rows"] else None
    return CheckLine(
        id=check,
        title=title,
        state=judged,
        rate=percent(evaluated - failed, evaluated),
        needed=share(details["threshold"]),
        failed=failed,
        evaluated=evaluated,
        worst=broken["id"] if broken else None,
        worst_failed=broken["failed_rows"] if broken else 0,
        allowance_used=_allowance(failed, evaluated, details["threshold"]),
    )


def _allowance(failed: int, evaluated: int, threshold: float) -> float | None:
    if evaluated == 0:
        return None
    allowed = (1 - threshold) * evaluated
    return failed / allowed if allowed else 2.0 * bool(failed)


def _sentence(facts: PageFacts, checks: Sequence[CheckLine]) -> str:
    """The verdict as a person would say it; a check outside the ledger decides about no day."""
    shut = "The gate stays closed and nothing of this day is published."
    if facts.run_id is None:
        shut = "The gate would stay closed."
    if facts.release is not None:
        shut = "A person released the day: its good lines are published."
    if facts.verdict is Verdict.INCONCLUSIVE:
        return f"This day could not be judged. {shut}"
    if facts.verdict is Verdict.FAIL:
        failed = ", ".join(line.title for line in checks if line.state == FAILED)
        return f"{failed or 'An expectation that was added'} failed. {shut}"
    warned = ", ".join(line.title for line in checks if line.state == WARNED)
    opens = "the gate would open" if facts.run_id is None else "the gate is open"
    said = f"No check blocks: {opens}, with a warning: {warned}." if warned else f"Every check passed; {opens}."
    if facts.failing:
        said += f" {facts.failing:,} failing line{'s stay' if facts.failing > 1 else ' stays'} out."
    return said


def _command(facts: PageFacts) -> str:
    """What to type to get every failing line; a name that is no plain file name is left to the reader."""
    plain = _PLAIN_NAME.fullmatch(facts.delivery_name)
    name = shlex.quote(facts.delivery_name) if plain else "FILE"
    return f"daygate check {name} --date {facts.day} --failed-rows failing.jsonl"


def _row(run: DaySummary, site_folder: Path) -> dict[str, Any]:
    href = f"runs/{run.run_id}/{INDEX}"
    known = _RUN_ID.fullmatch(run.run_id) is not None and (site_folder / href).is_file()
    return {
        "day": run.day,
        "weekday": f"{run.day:%a}",
        "href": href if known else None,
        "state": ("dg-none", "NO VERDICT") if run.verdict is None else _STATES[run.verdict],
        "status": "superseded" if run.status == "published" and not run.is_current else run.outcome,
        "released_by": run.released_by,
        "reason": run.release_reason,
        "released_at": run.finished_at,
        "lines": run.lines,
        "loaded": run.loaded,
        "quarantined": run.quarantined,
        "users": run.unique_users,
        "purchases": run.purchases,
        "revenue": _won(run.revenue),
    }


def _won(exact: str) -> str:
    """An exact amount with thousands separators; its decimals only when there are any."""
    whole, _, decimals = exact.partition(".")
    grouped = f"{int(whole):,}" if whole.lstrip("-").isdigit() else whole
    return f"{grouped}.{decimals}" if decimals.strip("0") else grouped


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


def _copy_assets(folder: Path) -> None:
    (folder / "assets").mkdir(exist_ok=True)
    for asset in sorted(ASSETS.iterdir()):
        replace_file(folder / "assets" / asset.name, asset.read_bytes())


def _why(error: BaseException) -> str:
    """The reason of an operating system error, or only the type: other texts may hold values."""
    return str(error.strerror) if isinstance(error, OSError) and error.strerror else type(error).__name__
