"""The checks, in the order people see them: one module each, named as the check."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from expectations_custom.rule import Check
from pipeline.check_ids import CHECK_IDS

CHECKS: Final[tuple[Check, ...]] = tuple(import_module(f"{__name__}.{check}").CHECK for check in CHECK_IDS)

__all__ = ["CHECKS", "Check"]
