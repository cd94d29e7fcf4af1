"""Who is measured, and how each is called."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
CONTENDERS: Final = Path(__file__).parent / "contenders"
DAY: Final = "2026-01-15"
FILE: Final = "events_20260115.jsonl"
#: Share of the lines it concerns that each of the simulator's faults is planted in.
RATE: Final = 0.005
SEED: Final = 7
OURS: Final = "daygate"


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """Somebody who turns a file into a verdict."""

    name: str
    #: Python that imports what is imported before or beside any work, measured apart.
    imports: str
    #: File below `contenders/`; None for daygate itself.
    script: str | None
    #: Too slow for the largest file and for many rounds.
    slow: bool
    #: It expresses all seven checks.
    full: bool
    gives: str
    leaves_out: str


CHECKERS: Final = (
    Contender(
        name=OURS,
        imports="from scheduler.ahead import have_gate; have_gate(spark=False)",
        script=None,
        slow=False,
        full=True,
        gives="every failing line with every reason, samples, every line accounted for",
        leaves_out="nothing",
    ),
    Contender(
        name="DuckDB SQL",
        imports="import duckdb",
        script="duckdb_sql.py",
        slow=False,
        full=False,
        gives="counts only",
        leaves_out="malformed lines and wrong types (cast or lost silently), repeated keys, failing lines, reasons",
    ),
    Contender(
        name="polars by hand",
        imports="import polars",
        script="polars_by_hand.py",
        slow=False,
        full=True,
        gives="counts",
        leaves_out="malformed lines (dropped before reading), wrong types (null silently), repeated keys, reasons",
    ),
    Contender(
        name="dataframely",
        imports="import dataframely",
        script="dataframely_schema.py",
        slow=False,
        full=True,
        gives="failing lines with the names of their rules",
        leaves_out="as polars; rules over several lines are custom, over helper columns",
    ),
    Contender(
        name="pandera (polars)",
        imports="import pandera.polars",
        script="pandera_polars.py",
        slow=False,
        full=True,
        gives="failing values",
        leaves_out="as polars; rules over several columns or lines are custom, over helper columns",
    ),
    Contender(
        name="Soda Core on DuckDB",
        imports="import duckdb, soda.scan",
        script="soda_duckdb.py",
        slow=False,
        full=False,
        gives="counts, a sample of 100 rows",
        leaves_out="as DuckDB SQL; whatever needs two columns or lines is hand-written SQL",
    ),
    Contender(
        name="pointblank (polars)",
        imports="import pointblank, polars",
        script="pointblank_steps.py",
        slow=False,
        full=True,
        gives="extracts of failing rows for each step",
        leaves_out="as polars; rules over several columns or lines are custom, over helper columns",
    ),
    Contender(
        name="pure Python, the original's kind",
        imports="import json, re",
        script="pure_python.py",
        slow=True,
        full=True,
        gives="counts",
        leaves_out="repeated keys; malformed lines are counted and forgotten",
    ),
    Contender(
        name="GX, core expectations",
        imports="import great_expectations, polars, pandas",
        script="gx_core.py",
        slow=True,
        full=False,
        gives="samples of 20 and indices of unexpected values",
        leaves_out="malformed lines, wrong types, the order and platform of a session, order totals, first copies",
    ),
)
