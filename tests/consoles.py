"""The console blocks of a document: what a reader is told to type, and what is shown under it."""

from __future__ import annotations

import re
from collections.abc import Iterator


def consoles(page: str) -> Iterator[tuple[str, list[str]]]:
    """(arguments, the lines shown under them) for every `$ daygate …` of the page."""
    for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL):
        for command, shown in re.findall(r"^\$ daygate (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
            yield command, [line for line in shown.splitlines() if line.strip() and line != "…"]
