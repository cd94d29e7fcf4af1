"""The four marts of a run, computed beside what readers see.

Each is one SQL file, a SELECT with a header that says what it builds, at which grain, and what it reads. They
run in connections of their own at the same time; `visits` is built first for those that share it.
"""

from __future__ import annotations

import re
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from pipeline import database, workspace
from pipeline.database import MARTS_FOLDER
from pipeline.failpoints import failpoint
from pipeline.load import LoadReceipt
from pipeline.records import Run

_HEADER: Final = re.compile(r"^-- (mart|shared|aggregate|grain|reads|idempotent): (.+)$", re.MULTILINE)
_COLUMNS: Final = re.compile(r"^-- column: (.+)$", re.MULTILINE)
#: What sorting and grouping may take before it goes to the disk.
_MEMORY: Final = "SET LOCAL work_mem = '128MB'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Mart:
    """One SQL file and what its header says."""

    name: str
    grain: tuple[str, ...]
    reads: tuple[str, ...]
    #: "name type" each, of a mart whose table no migration makes.
    columns: tuple[str, ...]
    sql: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MartTables:
    """The built marts and what the day comes to."""

    #: mart -> rows.
    rows: dict[str, int]
    unique_users: int
    sessions: int
    purchases: int
    #: Won, exact, as text.
    revenue: str


@cache
def read(name: str, folder: Path = MARTS_FOLDER) -> Mart:
    """The SQL file of that name with its header."""
    sql = (folder / f"{name}.sql").read_text(encoding="utf-8")
    header = dict(_HEADER.findall(sql))
    return Mart(
        name=header.get("mart") or header.get("aggregate") or header["shared"],
        grain=tuple(header["grain"].split(", ")),
        reads=tuple(header["reads"].split(", ")),
        columns=tuple(_COLUMNS.findall(sql)),
        sql=sql,
    )


def all_marts() -> tuple[Mart, ...]:
    """The published marts, by name."""
    return tuple(read(file.stem) for file in sorted(MARTS_FOLDER.glob("mart_*.sql")))


def build(url: str, run: Run, receipt: LoadReceipt) -> MartTables:
    """Compute the marts of the loaded day into the run's schema; may be repeated.

    Raises:
        TransientError, DatabaseError: as `database.translated`.
    """
    shared, marts = read("visits"), all_marts()
    with ThreadPoolExecutor(max_workers=len(marts) + 1) as pool:
        visits = pool.submit(_materialise, url, run, shared)
        jobs = {
            mart.name: pool.submit(_materialise, url, run, mart, visits if shared.name in mart.reads else None)
            for mart in marts
        }
        rows = {name: job.result() for name, job in jobs.items()}
    failpoint("marts.built")
    with database.transaction(url, name="marts", doing=f"summing up {receipt.table}") as cursor:
        workspace.enter(cursor, run)
        cursor.execute(_MEMORY)
        cursor.execute(read("day_figures").sql)
        users, sessions, purchases, revenue = database.one(cursor)
    return MartTables(rows=rows, unique_users=users, sessions=sessions, purchases=purchases, revenue=revenue)


def _materialise(url: str, run: Run, mart: Mart, after: Future[int] | None = None) -> int:
    """Run one file into a table of its name; the number of rows."""
    if after is not None:
        after.result()
    with database.transaction(url, name=mart.name, doing=f"building {mart.name}") as cursor:
        workspace.enter(cursor, run)
        cursor.execute(_MEMORY)
        cursor.execute(f"DROP TABLE IF EXISTS {workspace.schema_of(run)}.{mart.name}")
        cursor.execute(f"CREATE TABLE {workspace.schema_of(run)}.{mart.name} AS {mart.sql}")
        return int(cursor.rowcount)
