"""Writes the generated parts of the README: `python tests/readme.py --write`. A test compares."""

from __future__ import annotations

import sys
from pathlib import Path

from pydantic_core import PydanticUndefined

from pipeline.settings import PREFIX, Settings

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- settings:begin -->", "<!-- settings:end -->"


def settings_table() -> str:
    """Every setting with its default, from the code."""
    rows = ["| variable | default | what it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.get_default(call_default_factory=True, validated_data={})
        shown = "" if default in (None, {}, (), PydanticUndefined) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |")
    return "\n".join(rows)


def updated(text: str) -> str:
    """The README with its generated parts as they must be."""
    head, rest = text.split(BEGIN)
    return f"{head}{BEGIN}\n{settings_table()}\n{END}{rest.split(END)[1]}"


if __name__ == "__main__" and "--write" in sys.argv:
    README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
