"""`make pictures`: the pictures of docs/images, taken anew of the pages as they are (a minute, needs Chromium).

Six weeks of a small shop up to yesterday are taken through the gate, most of them good, in a house of their own.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from browser_fixtures import CHROMIUM
from playwright.sync_api import sync_playwright
from staged_days import discard

from pipeline.settings import PREFIX
from pipeline.zone import ZONE
from scheduler.boundary import call

FOLDER = Path(__file__).parent.parent / "docs" / "images"
DAYS = 45
SIZE = {"width": 1100, "height": 980}
#: Days before today -> what was wrong with them.
BAD = {
    1: ("browser_unknown=0.02", "quantity_zero=0.3"),
    2: ("browser_unknown=0.02", "quantity_zero=0.3"),
    8: ("day_wrong=0.05",),
    18: ("user_id_missing=0.2",),
    19: ("os_not_allowed=0.03",),
    27: ("line_truncated=0.02",),
    40: ("total_mismatch=0.2",),
}
NEVER_CAME = 35
RELEASED = 19


def done(*words: str) -> int:
    """A command's exit code; anything but an answer of the gate ends this."""
    code = call(list(words))
    if code > 1:
        sys.exit(f"daygate {' '.join(words)}: exit code {code}")
    return code


def main() -> None:
    """Run the days and take the pictures."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None) or sys.exit("no Chromium on this machine")
    today = datetime.now(ZONE).date()
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    with tempfile.TemporaryDirectory() as house:
        os.environ |= {"DAYGATE_HOME": house, "DAYGATE_USERS": "250", "DAYGATE_SOURCE": "landing"}
        try:
            for back in sorted(set(range(1, DAYS + 1)) - {NEVER_CAME}, reverse=True):
                day = str(today - timedelta(days=back))
                faults = [word for fault in BAD.get(back, ()) for word in ("--fault", fault)]
                done("generate", "--date", day, "--seed", str(back), *faults)
                done("run", "--date", day)
            released = str(today - timedelta(days=RELEASED))
            done(
                "release",
                released,
                "--reason",
                "Old Android build reports a wrong system; fix is out",
                "--by",
                "Kim Ji-won",
            )
            newest = today - timedelta(days=1)
            with sync_playwright() as playwright:
                page = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]).new_page(
                    viewport=SIZE
                )
                for name, path in (("calendar", "index.html"), ("day", f"days/{newest}/index.html")):
                    page.goto((Path(house) / "site" / path).as_uri())
                    page.screenshot(path=FOLDER / f"{name}-light.png")
        finally:
            done("down")
            discard(Path(house))


if __name__ == "__main__":
    main()
