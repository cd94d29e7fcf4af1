"""Which engine takes a delivery, and the steps that each does in its own way.

`pandas` stands for one machine without Spark. What an engine staged it also judges, loads and quarantines.
What reads columns is imported by the steps that do: until then worker processes could parse.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from pipeline import stage as local_stage
from pipeline.contract import Contract
from pipeline.progress import Progress
from pipeline.records import CheckReport, Delivery, Engine, EngineChoice, Run, Staged
from pipeline.settings import Settings
from pipeline.spark import configuration

if TYPE_CHECKING:
    from pipeline.load import LoadReceipt


def require(asked: EngineChoice) -> None:
    """Refuse early what cannot be had.

    Raises:
        SettingsError: Spark is asked for and not installed.
    """
    if asked == "spark":
        configuration.require_installed()


def choose(asked: EngineChoice, settings: Settings, delivery: Delivery) -> Engine:
    """The engine for a delivery; auto takes Spark for big ones, where it is installed."""
    if asked != "auto":
        return asked
    return "spark" if delivery.size >= settings.spark_from_bytes and configuration.installed() else "pandas"


def settled(asked: EngineChoice, settings: Settings, sources: Iterable[Path | Literal["-"]]) -> EngineChoice:
    """What was asked for; pandas where that is auto, which takes it for every one of these files as they look now.

    Whoever then imports Great Expectations can leave out what it has for Spark, and start workers ahead.
    """
    if asked != "auto":
        return asked
    small = all(_is_small(source, settings.spark_from_bytes) for source in sources)
    return "pandas" if small or not configuration.installed() else asked


def _is_small(source: Path | Literal["-"], most_bytes: int) -> bool:
    if source == "-" or source.suffix != ".jsonl":
        return False
    try:
        return source.stat().st_size < most_bytes
    except OSError:  # told when it is read
        return False


@contextmanager
def work_folder(settings: Settings, asked: EngineChoice) -> Iterator[tuple[Path, bool]]:
    """A folder that goes away with the block, and whether executors on other machines must see it.

    Such a folder is in the home, which a cluster has in common.
    """
    shared = asked != "pandas" and not settings.spark_master.startswith("local")
    place = settings.home / "work" if shared else None
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="daygate-", dir=place) as folder:
        yield Path(folder), shared


def stage(
    settings: Settings,
    engine: Engine,
    delivery: Delivery,
    *,
    day: date,
    contract: Contract,
    folder: Path,
    progress: Progress,
    workers: local_stage.Workers,
    meanwhile: Callable[[], None] | None = None,
) -> Staged:
    """Stage a delivery; as `pipeline.stage.stage`."""
    if engine == "pandas":
        return local_stage.stage(
            delivery,
            day=day,
            contract=contract,
            folder=folder,
            workers=workers,
            on_progress=progress.advance,
            meanwhile=meanwhile,
        )
    from pipeline.spark import session, stage  # noqa: PLC0415  # an extra

    with session.session(settings) as spark, session.failures("stage", settings):
        session.tell_link(spark, progress)
        return stage.stage(spark, delivery, day=day, contract=contract, folder=folder, on_progress=progress.advance)


def count_failing(settings: Settings, engine: Engine, listed: Path, critical: Collection[str]) -> int:
    """Failing lines that are kept out of the tables, counted where they were listed."""
    from pipeline import failing  # noqa: PLC0415  # polars

    work, files = partial(failing.count, critical=critical), failing.files(listed)
    if engine == "pandas":
        return sum(map(work, files))
    from pipeline.spark import session, tasks  # noqa: PLC0415  # an extra

    with session.session(settings) as spark, session.failures("check", settings):
        return sum(tasks.on_executors(spark, work, files))


def load(
    settings: Settings, url: str, run: Run, staged: Staged, report: CheckReport, contract: Contract
) -> LoadReceipt:
    """Load the good lines of a staged delivery; as `pipeline.load.load`."""
    if staged.engine == "pandas":
        from pipeline import load as local_load  # noqa: PLC0415  # polars

        return local_load.load(url, run, staged, report, contract)
    from pipeline.spark import load, session  # noqa: PLC0415  # an extra

    with session.session(settings) as spark, session.failures("load", settings):
        return load.load(spark, url, run, staged, report, contract)


def keep_out(settings: Settings, url: str, run: Run, staged: Staged, report: CheckReport) -> None:
    """Bring the lines that are kept out as close to the quarantine as can be before the publish; may be repeated."""
    if staged.engine == "pandas":
        return  # the publish copies them itself
    from pipeline.spark import load, session  # noqa: PLC0415  # an extra

    with session.session(settings) as spark, session.failures("quarantine", settings):
        load.keep(spark, url, run, staged, report)
