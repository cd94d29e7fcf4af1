"""Which of several services acts: the one whose session holds an advisory lock of the database.

The lock only saves work. A leader that lost it without knowing is stopped by the fence of its run.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from pipeline import database
from pipeline.database import LOCK_CLASS, Connection, one, translated
from pipeline.errors import DaygateError

log = logging.getLogger(__name__)

#: Second half of the leader's advisory lock; a day's is its ordinal, which is positive.
_LEADER: Final = -2


class Leadership:
    """The lock, or the wish for it, on a connection of its own that stays open."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._url = ""
        self._asking = threading.Lock()

    def held(self, url: str) -> bool:
        """Whether this process is the leader now; it becomes the leader when nobody is.

        Args:
            url: the database; another one than the last time starts anew.

        Raises:
            TransientError, SettingsError: the database cannot be asked, so nobody knows.
        """
        with self._asking:
            return self._held(url)

    def _held(self, url: str) -> bool:
        if url != self._url:
            self.give_up()
            self._url = url
        if self._connection is not None:
            try:
                return self._try(self._connection)
            except DaygateError as error:
                log.info("The leader's connection was lost: %s", error)
                self.give_up()
        self._connection = database.connect(url, name="leader")
        self._connection.autocommit = True
        return self._try(self._connection)

    def give_up(self) -> None:
        """Let another service lead."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _try(self, connection: Connection) -> bool:
        with translated("asking who leads"), connection.cursor() as cursor:
            # Taking a lock that is already held would count it twice: the session is asked first.
            cursor.execute(
                "SELECT CASE WHEN EXISTS (SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database"
                " WHERE d.datname = current_database() AND l.locktype = 'advisory' AND l.granted"
                " AND l.pid = pg_backend_pid() AND l.classid = %(class)s::bigint::oid"
                " AND l.objid = (%(leader)s::bigint & 4294967295)::oid AND l.objsubid = 2)"
                " THEN true ELSE pg_try_advisory_lock(%(class)s, %(leader)s) END",
                {"class": LOCK_CLASS, "leader": _LEADER},
            )
            return bool(one(cursor)[0])
