"""The `daygate` command: flags and help only.

Importing this module stays cheap (no settings, no data frames, no Great Expectations), so that
`daygate --help` answers at once; what a command does is imported when it is called.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

import typer

from scheduler.cli_docs import dashboard, docs
from scheduler.cli_quarantine import quarantine, release

#: The \\b keeps the lines as they stand.
EXIT_CODES = """\b
Exit codes:
  0  PASS, or done
  1  FAIL
  2  wrong usage or settings
  3  INCONCLUSIVE, or a step failed
  4  file refused
  5  another run holds the day
Of several files or days the worst counts: 4, 3, 5, 1, 0."""

app = typer.Typer(
    name="daygate",
    help="A quality gate a day: events are published only when the day's seven checks pass.",
    epilog=EXIT_CODES,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help: reads the same in every terminal and spares the import of Rich.
    rich_markup_mode=None,
)
database = typer.Typer(help="Look after the database.", rich_markup_mode=None)
app.add_typer(database, name="db")
app.add_typer(quarantine, name="quarantine")
app.add_typer(docs, name="docs")


class OutputFormat(StrEnum):
    """How `check` answers."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


Day = Annotated[
    str | None, typer.Option("--date", envvar="DAYGATE_DATE", metavar="YYYY-MM-DD", help="Business day (Asia/Seoul).")
]
Engine = Literal["auto", "pandas", "spark"]
EngineOption = Annotated[
    Engine | None,
    typer.Option("--engine", envvar="DAYGATE_ENGINE", help="What parses, checks and loads; auto: by size."),
]
Start = Annotated[
    str | None, typer.Option("--start", envvar="DAYGATE_START", metavar="YYYY-MM-DD", help="First day of a range.")
]
End = Annotated[
    str | None, typer.Option("--end", envvar="DAYGATE_END", metavar="YYYY-MM-DD", help="Last day of the range.")
]
Force = Annotated[
    bool, typer.Option("--force", envvar="DAYGATE_FORCE", help="Run again even when nothing would change.")
]


def _show_version(wanted: bool) -> None:
    if wanted:
        from scheduler.output import write
        from scheduler.version import installed

        write(f"daygate {installed()}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; they may hold values from events.")] = False,
) -> None:
    """Options that stand before the command; both are dealt with before a command starts."""
    del version, debug


@app.command()
def run(
    date: Day = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", envvar="DAYGATE_FILE", help="The day's delivery; generated or landed when not given."),
    ] = None,
    engine: EngineOption = None,
    force: Force = False,
) -> int:
    """Take one day through the gate (default: yesterday).

    With --file the day comes from --date, else from a name like events_20260115.jsonl.
    """
    from scheduler.commands import day

    return day.run(date=date, file=file, engine=engine, force=force)


@app.command()
def backfill(start: Start = None, end: End = None, engine: EngineOption = None) -> int:
    """Run each day of a range in order.

    A day that fails does not stop the next. Without --end the range ends yesterday.
    """
    from scheduler.commands import day

    return day.backfill(start=start, end=end, engine=engine)


@app.command()
def check(  # long: every flag is a parameter with its help
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE", help="JSON Lines, also .gz and .zst; - reads stdin; a folder: its events_*.jsonl[.gz|.zst]."
        ),
    ],
    *,
    date: Day = None,
    engine: EngineOption = None,
    output_format: Annotated[
        OutputFormat,
        typer.Option(
            "--output-format", envvar="DAYGATE_OUTPUT_FORMAT", help="json: several files give an array; junit: XML."
        ),
    ] = OutputFormat.TEXT,
    report: Annotated[
        Path | None,
        typer.Option("--report", envvar="DAYGATE_REPORT", metavar="DIR", help="Write the Data Docs page there."),
    ] = None,
    failed_rows: Annotated[
        Path | None,
        typer.Option("--failed-rows", envvar="DAYGATE_FAILED_ROWS", metavar="PATH", help="Write every failing line."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            envvar="DAYGATE_SAMPLE_LINES",
            min=0,
            max=100,
            help="Failing lines shown per check.",
        ),
    ] = None,
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold", envvar="DAYGATE_THRESHOLD", metavar="CHECK=RATE", help="Lowest pass rate: 0.95 or 95%."
        ),
    ] = None,
    severity: Annotated[
        list[str] | None,
        typer.Option(
            "--severity",
            envvar="DAYGATE_SEVERITY",
            metavar="CHECK=SEVERITY",
            help="critical blocks, warning only reports.",
        ),
    ] = None,
    explain: Annotated[
        int | None,
        typer.Option(
            "--explain", envvar="DAYGATE_EXPLAIN", metavar="LINE", min=1, help="Show one line and why it fails."
        ),
    ] = None,
) -> int:
    """Put files through the same seven checks.

    Needs no database and publishes nothing. The day comes from --date, else from a name like events_20260115.jsonl.

    --threshold and --severity may be repeated; they hold over the settings, for this command only.
    """
    from scheduler.commands import check as command

    judged = command.Judged(files=files, date=date, engine=engine, thresholds=threshold, severities=severity)
    if explain is not None:
        return command.explain(
            judged, line=explain, output_format=output_format.value, alone=not (report or failed_rows)
        )
    return command.check(judged, output_format=output_format.value, report=report, failed_rows=failed_rows, limit=limit)


@app.command()
def calibrate(
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE", help="Past deliveries, or folders of them.")
    ] = None,
    days: Annotated[
        int | None,
        typer.Option("--days", envvar="DAYGATE_DAYS", min=1, max=3660, help="Judged days of the ledger instead."),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", envvar="DAYGATE_WRITE", help="Write the proposal into daygate.toml.")
    ] = False,
) -> int:
    """Propose thresholds that fit the shop.

    Measures each check and rule over past deliveries; one or two bad days among them do no harm.
    """
    from scheduler.commands import calibrate as command

    return command.calibrate(files or [], days=days, write_down=write)


@app.command()
def generate(
    date: Day = None,
    start: Start = None,
    end: End = None,
    users: Annotated[
        int | None, typer.Option("--users", envvar="DAYGATE_USERS", min=1, help="Simulated customers.")
    ] = None,
    events: Annotated[
        int | None, typer.Option("--events", envvar="DAYGATE_EVENTS", min=1, help="Scale each day to so many lines.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", envvar="DAYGATE_SEED", min=0, help="Same seed and day, same bytes.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", envvar="DAYGATE_OUTPUT", metavar="DIR", help="Folder; where run looks by default."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault", envvar="DAYGATE_FAULT", metavar="NAME[=RATE]", help="Plant a kind of defect; list shows them."
        ),
    ] = None,
) -> int:
    """Simulate the shop's events (default: of yesterday)."""
    from scheduler.commands import generate as command

    return command.generate(
        date=date, start=start, end=end, users=users, events=events, seed=seed, output=output, faults=fault or []
    )


@app.command("spark-batch")
def spark_batch(
    date: Day = None,
    start: Start = None,
    end: End = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input", envvar="DAYGATE_INPUT", metavar="DIR", help="Deliveries to judge; else what is published."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", envvar="DAYGATE_OUTPUT", metavar="DIR", help="Folder; aggregates in the home else."),
    ] = None,
) -> int:
    """Write aggregates of good days (default: yesterday).

    Funnel, hourly traffic, products and session sequences by Spark, as Parquet and CSV. Other days in the output stay.
    A day that is not published, or with --input does not pass the gate, is left out.
    """
    from scheduler.commands import spark_batch as command

    return command.spark_batch(date=date, start=start, end=end, source=source, output=output)


@app.command()
def serve() -> int:
    """Run every day by itself and show the site.

    Yesterday is due at 02:00 (Asia/Seoul); days that were missed are caught up with. Stops on SIGTERM or Ctrl-C.
    """
    from scheduler.commands import serve as command

    return command.serve()


@app.command()
def status(
    days: Annotated[
        int, typer.Option("--days", envvar="DAYGATE_DAYS", min=1, max=3660, help="How far to look back.")
    ] = 30,
) -> int:
    """List the last days and what became of them."""
    from scheduler.commands import house

    return house.status(days)


@app.command()
def alerts(
    retry: Annotated[
        bool, typer.Option("--retry", envvar="DAYGATE_RETRY", help="Send the alerts that were given up once more.")
    ] = False,
    dismiss: Annotated[
        bool, typer.Option("--dismiss", envvar="DAYGATE_DISMISS", help="Count them as read: their text is in the log.")
    ] = False,
) -> int:
    """List alerts that wait for Slack or were given up."""
    from scheduler.commands import alerts as command

    return command.alerts(retry=retry, dismiss=dismiss)


@app.command()
def rules() -> int:
    """List checks and rules, with thresholds and sources."""
    from scheduler.commands import house

    return house.rules()


@app.command()
def doctor() -> int:
    """Look for what would keep a day from running."""
    from scheduler.commands import house

    return house.doctor()


@app.command()
def down() -> int:
    """Stop the embedded PostgreSQL; the data stays."""
    from scheduler.commands import house

    return house.down()


@database.command()
def upgrade(
    wait: Annotated[
        float, typer.Option("--wait", envvar="DAYGATE_WAIT", min=0, help="Seconds to wait for a database that is away.")
    ] = 0.0,
) -> int:
    """Bring the database's tables to this version."""
    from scheduler.commands import house

    return house.upgrade(wait_seconds=wait)


app.command()(release)
app.command()(dashboard)
