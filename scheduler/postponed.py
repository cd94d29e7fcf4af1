"""Libraries that another library imports for what is hardly ever used: they wait until somebody looks into them.

Those that it can do without are left out where nothing will ask for them.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any


@contextmanager
def postponed(*names: str) -> Iterator[None]:
    """What is imported within the block gets stand-ins of these modules, which import the real ones when used.

    Only modules that nobody has imported yet are stood in for, and after the block nothing finds a stand-in any
    more: an `import` then means the real module. Whoever in the block imports a stand-in by name has it for good.

    Args:
        names: modules, none of them the parent of another.
    """
    stand_ins = {name: _StandIn(name) for name in names if name not in sys.modules}
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


@contextmanager
def absent(*names: str) -> Iterator[None]:
    """What this thread imports within the block finds these libraries not installed, unless they are imported already.

    Other threads, and everybody after the block, find them as ever.
    """
    finder = _Absent(*names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Absent:
    """Asked first where a library is, and says of these that it is nowhere."""

    def __init__(self, *names: str) -> None:
        self._names = names
        self._thread = threading.get_ident()

    def find_spec(self, name: str, _path: object, _target: object = None) -> None:
        """Nothing to say of other libraries."""
        if name in self._names and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{name} is left out here", name=name)


class _StandIn(ModuleType):
    """Looks like a module and is asked for its attributes only when those of a module do not suffice."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), name)
