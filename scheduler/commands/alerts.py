"""`daygate alerts`: what waits for Slack, what was given up, and what is to become of it."""

from __future__ import annotations

from typing import Final

from pipeline.errors import ExitCode, SettingsError
from scheduler.commands import common
from scheduler.output import write

#: Alerts that are looked at, and listed, at most.
_MOST: Final = 100


def alerts(*, retry: bool, dismiss: bool) -> int:
    """The outbox; 1 while there are alerts that nobody took."""
    if retry and dismiss:
        raise SettingsError("Alerts are sent again or dismissed, not both.", hint="daygate alerts --retry")
    settings = common.start()
    from pipeline import database, outbox
    from scheduler import app

    url = app.database_url(settings)
    database.upgrade(url)
    with database.session(url, name="alerts", doing="reading the outbox") as connection:
        if retry:
            write(f"{outbox.revive(connection):,} alerts wait to be sent again.")
        if dismiss:
            write(f"{outbox.dismiss(connection):,} alerts dismissed.")
    if retry:
        app.notify(settings, ())
    with database.session(url, name="alerts", doing="reading the outbox") as connection:
        waiting, lost = outbox.waiting(connection, most=_MOST), outbox.given_up(connection)
    write(f"{len(waiting):,} alerts wait, {len(lost):,} were given up.")
    for one in lost[:_MOST]:
        write(f"{one.day}  {one.kind}  {one.error} (tries: {one.attempts})")
    if lost:
        write("Put the Slack settings right, then: daygate alerts --retry (or --dismiss; their text is in the log).")
    return ExitCode.FAIL if lost else ExitCode.OK
