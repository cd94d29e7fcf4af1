"""The files of this checkout, what git is told to ignore left out."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parent.parent


def files(*suffixes: str) -> list[Path]:
    """The files of the tree that are ours to read."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return [ROOT / name for name in listed.splitlines() if name.endswith(suffixes) and (ROOT / name).is_file()]


SOURCES = {path: path.read_text(encoding="utf-8") for path in files(".py")}
