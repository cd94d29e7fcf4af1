"""Settings as Spark reads them: properties, environment and the log's own configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from pipeline.errors import SettingsError
from pipeline.files import replace_file
from pipeline.settings import Settings
from pipeline.spark.place import log_file
from pipeline.zone import ZONE

LOOPBACK: Final = "127.0.0.1"
#: What decides which figures come out, on whatever cluster.
MEANING: Final[Mapping[str, str]] = {
    "spark.sql.session.timeZone": str(ZONE),
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.sql.execution.arrow.pyspark.fallback.enabled": "false",
}
#: What spares time and changes nothing.
QUICK: Final[Mapping[str, str]] = {
    # Looks up the caller of every single column expression, of which the rules have thousands.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
}
_SECRETS: Final = frozenset({"spark.authenticate", "spark.authenticate.secret", "spark.network.crypto.enabled"})
_UNESCAPED: Final = re.compile(r"\\(.)")
#: The folder that holds our packages: executors of a checkout import them from there.
_PACKAGES: Final = Path(__file__).resolve().parents[2]


def of(settings: Settings, folder: Path) -> dict[str, str]:
    """Spark's properties for a driver of ours.

    Args:
        folder: the driver's own, for everything it writes.
    """
    log4j = folder / "log4j2.properties"
    replace_file(log4j, _log4j2(log_file(settings.home)).encode())
    options = [f"-Dlog4j2.configurationFile={log4j.as_uri()}", f"-Djava.io.tmpdir={folder}", "-XX:-UsePerfData"]
    found = {
        **MEANING,
        **QUICK,
        "spark.app.name": "daygate",
        "spark.master": settings.spark_master,
        "spark.driver.memory": settings.spark_driver_memory,
        "spark.driver.extraJavaOptions": " ".join(f'"{option}"' for option in options),
        "spark.executor.memory": settings.spark_executor_memory,
        "spark.sql.shuffle.partitions": str(settings.spark_shuffle_partitions),
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": str(settings.spark_ui and on_this_machine(settings.spark_master)).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.executorEnv.PYTHONPATH": _python_path(),
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    if settings.spark_executor_cores is not None:
        found["spark.executor.cores"] = str(settings.spark_executor_cores)
    if on_this_machine(settings.spark_master):
        found |= {"spark.driver.host": LOOPBACK, "spark.driver.bindAddress": LOOPBACK}
    return found | _secrets(settings)


def heap_bytes(size: str) -> int:
    """Bytes of a size as the settings have it, `2g`."""
    return int(size[:-1]) * {"m": 1 << 20, "g": 1 << 30}[size[-1]]


def _secrets(settings: Settings) -> dict[str, str]:
    """What opens the cluster that `make spark-up` started in the same home; other clusters have their defaults file."""
    with suppress(FileNotFoundError):
        known = read(settings.home.absolute() / "spark" / "cluster" / "cluster.properties")
        if known["spark.master"] == settings.spark_master:
            return {name: value for name, value in known.items() if name in _SECRETS}
    return {}


def environment(master: str, java_home: Path) -> dict[str, str]:
    """What the launcher and Java find around them."""
    found = {
        "JAVA_HOME": str(java_home),
        "SPARK_HOME": str(spark_home()),
        "PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable),
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    if on_this_machine(master):
        found["SPARK_LOCAL_IP"] = LOOPBACK
    return found


def submit_arguments(properties: Path) -> str:
    """`PYSPARK_SUBMIT_ARGS`: our properties, over those of a cluster's spark-defaults.conf."""
    quoted = str(properties).replace("\\", "\\\\").replace('"', '\\"')
    return f'--properties-file "{quoted}" --load-spark-defaults pyspark-shell'


def installed() -> bool:
    """Whether the extra is there."""
    return find_spec("pyspark") is not None


def require_installed() -> None:
    """Refuse early when Spark is not there.

    Raises:
        SettingsError: it is not installed.
    """
    spark_home()


def spark_home() -> Path:
    """The installed package, which is a whole Spark; a `SPARK_HOME` of another version would not fit it.

    Raises:
        SettingsError: it is not installed.
    """
    spec = find_spec("pyspark")
    if spec is None or spec.origin is None:
        raise SettingsError("Spark is not installed.", hint="make setup-spark, or pip install 'daygate[spark]'")
    return Path(spec.origin).parent


def on_this_machine(master: str) -> bool:
    """Whether nobody beyond this machine takes part."""
    return master.startswith("local") or urlsplit(master).hostname in {LOOPBACK, "localhost", "::1"}


def write(path: Path, properties: Mapping[str, str]) -> None:
    """A properties file, readable for its owner only from its first byte on."""
    path.touch(mode=0o600)
    lines = (f"{name}={_escaped(value)}\n" for name, value in sorted(properties.items()))
    path.write_text("".join(lines), encoding="utf-8")


def read(path: Path) -> dict[str, str]:
    """A properties file of `write`."""
    pairs = (line.partition("=") for line in path.read_text(encoding="utf-8").splitlines())
    return {
        name: _UNESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], value) for name, _, value in pairs
    }


def _log4j2(file: Path) -> str:
    """Warnings and worse into one file that is begun anew at 5 MB; nothing to the terminal."""
    return f"""status=error
rootLogger.level=warn
rootLogger.appenderRef.file.ref=file
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={_escaped(str(file))}
appender.file.filePattern={_escaped(str(file))}.old
appender.file.filePermissions=rw-------
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd HH:mm:ss}} %p %c{{1}}: %m%n%ex
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=5MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
"""


def _python_path() -> str:
    given = os.environ.get("PYTHONPATH", "")
    return os.pathsep.join([str(_PACKAGES), *(part for part in given.split(os.pathsep) if part)])


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n")
