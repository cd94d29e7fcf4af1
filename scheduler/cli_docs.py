"""`daygate docs` and `daygate dashboard`: flags and help only, as in `scheduler.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

docs = typer.Typer(help="Look after the site.", rich_markup_mode=None)


@docs.command()
def build() -> int:
    """Make the whole site anew from the database.

    Readers see the old site until the new one takes its place at once. Nothing is judged or published again.
    """
    from scheduler.commands import dashboard as command

    return command.build()


def dashboard(
    days: Annotated[
        int, typer.Option("--days", envvar="DAYGATE_DAYS", min=7, max=90, help="How far to look back.")
    ] = 30,
    html: Annotated[
        Path | None,
        typer.Option("--html", envvar="DAYGATE_HTML", metavar="DIR", help="Copy the site there, to keep or to send."),
    ] = None,
    *,
    open_site: Annotated[
        bool, typer.Option("--open", envvar="DAYGATE_OPEN", help="Open the site in the browser.")
    ] = False,
) -> int:
    """Show the last days at a glance.

    Availability, failing checks, trends; the same as pages with --open or `daygate serve`.
    """
    from scheduler.commands import dashboard as command

    return command.dashboard(days=days, html=html, open_site=open_site)
