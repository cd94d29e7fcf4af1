"""The flags of `daygate quarantine …` and `daygate release`; as cheap to import as `scheduler.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

quarantine = typer.Typer(help="Look at lines that are not loaded, and put them right.", rich_markup_mode=None)

DayArgument = Annotated[str, typer.Argument(metavar="DAY", help="Business day (Asia/Seoul) as YYYY-MM-DD.")]


@quarantine.command("list")
def list_days(
    days: Annotated[
        int, typer.Option("--days", envvar="DAYGATE_DAYS", min=1, max=3660, help="How far to look back.")
    ] = 30,
) -> int:
    """List days with quarantined lines, by check and rule."""
    from scheduler.commands import quarantine as command

    return command.list_days(days)


@quarantine.command()
def show(
    day: DayArgument,
    check: Annotated[
        str | None, typer.Option("--check", envvar="DAYGATE_CHECK", help="Only lines that fail this check.")
    ] = None,
    rule: Annotated[
        str | None, typer.Option("--rule", envvar="DAYGATE_RULE", help="Only lines that fail a rule of this name.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", envvar="DAYGATE_LIMIT", min=1, max=10_000, help="Most lines to show.")
    ] = 20,
) -> int:
    """Show quarantined lines of a day with their reasons."""
    from scheduler.commands import quarantine as command

    return command.show(day, check=check, rule=rule, limit=limit)


@quarantine.command()
def export(
    day: DayArgument,
    output: Annotated[
        Path,
        typer.Option("--output", envvar="DAYGATE_OUTPUT", metavar="PATH", help="A .jsonl, .csv or .parquet file."),
    ],
) -> int:
    """Write all quarantined lines of a day, bytes and reasons.

    The .jsonl can be corrected and replayed.
    """
    from scheduler.commands import quarantine as command

    return command.export(day, output=output)


@quarantine.command()
def replay(
    day: DayArgument,
    file: Annotated[
        Path, typer.Option("--file", envvar="DAYGATE_FILE", metavar="FIXED.jsonl", help="The corrected lines.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", envvar="DAYGATE_DRY_RUN", help="Check and tell; write nothing.")
    ] = False,
) -> int:
    """Put corrected lines in and check the whole day again.

    The file holds one object per line: {"line": 17, "raw": "the corrected line"}, as `export` writes it. The day is
    published only when it passes.
    """
    from scheduler.commands import quarantine as command

    return command.replay(day, file=file, dry_run=dry_run)


def release(
    day: DayArgument,
    reason: Annotated[
        str, typer.Option("--reason", envvar="DAYGATE_REASON", metavar="TEXT", help="Why; it stays in the ledger.")
    ],
    by: Annotated[
        str | None,
        typer.Option("--by", envvar="DAYGATE_BY", metavar="NAME", help="Who decides; your login when not given."),
    ] = None,
) -> int:
    """Publish the good lines of a day that failed.

    Only for a day that FAIL blocked. Who, when and why stay in the ledger, on the page and in Slack.
    """
    from scheduler.commands import quarantine as command

    return command.release(day, reason=reason, by=by)
