"""How a long piece of work tells that it moves on, and how long each of its steps took.

The work calls a `Progress`; whether anything is drawn is decided by whoever started it. `Silent` draws
nothing and is the base of what does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Protocol


class Progress(Protocol):
    """What a step of the day may call; safe to call from one thread at a time."""

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per step that has ended; a copy, in the order they ended."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Everything inside the `with` block is the step `name`; its time counts even when it raises."""

    def advance(self, done: int, total: int) -> None:
        """The running step has `done` of `total` units (bytes, lines, days) behind it."""

    def note(self, text: str) -> None:
        """Something that whoever watches may want to know now; one line, ours from end to end."""


class Silent:
    """Times the steps and shows nothing; subclasses draw in `began`, `advance` and `ended`."""

    def __init__(self) -> None:
        self._timings: dict[str, float] = {}

    @property
    def timings(self) -> dict[str, float]:
        """Seconds per step that has ended; a step that ran twice counts once with the sum."""
        return dict(self._timings)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time the block under `name`."""
        start = monotonic()
        self.began(name)
        try:
            yield
        finally:
            seconds = monotonic() - start
            self._timings[name] = self._timings.get(name, 0.0) + seconds
            self.ended(name, seconds)

    def advance(self, done: int, total: int) -> None:
        """Nothing to draw."""

    def note(self, text: str) -> None:
        """Nobody watches."""

    def began(self, name: str) -> None:
        """A step starts; nothing to draw."""

    def ended(self, name: str, seconds: float) -> None:
        """A step is over; nothing to draw."""
