"""The service's sign of life, beaten by its clock and read by the web."""

from __future__ import annotations

from time import monotonic


class Heartbeat:
    """When the clock last moved."""

    def __init__(self) -> None:
        self._last = monotonic()

    def beat(self) -> None:
        """The clock moves."""
        self._last = monotonic()

    def heartbeat_age(self) -> float:
        """Seconds since the clock last moved."""
        return monotonic() - self._last
