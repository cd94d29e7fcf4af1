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

    #: Seconds to wait for a place, and again for the answer.
    patience = 5.0

    def __init__(self, url: Callable[[], str]) -> None:
        """Asks for the URL each time: an embedded server may come back on another port."""
        self._url = url
        self._free = asyncio.Semaphore(_AT_ONCE)

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """The answer, read on a connection of its own that cannot write.

        Raises:
            TransientError: the database is away, slow, or busy with other readers.
            DatabaseError, SettingsError: it refuses.
        """
        try:
            await asyncio.wait_for(self._free.acquire(), self.patience)
        except TimeoutError:
            raise _no_answer() from None
        # A thread cannot be stopped: whoever loses patience leaves it alone, and it keeps its place until it ends.
        asked = asyncio.get_running_loop().create_task(asyncio.to_thread(self._answer, question))
        asked.add_done_callback(self._give_back)
        await asyncio.wait({asked}, timeout=self.patience)
        if not asked.done():
            raise _no_answer()
        return asked.result()

    def _give_back(self, asked: asyncio.Task[T]) -> None:
        self._free.release()
        _looked_at(asked)

    def _answer(self, question: Callable[[Connection], T]) -> T:
        with closing(
            database.connect(self._url(), name="http", statement_seconds=_STATEMENT_SECONDS, lock_seconds=_LOCK_SECONDS)
        ) as connection:
            connection.set_session(readonly=True)
            return question(connection)


class Shared(Generic[T]):
    """The answer to one question that many ask: asked once at a time and kept for a moment."""

    def __init__(self, ledger: Ledger, question: Callable[[Connection], T], *, keep: float) -> None:
        """Keeps an answer, or the error, for `keep` seconds."""
        self._ledger = ledger
        self._question = question
        self._keep = keep
        self._asked: asyncio.Task[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """The newest answer; raises as `Ledger.ask`."""
        loop = asyncio.get_running_loop()
        asked = self._asked
        if asked is None or (asked.done() and loop.time() >= self._until):
            asked = self._asked = loop.create_task(self._ledger.ask(self._question))
            asked.add_done_callback(self._keep_for_a_moment)
        # Not `await asked`: one client that is cancelled would take the answer from all others.
        await asyncio.wait({asked})
        return asked.result()

    def _keep_for_a_moment(self, asked: asyncio.Task[T]) -> None:
        self._until = asyncio.get_running_loop().time() + self._keep
        _looked_at(asked)


def _looked_at(asked: asyncio.Task[T]) -> None:
    """An error that nobody waits for any more is no news; asyncio would complain about it."""
    if not asked.cancelled():
        asked.exception()


def _no_answer() -> TransientError:
    return TransientError("PostgreSQL does not answer.")
