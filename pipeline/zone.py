"""Where the shop's days begin and end; not with the settings, which a process that only parses need not read."""

from __future__ import annotations

from typing import Final
from zoneinfo import ZoneInfo

ZONE: Final = ZoneInfo("Asia/Seoul")
