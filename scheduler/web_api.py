"""What the web answers from the ledger: health, readiness, metrics and runs."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Final, Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline import database, ledger, ledger_figures, outbox, quality_log
from pipeline.database import Connection
from pipeline.errors import DaygateError, SettingsError, TransientError
from pipeline.records import CheckResult, DaySummary
from pipeline.settings import Settings
from scheduler.metrics import exposition
from scheduler.web_database import Ledger, Shared, address

log = logging.getLogger(__name__)

#: The loop turns every minute; after three it is taken for stuck.
STUCK_SECONDS: Final = 180
_RUN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_LIMIT: Final = re.compile(r"[0-9]{1,3}")
_PAGE, _LONGEST_PAGE = 50, 200
_KEEP_SECONDS = 2.0
_FRESH: Final = {"cache-control": "no-store"}


class Health(Protocol):
    """What the web must know of the service around it."""

    def heartbeat_age(self) -> float:
        """Seconds since the service's loop last turned."""
        ...


class Api:
    """The routes; belongs to one event loop."""

    def __init__(self, settings: Settings, health: Health) -> None:
        self._health = health
        self._ledger = Ledger(partial(address, settings))
        shared = partial(Shared, self._ledger, keep=_KEEP_SECONDS)
        self._state = shared(partial(_state, settings=settings))
        self._figures = shared(ledger_figures.read)

    def routes(self) -> list[Route]:
        """GET and HEAD only."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/api/runs", self.runs),
            Route("/api/runs/{run_id}", self.run),
        ]

    async def healthz(self, _: Request) -> Response:
        """Whether the service's loop turns; 503 when it should be restarted."""
        alive = self._health.heartbeat_age() < STUCK_SECONDS
        return _json({"status": "ok" if alive else "stuck"}, 200 if alive else 503)

    async def readyz(self, _: Request) -> Response:
        """Whether everything is as it must be: database, its schema, and the day that is due. No figures."""
        try:
            state = await self._state.get()
        except TransientError:
            state = {"database": "away"}
        except SettingsError:
            state = {"database": "refuses the login"}
        except DaygateError:
            state = {"database": "refuses"}
        ready = all(word == "ok" for word in state.values())
        return _json({"status": "ready" if ready else "not ready", **state}, 200 if ready else 503)

    async def metrics(self, request: Request) -> Response:
        """All metrics; without those of the ledger while the database is away."""
        try:
            figures = await self._figures.get()
        except DaygateError as error:
            log.warning("No figures of the ledger: %s", error)
            figures = None
        body, kind = exposition(
            figures, heartbeat_age=self._health.heartbeat_age(), accept=request.headers.get("accept", "")
        )
        return Response(body, headers={"content-type": kind, **_FRESH})

    async def runs(self, request: Request) -> Response:
        """A page of runs, the last claimed first: `limit`, `before` (a run id) and `day` in the query."""
        try:
            limit, before, day = _asked(request)
        except ValueError as error:
            return _json({"error": str(error)}, 400)
        try:
            # One more than asked for tells whether there is a next page.
            found = await self._ledger.ask(
                lambda connection: ledger.page(connection, limit=limit + 1, before=before, day=day)
            )
        except DaygateError as error:
            return _unanswered(error)
        shown = found[:limit]
        more = None
        if len(found) > limit:
            more = f"/api/runs?limit={limit}&before={shown[-1].run_id}" + (f"&day={day}" if day else "")
        return _json({"runs": [_run(run) for run in shown], "next": more})

    async def run(self, request: Request) -> Response:
        """One run with its checks and their rules."""
        run_id = request.path_params["run_id"]
        if not _RUN_ID.fullmatch(run_id):
            return _json({"error": "There is no such run."}, 404)
        try:
            summary, checks = await self._ledger.ask(lambda connection: _told(connection, run_id))
        except DaygateError as error:
            return _unanswered(error)
        if summary is None:
            return _json({"error": "There is no such run."}, 404)
        return _json({**_run(summary), "checks": [_check(check) for check in checks]})


def _state(connection: Connection, *, settings: Settings) -> dict[str, str]:
    """Database, schema and ledger, each `ok` or what is wrong; alerts only when something is."""
    known, newest = database.version(connection), database.newest_version()
    if known != newest:
        wrong = "missing" if known is None else "older" if known < newest else "newer"
        return {"database": "ok", "schema": wrong}
    late = ledger_figures.is_late(connection, by=settings.sla_time, first=settings.start_day)
    lost = {"alerts": "given up"} if outbox.any_given_up(connection) else {}
    return {"database": "ok", "schema": "ok", "ledger": "late" if late else "ok", **lost}


def _told(connection: Connection, run_id: str) -> tuple[DaySummary | None, list[CheckResult]]:
    return ledger.by_id(connection, run_id), quality_log.checks_of(connection, run_id)


def _asked(request: Request) -> tuple[int, str | None, date | None]:
    """Limit, before and day of a query; a ValueError says which one is wrong, never what it was."""
    known = {"limit": str(_PAGE)} | dict(request.query_params)
    if known.keys() - {"limit", "before", "day"}:
        raise ValueError("The query may hold limit, before and day.")
    if not _LIMIT.fullmatch(known["limit"]) or not 1 <= int(known["limit"]) <= _LONGEST_PAGE:
        raise ValueError(f"limit is a number from 1 to {_LONGEST_PAGE}.")
    before, day = known.get("before"), known.get("day")
    if before is not None and not _RUN_ID.fullmatch(before):
        raise ValueError("before is the id of a run.")
    if day is not None and not _DAY.fullmatch(day):
        raise ValueError("day is written YYYY-MM-DD.")
    try:
        return int(known["limit"]), before, date.fromisoformat(day) if day else None
    except ValueError:
        raise ValueError("day is not in the calendar.") from None


def _run(run: DaySummary) -> dict[str, object]:
    """A run as JSON-ready facts; moments as ISO 8601, revenue exact as text."""
    facts: dict[str, object] = asdict(run) | {"outcome": run.outcome}
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in facts.items()}


def _check(check: CheckResult) -> dict[str, object]:
    """A check as JSON-ready facts, without sample lines: those hold what came in events."""
    return {name: value for name, value in asdict(check).items() if name != "samples"}


def _unanswered(error: DaygateError) -> Response:
    log.warning("The ledger was not read for the web: %s", error)
    return _json({"error": "The ledger cannot be read now."}, 503)


def _json(content: object, status: int = 200) -> Response:
    # Pure ASCII: no value can act on the terminal of who reads it.
    text = json.dumps(content, allow_nan=False) + "\n"
    return Response(text, status_code=status, media_type="application/json", headers=_FRESH)
