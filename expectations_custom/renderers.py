"""How a check looks in Data Docs: what it demands, what was found, rules worst first, sample lines.

The mixin overrides Great Expectations' own renderer methods by name, so that its page and suite
renderers pick these up for every class that inherits it. It reads the configuration and
`result.result["details"]` only.

Every value is a parameter of a string template, never part of one and never a bare table cell:
Great Expectations' stock view escapes nothing else. Texts of exceptions can hold values from
events, so only the type of an exception is shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar, Final

from great_expectations.core import ExpectationValidationResult
from great_expectations.expectations.expectation_configuration import (
    ExpectationConfiguration,
)
from great_expectations.render.components import (
    CollapseContent,
    LegacyDiagnosticRendererType,
    LegacyRendererType,
    RenderedComponentContent,
    RenderedHeaderContent,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer.renderer import renderer

from pipeline.wording import share
from pipeline.words import FAILED, NOT_APPLICABLE, NOT_JUDGED, PASSED, WARNED, spoken

#: Longest text from an event that is shown.
_SHOWN: Final = 360
#: First unindented `Name:` or `Name` line of a traceback: the type that was raised first. What an
#: exception says follows its type, so no text of an event can come before it.
_TYPE_LINE: Final = re.compile(r"^([A-Za-z_][A-Za-z0-9_.]{0,80})(?::|$)", re.MULTILINE)


def raised_type(exception_info: Mapping[str, Any] | None) -> str | None:
    """Name of the exception type in a result's `exception_info` (flat or by metric); None when nothing was raised."""
    info = exception_info or {}
    flat = [info] if "raised_exception" in info else [v for v in info.values() if isinstance(v, Mapping)]
    raised = next((i for i in flat if i.get("raised_exception")), None)
    if raised is None:
        return None
    found = _TYPE_LINE.search(str(raised.get("exception_traceback") or ""))
    return found[1].rsplit(".", 1)[-1] if found else "an error without a traceback"


def text(
    value: object, *classes: str, tag: str | None = None, name: str | None = None
) -> RenderedStringTemplateContent:
    """A value as an escaped parameter; `classes` and `name` (an anchor) are ours, never data."""
    template: dict[str, Any] = {
        "template": "$value",
        "params": {"value": _short(value)},
    }
    styling: dict[str, Any] = {}
    if classes:
        styling["classes"] = list(classes)
    if name is not None:
        styling["attributes"] = {"id": name}
    if styling:
        template["styling"] = styling
    if tag is not None:
        template["tag"] = tag
    return RenderedStringTemplateContent(
        content_block_type="string_template",
        string_template=template,
        styling={"classes": list(classes)},
    )


def number(value: int) -> RenderedStringTemplateContent:
    """A count with thousands separators, aligned to the right."""
    return text(f"{value:,}", "dg-number")


def state(result: ExpectationValidationResult) -> tuple[str, str]:
    """CSS class and word of what one check found."""
    details = _details(result)
    if details is None:
        return NOT_JUDGED
    if not result.success:
        return WARNED if details["severity"] == "warning" else FAILED
    return NOT_APPLICABLE if details["evaluated_rows"] == 0 else PASSED


class CheckRenderers:
    """Mixin for the seven check expectations; put it before the expectation's base class."""

    title: ClassVar[str]
    says: ClassVar[str]

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    def _prescriptive_renderer(
        cls,
        configuration: ExpectationConfiguration | None = None,
        result: ExpectationValidationResult | None = None,
        **_: Any,
    ) -> list[RenderedStringTemplateContent]:
        """What the check demands; also the line of the suite page."""
        configuration = configuration or (result.expectation_config if result is not None else None)
        says = text(_own(cls, "says"), "dg-says")
        return [says] if configuration is None else [says, _demand(configuration)]

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.STATUS_ICON)
    def _diagnostic_status_icon_renderer(
        cls,
        result: ExpectationValidationResult | None = None,
        **_: Any,
    ) -> RenderedHeaderContent:
        """Title of the check, an anchor to link to, and its state as a word."""
        css, word = state(result) if result is not None else NOT_JUDGED
        meta = (result.expectation_config.meta or {}) if result is not None and result.expectation_config else {}
        details = _details(result) if result is not None else None
        check = details["check"] if details is not None else meta.get("check")
        anchor = None if check is None else f"check-{check}"
        return RenderedHeaderContent(
            header=text(_own(cls, "title"), tag="strong", name=anchor),
            subheader=text(word, "dg-state", css),
        )

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls,
        result: ExpectationValidationResult | None = None,
        **_: Any,
    ) -> RenderedStringTemplateContent:
        """Share of good lines."""
        details = _details(result) if result is not None else None
        if result is None or details is None:
            return text(spoken()("check.could_not"))
        if details["evaluated_rows"] == 0:
            return text(spoken()("check.not_applicable"))
        return text(result.result.get("observed_value", "--"))

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_STATEMENT)
    def _diagnostic_unexpected_statement_renderer(
        cls,
        result: ExpectationValidationResult | None = None,
        **_: Any,
    ) -> list[RenderedStringTemplateContent]:
        """How many lines fail, why a high share still fails, or that it could not be judged."""
        if result is None:
            return []
        details = _details(result)
        say = spoken()
        if details is None:
            raised = raised_type(result.exception_info) or say("check.no_details")
            return [text(say("check.could_not_why", why=raised), "dg-finding")]
        evaluated, failed = details["evaluated_rows"], details["failed_rows"]
        if evaluated == 0:
            return [text(say("check.none_of_kind"), "dg-finding")]
        if failed == 0:
            return [text(say("check.all_good", count=evaluated), "dg-finding")]
        found = [
            text(say("check.lines_fail", failed=failed, of=evaluated, share=_failing(failed, evaluated)), "dg-finding")
        ]
        if not result.success and evaluated - failed >= Decimal(repr(float(details["threshold"]))) * evaluated:
            worst = max(details["rules"], key=_failing_share, default=None)
            if worst is not None:
                found.append(text(_one_rule(worst), "dg-finding"))
        return found

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
    def _diagnostic_unexpected_table_renderer(
        cls,
        result: ExpectationValidationResult | None = None,
        **_: Any,
    ) -> list[RenderedComponentContent]:
        """Broken rules worst first, sample lines, and the rules that hold folded away."""
        details = _details(result) if result is not None else None
        if details is None:
            return []
        rules = sorted(details["rules"], key=lambda rule: (-rule["failed_rows"], rule["id"]))
        broken = [rule for rule in rules if rule["failed_rows"]]
        holding = [rule for rule in rules if not rule["failed_rows"]]
        blocks: list[RenderedComponentContent] = []
        if broken:
            blocks.append(_rule_table(broken, header=spoken()("check.broken_rules"), check=details["check"]))
        if details["samples"]:
            blocks.append(_sample_table(details["samples"], details["failed_rows"]))
        if holding:
            blocks.append(
                CollapseContent(
                    collapse=[_rule_table(holding, header=None, check=details["check"])],
                    collapse_toggle_link=text(spoken()("check.rules_hold", count=len(holding))),
                )
            )
        return blocks


def _details(result: ExpectationValidationResult) -> dict[str, Any] | None:
    """The check's own figures; None when it could not be judged."""
    if raised_type(result.exception_info) is not None:
        return None
    details = (result.result or {}).get("details")
    return details if isinstance(details, dict) and "check" in details else None


def _own(cls: Any, which: str) -> str:
    """Title or sentence of a check in the language that is being spoken."""
    check = getattr(getattr(cls, "check", None), "id", "")
    return spoken().known(f"{which}.{check}", getattr(cls, which))


def _rule_table(rules: Sequence[Mapping[str, Any]], *, header: str | None, check: str) -> RenderedTableContent:
    say = spoken()
    return RenderedTableContent(
        content_block_type="table",
        header=None if header is None else text(header),
        header_row=[
            text(say("figure.rule")),
            text(say("figure.failing"), "dg-number"),
            text(say("figure.looked_at"), "dg-number"),
            text(say("figure.share"), "dg-number"),
            text(say("figure.field")),
            text(say("check.written_in")),
        ],
        table=[
            [
                text(say.again(rule["says"]), "dg-words", name=f"rule-{check}-{rule['id']}"),
                number(rule["failed_rows"]),
                number(rule["evaluated_rows"]),
                text(_failing(rule["failed_rows"], rule["evaluated_rows"]), "dg-number"),
                text(rule["field"] or "", "dg-field", tag="code"),
                text(rule["source"], "dg-source", tag="code"),
            ]
            for rule in rules
        ],
        styling={"classes": ["dg-rules"]},
    )


def _sample_table(samples: Sequence[Mapping[str, Any]], failed: int) -> RenderedTableContent:
    say = spoken()
    title = say("check.failing_lines")
    if len(samples) < failed:
        title = say("check.failing_lines_of", shown=len(samples), of=failed)
    return RenderedTableContent(
        content_block_type="table",
        header=text(title),
        header_row=[
            text(say("check.line"), "dg-number"),
            text(say("check.reason")),
            text(say("figure.field")),
            text(say("check.event_id")),
        ],
        table=[
            [
                number(sample["line"]),
                text(say.again(sample["reason"]), "dg-words"),
                text(sample["field"] or "", "dg-field", tag="code"),
                text(say("check.no_id"), "dg-faint")
                if sample["event_id"] is None
                else text(sample["event_id"], "dg-id", tag="code"),
            ]
            for sample in samples
        ],
        styling={"classes": ["dg-samples"]},
    )


def _short(value: object) -> str:
    shown = str(value)
    return shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"


def _demand(configuration: ExpectationConfiguration) -> RenderedStringTemplateContent:
    """Threshold and floor. Read from the expectation itself: a configuration leaves out what equals a default."""
    expectation: Any = configuration.to_domain_obj()
    template = spoken()("check.demand")
    params = {"threshold": share(expectation.mostly)}
    if hasattr(expectation, "rule_floor"):
        template += spoken()("check.demand_floor")
        params |= {"floor": share(expectation.rule_floor), "lines": str(expectation.rule_floor_lines)}
        for number, (rule, floor) in enumerate(expectation.rule_floors.items()):
            template += ("; " if number else " (") + f"$rule{number}: $floor{number}"
            params |= {f"rule{number}": rule, f"floor{number}": share(floor)}
        template += ")" if expectation.rule_floors else ""
    return RenderedStringTemplateContent(
        content_block_type="string_template",
        styling={"classes": ["dg-demand"]},
        string_template={
            "template": template + ".",
            "params": params,
            "styling": {"params": {"threshold": {"tag": "strong"}}},
        },
    )


def _failing(failed: int, evaluated: int) -> str:
    """Failing share, rounded up so that a failing line never shows as none."""
    if evaluated == 0:
        return "–"
    hundredths = -(-failed * 10_000 // evaluated)
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def _failing_share(rule: Mapping[str, Any]) -> float:
    return float(rule["failed_rows"] / rule["evaluated_rows"]) if rule["evaluated_rows"] else 0.0


def _one_rule(rule: Mapping[str, Any]) -> str:
    failing = _failing(rule["failed_rows"], rule["evaluated_rows"])
    return spoken()("check.one_rule", share=failing, rule=spoken().again(rule["says"]))
