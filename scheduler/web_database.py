"""How the web reads the ledger: off the event loop, a few at a time, and never waited for without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import closing
from typing import Final, Generic, TypeVar

from pipeline import database, postgres
from pipeline.database import Connection
from pipeline.errors import TransientError
from pipeline.settings import Settings

T = TypeVar("T")
#: Connections the web holds at most; PostgreSQL's others belong to runs.
_AT_ONCE: Final = 4
_STATEMENT_SECONDS: Final = 5
_LOCK_SECONDS: Final = 2


def address(settings: Settings) -> str:
    """The configured server, or the embedded one where it runs now; nothing is started.

    Raises:
        TransientError: the embedded server does not run.
    """
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    return postgres.running_url(settings.home)


class Ledger:
    """The database for readers. Belongs to one event loop."""

    def __init__(self, url: Callable[[], str]) -> None:
        """Asks for the URL each time: an embedded server may come back on another port."""
        self._url = url
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer, read on a connection of its own that cannot write.

        Raises:
            TransientError: the database is away.
            DatabaseError, SettingsError: it refuses.
        """
        async with self._free:
            return await asyncio.to_thread(self._answer, question)

    def _answer(self, question: Callable[[Connection], T]) -> T:
        limits = {"statement_seconds": _STATEMENT_SECONDS, "lock_seconds": _LOCK_SECONDS}
        with closing(database.connect(self._url(), name="web", **limits)) as connection:
            connection.set_session(readonly=True)
            return question(connection)


class Shared(Generic[T]):
    """The answer to one question that many ask: asked once at a time and kept for a moment.

    However many clients come, and however long the database hangs, there is one connection under way.
    """

    def __init__(self, ledger: Ledger, question: Callable[[Connection], T], *, keep: float, patience: float) -> None:
        """Keeps an answer, or the error, for `keep` seconds; nobody waits longer than `patience` seconds."""
        self._ledger = ledger
        self._question = question
        self._keep = keep
        self._patience = patience
        self._asked: asyncio.Task[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """The newest answer.

        Raises:
            TransientError: the database is away, or slow.
            DatabaseError, SettingsError: it refuses.
        """
        loop = asyncio.get_running_loop()
        asked = self._asked
        if asked is None or (asked.done() and loop.time() >= self._until):
            asked = self._asked = loop.create_task(self._ledger.ask(self._question))
            asked.add_done_callback(self._keep_for_a_moment)
        await asyncio.wait({asked}, timeout=self._patience)
        if not asked.done():
            raise TransientError("PostgreSQL does not answer.")
        return asked.result()

    def _keep_for_a_moment(self, asked: asyncio.Task[T]) -> None:
        self._until = asyncio.get_running_loop().time() + self._keep
        if not asked.cancelled():
            # Looked at even when everyone has stopped waiting, or asyncio would complain.
            asked.exception()
