"""What killed processes left on the disk of a home, and its removal; the database has `workspace.sweep` for its own."""

from __future__ import annotations

import logging
import os
import shutil

from pipeline import files
from pipeline.database import Connection, translated
from pipeline.settings import Settings

log = logging.getLogger(__name__)


def sweep(settings: Settings, connection: Connection) -> int:
    """Remove half made files and folders, and the staged parts of runs that no longer run; how much that was.

    Housekeeping: what cannot be removed now is left for the next time, with a line in the log.
    """
    swept = 0
    try:
        runs = [entry.name for entry in os.scandir(settings.runs_folder)] if settings.runs_folder.is_dir() else []
        # Asked after the folders were listed: a run is in the ledger before it has a folder.
        with translated("looking for leftovers"), connection, connection.cursor() as cursor:
            cursor.execute("SELECT run_id FROM pipeline_run_log WHERE status = 'running'")
            running = {run_id for (run_id,) in cursor.fetchall()}
        for run_id in set(runs) - running:
            staged = settings.runs_folder / run_id / "staged"
            if staged.is_dir():
                shutil.rmtree(staged)
                swept += 1
            swept += files.sweep(settings.runs_folder / run_id)
        folders = [settings.deliveries_folder, settings.site_folder, settings.site_folder / "runs"]
        if settings.source == "simulate":  # a landing folder is the shop's
            folders.append(settings.events_folder)
        swept += sum(files.sweep(folder) for folder in folders)
    except OSError as error:
        log.warning("Leftovers could not be removed: %s.", os.strerror(error.errno or 0))
    return swept
