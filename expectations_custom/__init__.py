"""The words Great Expectations lacks: import this before opening `gx/` as a Great Expectations project."""

from __future__ import annotations

from expectations_custom.expectations import ALL

__all__ = ["ALL"]
