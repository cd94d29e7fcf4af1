"""`daygate` as a process of its own: its words, folder, environment, streams and end."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.settings import PREFIX

ROOT = Path(__file__).parent.parent
#: Seconds a command may take; far more than it does.
PATIENCE = 300


def environment(home: Path, **variables: str) -> dict[str, str]:
    """The surroundings of a command: this checkout, a home of its own, none of the caller's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return {**kept, "PYTHONPATH": str(ROOT), "DAYGATE_HOME": str(home / "data"), **variables}


@pytest.fixture(scope="session")
def daygate_process(warm_python: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs a command in the folder `home`, with `home/data` as its data folder, to its end."""

    def run(home: Path, *words: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [warm_python, "-m", "scheduler", *words],
            cwd=home,
            input=stdin,
            capture_output=True,
            env=environment(home, **variables),
            check=False,
            timeout=PATIENCE,
        )

    return run
