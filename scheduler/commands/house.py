"""The small commands: `status`, `rules`, `doctor`, `down`, `db upgrade`."""

from __future__ import annotations

import sys

from pipeline import contract
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import ExitCode
from scheduler import tables
from scheduler.arguments import yesterday
from scheduler.commands.common import start
from scheduler.output import look_of, write


def status(days: int) -> int:
    """The last days, newest first."""
    chosen = start()
    from scheduler import app

    write(tables.status(app.history(chosen, days), last=yesterday(), days=days, look=look_of(sys.stdout)))
    return ExitCode.OK


def rules() -> int:
    """The rule table with thresholds and sources."""
    chosen = start()
    rulebook = contract.load(chosen.contract)
    from expectations_custom import checks
    from expectations_custom import rules as all_rules

    table = all_rules.table(rulebook)
    write(
        tables.rules(
            [(check, table.of(check.id)) for check in checks.CHECKS],
            source=str(chosen.contract or contract.default_path()),
            thresholds={check: chosen.threshold(check) for check in CHECK_IDS},
            severities={check: chosen.severity(check) for check in CHECK_IDS},
            floor=chosen.rule_floor,
            floor_lines=chosen.rule_floor_lines,
            floors=chosen.rule_floors,
            look=look_of(sys.stdout),
        )
    )
    return ExitCode.OK


def doctor() -> int:
    """The findings; 3 when one needs attention."""
    chosen = start()
    from scheduler.doctor import examine

    found = examine(chosen)
    write(tables.findings(found, look_of(sys.stdout)))
    return ExitCode.OK if all(finding.ok for finding in found) else ExitCode.INCONCLUSIVE


def down() -> int:
    """Stop the embedded PostgreSQL."""
    chosen = start()
    from scheduler import app

    app.stop_database(chosen)
    write("The embedded PostgreSQL is stopped; its data stays.")
    return ExitCode.OK


def upgrade(*, wait_seconds: float) -> int:
    """Apply the migrations that are missing."""
    chosen = start()
    from scheduler import app

    write(app.upgrade(chosen, wait_seconds=wait_seconds))
    return ExitCode.OK
