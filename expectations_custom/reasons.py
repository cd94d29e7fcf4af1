"""Why exactly a line fails a rule: the causes behind a rule's one sentence, in words without values.

A rule says when a line fails; a person who repairs lines wants to know which of the ways it was. Causes
are looked for in failing lines only, so that good lines cost nothing. What a cause says never holds a
value from the data.

The staged columns cannot tell a missing key from a null, and not an empty timestamp from either: the
reason names what they can tell, and who has the raw line at hand (`daygate check --explain`) sees the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import narwhals as nw

from pipeline.contract import Field, Kind

#: Problems of a whole line, as staging names them.
LINES: Final = {
    "json": "the line is not valid JSON",
    "utf8": "the line is not UTF-8 text",
    "not_object": "the line is JSON, but no object",
    "trailing": "something follows the JSON object on the same line",
    "dup_key": "a key occurs twice in the same object",
    "depth": "the line is nested too deeply",
    "number": "NaN and Infinity are no JSON numbers",
    "shape": "the line has too many keys, an empty key or an absurdly long one",
    "line_too_long": "the line is too long",
}
#: Problems of a single field that are alike for every kind of field.
_FIELDS: Final = {
    "range": "has more digits than can be kept",
    "nul": "contains a NUL character",
    "surrogate": "contains half of a surrogate pair, which is no character",
    "unreadable": "is no JSON document that can be kept",
}
_WANTED: Final[dict[Kind, str]] = {
    "string": "a text",
    "timestamp": "a text",
    "integer": "a whole number",
    "number": "a number",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """One way of breaking a rule."""

    #: Over the staged columns; looked at where the rule fails.
    when: nw.Expr
    says: str


def problem(token: str) -> nw.Expr:
    """Whether staging recorded the problem; false where it recorded none."""
    return nw.col("problems").str.contains(token, literal=True).fill_null(False)


def of_line() -> tuple[Cause, ...]:
    """Why a line is no JSON object."""
    return tuple(Cause(when=problem(f"|line:{kind}|"), says=says) for kind, says in LINES.items())


def of_required(field: Field) -> tuple[Cause, ...]:
    """Why a required field counts as absent."""
    if field.kind == "timestamp":
        return ()
    absent = Cause(when=nw.col(field.name).is_null(), says=f"{field.name} is missing or null")
    empty = Cause(when=nw.col(field.name) == "", says=f"{field.name} is empty")
    return (absent, empty) if field.kind == "string" else (absent,)


def of_value(field: Field, bounds: Sequence[Cause]) -> tuple[Cause, ...]:
    """Why a present value is not taken: staging could not, or it lies outside the contract."""
    wrong_type = Cause(
        when=problem(f"|{field.name}:type|"),
        says=f"{field.name} is of a wrong type, {_WANTED[field.kind]} is needed",
    )
    staged = (
        Cause(when=problem(f"|{field.name}:{kind}|"), says=f"{field.name} {said}") for kind, said in _FIELDS.items()
    )
    return (wrong_type, *staged, *(Cause(when=bound.when, says=f"{field.name} {bound.says}") for bound in bounds))


def reason(causes: Sequence[Cause], otherwise: str) -> nw.Expr:
    """The first cause that holds, as text; `otherwise` where none does."""
    return _chosen(causes, texts(causes, otherwise))


def which(causes: Sequence[Cause]) -> nw.Expr:
    """The place of that reason among `texts`, for who sends reasons far and wants them short."""
    return _chosen(causes, range(len(causes) + 1))


def texts(causes: Sequence[Cause], otherwise: str) -> list[str]:
    """Every reason a rule can give, the one without a cause last."""
    return [*(cause.says for cause in causes), otherwise]


def _chosen(causes: Sequence[Cause], values: Sequence[str | int]) -> nw.Expr:
    """The value that belongs to the first cause that holds; the last value where none does."""
    chosen = nw.lit(values[-1])
    for cause, value in zip(reversed(causes), reversed(values[:-1]), strict=True):
        chosen = nw.when(cause.when.fill_null(False)).then(nw.lit(value)).otherwise(chosen)
    return chosen
