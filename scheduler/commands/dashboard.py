"""`daygate dashboard` and `daygate docs build`."""

from __future__ import annotations

import shutil
import sys
import webbrowser
from pathlib import Path

from pipeline import database, quality_log, site_figures
from pipeline.errors import DaygateError, ExitCode, SettingsError
from pipeline.settings import Settings
from scheduler import dashboard_text
from scheduler.commands.common import start
from scheduler.output import look_of, seconds, write
from scheduler.screen import progress


def dashboard(*, days: int, html: Path | None, open_site: bool) -> int:
    """Print the last days; copy or open the site when asked to."""
    chosen = start()
    if html is not None and html.exists() and (not html.is_dir() or any(html.iterdir())):
        raise SettingsError(f"--html: {html} is there already.", hint="--html with a new folder")
    from scheduler import app

    url = app.database_url(chosen)
    database.upgrade(url)
    with database.session(url, name="dashboard", doing="reading the ledger") as connection:
        figures = site_figures.read(connection, days=90)
        newest = next(iter(figures.days), None)
        checks = [] if newest is None else quality_log.checks_of(connection, newest.run_id)
    write(dashboard_text.dashboard(figures, checks, days=days, look=look_of(sys.stdout)))
    if html is not None or open_site:
        _site(chosen, url, html, open_site=open_site)
    return ExitCode.OK


def _site(settings: Settings, url: str, html: Path | None, *, open_site: bool) -> None:
    from scheduler import site

    folder = settings.site_folder
    if not (folder / "index.html").is_file():
        with progress() as shown:
            site.build(settings, url, shown)
    if html is not None:
        try:
            shutil.copytree(folder, html, dirs_exist_ok=True)
        except OSError as error:
            raise DaygateError(f"The site cannot be copied to {html} ({error.strerror}).", hint="--html DIR") from None
        folder = html
    page = (folder / "index.html").absolute()
    write(f"\n  site: {page}")
    if open_site and not webbrowser.open(page.as_uri()):
        raise DaygateError("No browser can be opened here.", hint=f"open {page}, or: daygate serve")


def build() -> int:
    """Make the whole site anew."""
    chosen = start()
    from scheduler import app, site

    url = app.database_url(chosen)
    database.upgrade(url)
    with progress() as shown:
        built = site.build(chosen, url, shown)
    write(f"{built.days:,} days and {built.runs:,} runs in {seconds(built.seconds)}\n  site: {built.folder}/index.html")
    return ExitCode.OK
