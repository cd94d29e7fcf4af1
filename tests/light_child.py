"""A child that claims its day and ends as its first argument says: what a run looks like to the service, in no time."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import closing
from datetime import date
from pathlib import Path

from pipeline import database, ledger


def main(how: str, url: str, folder: str, day: str, trigger: str, file: str) -> int:
    """Claim the day, then end."""
    if how == "unclaimed":
        return 2
    if how == "hangs":  # deaf before anybody can see that it runs
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with closing(database.connect(url, name="light")) as connection:
        run = ledger.claim(
            connection,
            date.fromisoformat(day),
            trigger=trigger,
            engine="pandas",
            runs_folder=Path(folder),
            contract_sha256=os.environ.get("LIGHT_CONTRACT"),
            delivery_sha256=os.environ.get("LIGHT_DELIVERY"),
        )
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hangs":
            threading.Event().wait()
        if how in ("transient", "permanent"):
            ledger.fail(connection, run, error="A passing or lasting trouble.", failure=how)
            return 3
        verdict = {"published": "PASS", "blocked": "FAIL"}[how]
        with connection, connection.cursor() as cursor:
            cursor.execute("UPDATE pipeline_run_log SET is_current = false WHERE day = %s", (day,))
            cursor.execute(
                "UPDATE pipeline_run_log SET status = %s, verdict = %s, is_current = %s, finished_at = now()"
                " WHERE run_id = %s",
                (how, verdict, how == "published", run.run_id),
            )
    return 0 if how == "published" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
