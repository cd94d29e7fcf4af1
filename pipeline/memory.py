"""How much memory this machine, or the container around the process, has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def limit(root: Path = Path("/")) -> int:
    """Bytes of memory that the process can have: the machine's, or less where a control group says so.

    Args:
        root: where `proc` and `sys` are.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limits(root):
        said = file.read_text(encoding="ascii").strip() if file.is_file() else ""
        found += [int(said)] if said.isdigit() else []  # "max" is no limit
    return min(found)


def _limits(root: Path) -> Iterator[Path]:
    """Files with the limit of each control group around the process, of either version of the system's interface."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text(encoding="utf-8").splitlines() if groups.is_file() else ():
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        inner, base, name = Path(group.lstrip("/")), root / "sys/fs/cgroup", "memory.max"
        if controllers:  # the older interface has a folder for each controller
            base, name = base / "memory", "memory.limit_in_bytes"
        # Inside a container the file of its group is where the outermost one is otherwise.
        yield from (base / folder / name for folder in (inner, *inner.parents))
