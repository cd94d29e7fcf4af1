"""The suite, built from code and settings: two guards and the seven checks.

Great Expectations does not save default field values, so every field is set explicitly here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from great_expectations.core.expectation_suite import ExpectationSuite
from great_expectations.expectations.core import ExpectTableColumnsToMatchSet, ExpectTableRowCountToBeBetween
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations_custom import ALL, rules
from expectations_custom.checks import Check
from pipeline.contract import Contract
from pipeline.errors import SettingsError
from pipeline.settings import Settings
from pipeline.words import Words

NAME: Final = "daygate"
_ENGLISH: Final = Words("en")


def build(settings: Settings, contract: Contract, *, failing_rows: Path | None = None) -> ExpectationSuite:
    """The suite for one checkpoint run.

    Args:
        failing_rows: where the metric writes every failing line; nowhere when None.

    Raises:
        SettingsError: `settings.expectations` cannot be loaded whole, or a rule floor is of no rule.
    """
    _know_floors(settings, contract)
    own = [_check(check, settings, failing_rows) for check in ALL]
    guards = _guards(contract, Words(settings.lang))
    suite = ExpectationSuite(name=NAME, expectations=[*guards, *own, *_added(settings.expectations)])
    expected = 2 + len(ALL) + _count(settings.expectations)
    if len(suite.expectations) != expected:
        raise SettingsError(f"The suite has {len(suite.expectations)} expectations instead of {expected}.")
    return suite


def _guards(contract: Contract, say: Words) -> list[Expectation]:
    """An empty batch or a missing column must never pass.

    Pages show the description, in their language; what is kept names a guard in English.
    """
    return [
        ExpectTableRowCountToBeBetween(
            min_value=1, max_value=None, description=say("guard.lines"), meta={"guard": _ENGLISH("guard.lines")}
        ),
        ExpectTableColumnsToMatchSet(
            column_set=list(rules.columns(contract)),
            exact_match=False,
            description=say("guard.columns"),
            meta={"guard": _ENGLISH("guard.columns")},
        ),
    ]


def _know_floors(settings: Settings, contract: Contract) -> None:
    """A misspelt rule must not silently keep the common floor."""
    known = {f"{rule.check}/{rule.id}" for rule in rules.table(contract).rules}
    for name in settings.rule_floors:
        if name not in known:
            raise SettingsError(f"Setting rule_floors: {name!r} is no rule of {contract.source}.", hint="daygate rules")


def _check(expectation: type[Any], settings: Settings, failing_rows: Path | None) -> Expectation:
    check: Check = expectation.check
    built: Expectation = expectation(
        mostly=settings.threshold(check.id),
        rule_floor=settings.rule_floor,
        rule_floor_lines=settings.rule_floor_lines,
        rule_floors=settings.floors_of(check.id),
        contract=str(settings.contract) if settings.contract else None,
        failing_rows=str(failing_rows) if failing_rows else None,
        sample_lines=settings.sample_lines,
        severity=FailureSeverity(settings.severity(check.id)),
        meta={"check": check.id, "type": check.type},
    )
    return built


def _document(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        document["expectations"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path}: is not a Great Expectations suite ({type(error).__name__}).") from error
    return document  # type: ignore[no-any-return]


def _count(path: Path | None) -> int:
    return len(_document(path)["expectations"]) if path else 0


def _added(path: Path | None) -> list[Expectation]:
    """A user's own expectations. Great Expectations drops unknown ones silently; `build` counts them."""
    if path is None:
        return []
    loaded = ExpectationSuite(name="added", expectations=_document(path)["expectations"])
    return list(loaded.expectations)
