"""`daygate check --explain`: everything daygate knows about one line of a file.

This is the one place that shows a line's own values on purpose: the person asked for them. They are
still hostile text, and whoever writes them out makes them inert.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import polars as pl

from pipeline import contract as contracts
from pipeline.errors import ContractError, SettingsError
from pipeline.progress import Progress
from pipeline.records import Delivery, Staged
from pipeline.settings import Settings
from pipeline.stage import raw_lines
from pipeline.zone import ZONE
from scheduler.staging import staging

if TYPE_CHECKING:
    from expectations_custom.one_line import Judgement
    from pipeline.contract import Contract

#: A longer line is no event and is shown cut.
_MOST_BYTES: Final = 1 << 20
#: Amounts staging reads out of an order's details.
_AMOUNTS: Final = ("items_total", "order_discount", "order_shipping")


@dataclass(frozen=True, kw_only=True, slots=True)
class Explained:
    """One line, how it was read and what every rule says of it."""

    #: As given on the command line; hostile text.
    file: str
    sha256: str
    day: date
    line: int
    #: The bytes as they came, without the newline, cut after 1 MiB; None for a blank line.
    raw: bytes | None
    #: Length in bytes before the cut.
    length: int
    #: Field -> the value as it was read; None when there is none that could be taken. In contract order.
    values: Mapping[str, str | None]
    #: Keys of the line that the contract does not declare.
    unknown_keys: tuple[str, ...]
    #: What staging found, as `name:kind`.
    problems: tuple[str, ...]
    #: Every rule that looks at the line.
    judgements: tuple[Judgement, ...]
    #: (JSON pointer into the line, message) of the JSON Schema; None when the line is no object to validate.
    schema_errors: tuple[tuple[str, str], ...] | None
    #: Checks that fail and block.
    blocking: frozenset[str]


def explain_line(
    settings: Settings, source: Path | Literal["-"], *, day: date, line: int, progress: Progress
) -> Explained:
    """Stage the whole file, because sessions and duplicates count, and judge one line of it.

    Raises:
        RefusedFile: the whole file is refused.
        SettingsError: the file has fewer lines.
    """
    contract = contracts.load(settings.contract)
    with (
        staging(settings, source, day=day, contract=contract, progress=progress) as (staged, _),
        progress.step("explain"),
    ):
        return _explained(staged, settings, contract, line, str(source))


def _explained(staged: Staged, settings: Settings, contract: Contract, line: int, file: str) -> Explained:
    from expectations_custom import rules
    from expectations_custom.one_line import judge_line

    every = staged.lines + staged.blank_lines
    if line > every:
        raise SettingsError(f"The file has {every:,} lines; there is no line {line:,}.", hint=f"--explain {every}")
    frame = pl.scan_parquet(list(staged.parts))
    row = frame.filter(pl.col("line_no") == line).collect()
    judgements = judge_line(frame.select(rules.columns(contract)), rules.table(contract), line)
    raw = None if row.is_empty() else _raw(staged.delivery, row)
    found = None if raw is None else _object(raw, row)
    exact = tuple(_exactly(judgement, found) for judgement in judgements)
    return Explained(
        file=file,
        sha256=staged.delivery.sha256,
        day=staged.day,
        line=line,
        raw=raw,
        length=0 if row.is_empty() else row["byte_length"].item(),
        values={} if row.is_empty() else _values(row, contract),
        unknown_keys=tuple(key for key in found or () if key not in contract.names),
        problems=tuple((row["problems"].item() or "").strip("|").split("|")) if _has_problems(row) else (),
        judgements=exact,
        schema_errors=None if found is None else _schema_errors(found, settings.contract),
        blocking=frozenset(
            judgement.check
            for judgement in exact
            if judgement.reason is not None and settings.severity(judgement.check) == "critical"
        ),
    )


def _has_problems(row: pl.DataFrame) -> bool:
    return not row.is_empty() and row["problems"].item() is not None


def _raw(delivery: Delivery, row: pl.DataFrame) -> bytes:
    span = (row["byte_offset"].item(), row["byte_length"].item())
    return next(raw_lines(delivery, [span], longest=_MOST_BYTES))


def _values(row: pl.DataFrame, contract: Contract) -> dict[str, str | None]:
    amounts = [name for name in _AMOUNTS if row[name].item() is not None]
    return {name: _shown(row[name].item()) for name in (*contract.names, *amounts)}


def _shown(value: Any) -> str | None:
    if isinstance(value, Decimal):
        whole, _, decimals = format(value, "f").partition(".")
        return f"{whole}.{decimals.rstrip('0')}".rstrip(".")
    if isinstance(value, datetime):
        return value.astimezone(ZONE).isoformat()
    return None if value is None else str(value)


def _object(raw: bytes, row: pl.DataFrame) -> dict[str, Any] | None:
    """The line as JSON has it, numbers exact; None when staging found that it is no object."""
    if "|line:" in (row["problems"].item() or ""):
        return None
    found: dict[str, Any] = json.loads(raw, parse_float=Decimal, parse_int=_integer)
    return found


def _integer(token: str) -> int | Decimal:
    """An integer of any length; Python refuses to read thousands of digits as an int."""
    longest = 4000
    return int(token) if len(token) < longest else Decimal(token)


def _exactly(judgement: Judgement, found: dict[str, Any] | None) -> Judgement:
    """The judgement told as exactly as only the raw line allows: missing, null and empty are three reasons."""
    from dataclasses import replace

    from expectations_custom.checks import CHECKS

    name = judgement.field
    if judgement.check != CHECKS[0].id or judgement.reason is None or found is None or name is None:
        return judgement
    if name not in found:
        return replace(judgement, reason=f"{name} is missing")
    return replace(judgement, reason=f"{name} is null" if found[name] is None else f"{name} is empty")


def _schema_errors(found: dict[str, Any], schema: Path | None) -> tuple[tuple[str, str], ...]:
    """What JSON Schema says of the line. A null is as good as absent to daygate, so nulls are left out."""
    from jsonschema import Draft7Validator

    try:
        document = json.loads((schema or contracts.default_path()).read_bytes())
    except OSError as error:
        raise ContractError(f"The contract cannot be read again ({error.strerror}).") from error
    present = {name: value for name, value in found.items() if value is not None}
    errors = Draft7Validator(document).iter_errors(present)
    return tuple(sorted(("/" + "/".join(map(str, error.absolute_path)), error.message) for error in errors))
