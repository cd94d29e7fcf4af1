"""The parts of the documents that the code writes: `make docs` puts them in, a test compares.

A part stands between `<!-- NAME:begin -->` and `<!-- NAME:end -->` in any of `FILES`.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date
from functools import partial
from pathlib import Path
from typing import Final

import alert_docs
import psycopg2
from pydantic_core import PydanticUndefined
from staged_days import discard

from expectations_custom import rules
from expectations_custom.checks import CHECKS
from pipeline import contract, database, postgres
from pipeline.settings import PREFIX, Settings

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
FILES: Final = (README, ROOT / "README.ko.md", *sorted((ROOT / "docs").glob("*.md")))
#: Of the examples in README.
EXAMPLE_DAY: Final = date(2026, 1, 15)
Part = Callable[[], str]
#: Tables that hang together by the day without a foreign key, and how a person would say it.
_BY_DAY: Final = {
    "event_versions": "loads",
    "mart_user_daily": "publishes",
    "mart_funnel_daily": "publishes",
    "mart_product_daily": "publishes",
    "mart_orders": "publishes",
}


def settings_table() -> str:
    """Every setting with its default, from the code."""
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if default in (None, {}, (), PydanticUndefined) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def rule_catalogue() -> str:
    """Every rule of the shipped contract, check by check."""
    table = rules.table(contract.load())
    parts = []
    for check in CHECKS:
        rows = [
            f"### `{check.id}`: {check.title}",
            "",
            f"{check.says} Logged as `{check.type}`.",
            "",
            "| rule | field | a line fails when | contract |",
            "|---|---|---|---|",
            *(
                f"| `{rule.id}` | {f'`{rule.field}`' if rule.field else 'the line'} | {rule.says} | `{rule.source}` |"
                for rule in table.of(check.id)
            ),
        ]
        parts.append("\n".join(rows))
    return "\n\n".join(parts)


def tables(url: str) -> str:
    """The tables and how they hang together, as a Mermaid diagram, read from a migrated database."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, a.attname, format_type(a.atttypid, NULL),"
            "       coalesce(a.attnum = ANY (k.conkey), false), f.confrelid::regclass::text"
            " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
            " LEFT JOIN pg_constraint AS k ON k.conrelid = c.oid AND k.contype = 'p'"
            " LEFT JOIN pg_constraint AS f ON f.conrelid = c.oid AND f.contype = 'f' AND a.attnum = ANY (f.conkey)"
            " WHERE c.relnamespace = 'daygate'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
            "   AND c.relname <> 'alembic_version'"
            " ORDER BY c.relname, a.attnum"
        )
        found = cursor.fetchall()
    lines = ["```mermaid", "erDiagram"]
    for table, column, _, _, target in found:
        if target:
            lines.append(f'    {target.removeprefix("daygate.")} ||--o{{ {table} : "{column}"')
    lines += [f'    pipeline_run_log ||..o{{ {table} : "{verb}"' for table, verb in _BY_DAY.items()]
    for table in dict.fromkeys(row[0] for row in found):
        lines.append(f"    {table} {{")
        for name, column, kind, primary, target in found:
            if name == table:
                key = ", ".join(word for word, holds in (("PK", primary), ("FK", target)) if holds)
                lines.append(f"        {kind.replace(' ', '_')} {column} {key}".rstrip())
        lines.append("    }")
    return "\n".join([*lines, "```"])


def parts(url: str) -> Mapping[str, Part]:
    """Name -> what writes it."""
    return {
        "settings": settings_table,
        "rules": rule_catalogue,
        "tables": lambda: tables(url),
        "alert-faults": alert_docs.fault_table,
        "alert-examples": partial(alert_docs.worded, "en"),
        "alert-examples-ko": partial(alert_docs.worded, "ko"),
    }


def updated(text: str, known: Mapping[str, Part]) -> str:
    """A document with its generated parts as they must be."""
    for name, write in known.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        if begin in text:
            written = f"{begin}\n{write()}\n{end}"
            text = re.sub(f"{begin}.*?{end}", lambda _, by=written: by, text, flags=re.DOTALL)
    return text


def main() -> None:
    """Write all parts into all documents."""
    with tempfile.TemporaryDirectory() as home:
        url = postgres.ensure_running(Path(home))
        try:
            database.upgrade(url)
            known = parts(url)
            for file in FILES:
                if file.exists():
                    file.write_text(updated(file.read_text(encoding="utf-8"), known), encoding="utf-8")
        finally:
            discard(Path(home))


if __name__ == "__main__" and "--write" in sys.argv:
    main()
