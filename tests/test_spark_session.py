"""The one Spark session: made from the settings, quiet, on this machine only, and gone with all its files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.errors import SettingsError, StepFailed
from pipeline.settings import Settings
from pipeline.spark import cluster, configuration, gateway
from pipeline.spark import session as sessions
from pipeline.spark.place import take
from pipeline.spark.tasks import on_executors

pytest_plugins = ["spark_fixtures"]
pytestmark = pytest.mark.spark

ROOT = Path(__file__).parent.parent
#: A session, a failure, a Java that is killed, another session; prints what it saw as JSON, all else is noise.
PROGRAM = """
import json, sys
from pathlib import Path
from pipeline.settings import Settings
from pipeline.spark import session as sessions

settings = Settings(home=Path(sys.argv[1]), spark_master="local[1]", spark_driver_memory=sys.argv[2])
with sessions.session(settings) as spark:
    context = spark.sparkContext
    seen = {
        "java": context._jvm.System.getProperty("java.version"),
        "ui": context.uiWebUrl,
        "heap": context._jvm.Runtime.getRuntime().maxMemory(),
        "folders": len(list(settings.home.glob("spark/driver-*"))),
    }
    try:
        with sessions.failures("check", settings):
            spark.sql("SELECT CAST('U000042' AS INT)").collect()
    except Exception as error:
        seen["error"] = [type(error).__name__, str(error)]
    context._gateway.proc.kill()
    context._gateway.proc.wait()
with sessions.session(settings) as again:
    seen["after"] = again.range(10).count()
print(json.dumps(seen))
"""


def run(home, *, memory="600m"):
    """The program in a process of its own, without a JAVA_HOME."""
    around = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(home), memory],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=around | {"PYTHONPATH": str(ROOT)},
    )


def test_figures_mean_the_same_wherever_it_runs(spark):
    """The business zone, strict arithmetic, columns handed over as they are."""
    assert {name: spark.conf.get(name) for name in configuration.MEANING} == configuration.MEANING
    assert spark.sql("SELECT hour(timestamp '2026-01-15T15:30:00Z')").first()[0] == 0


def test_a_process_has_one_session(spark):
    """Whoever asks next, with whatever settings, gets the same."""
    with sessions.session(Settings(spark_shuffle_partitions=99)) as other:
        assert other is spark
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"


def test_errors_of_spark_become_errors_of_ours_without_values(spark, spark_settings):
    """The kind of error is told, the values that caused it are not; other errors pass."""
    with pytest.raises(StepFailed, match="CAST_INVALID_INPUT") as failed, sessions.failures("load", spark_settings):
        spark.sql("SELECT CAST('U000042' AS INT)").collect()
    with pytest.raises(ZeroDivisionError), sessions.failures("load", spark_settings):
        _ = 1 / 0

    assert failed.value.step == "load"
    assert "U000042" not in failed.value.message + failed.value.hint


def test_a_whole_life_of_a_session(tmp_path):
    """The wheel's Java, a page on this machine, a quiet terminal; a Java that dies is replaced; nothing stays."""
    home = tmp_path / "ho me"

    done = run(home)

    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert done.stderr == ""
    assert seen["java"].startswith("21.")
    assert seen["ui"].startswith("http://127.0.0.1:")
    assert 500 << 20 < seen["heap"] <= 600 << 20
    assert seen["error"] == ["StepFailed", "Spark could not finish the step check: CAST_INVALID_INPUT."]
    assert (seen["folders"], seen["after"]) == (1, 10)
    assert {file.name.split("-")[0] for file in (home / "spark").iterdir()} == {"java", "spark.log"}
    assert (home / "spark").stat().st_mode & 0o077 == 0
    assert (home / "spark" / "spark.log").stat().st_mode & 0o077 == 0


def test_what_a_killed_driver_leaves_is_swept_by_the_next(tmp_path):
    """A folder goes away once nobody holds its lock, and not before."""
    mine = take(tmp_path)
    killer = "import os, sys; from pathlib import Path; from pipeline.spark.place import take; take(Path(sys.argv[1]))"
    killed = subprocess.run(
        [sys.executable, "-c", f"{killer}; os.kill(os.getpid(), 9)", tmp_path], cwd=ROOT, check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob("spark/driver-*"))) == 2

    other = take(tmp_path)

    assert set(tmp_path.glob("spark/driver-*")) == {mine.folder, other.folder}
    mine.remove()
    other.remove()


def test_a_java_that_does_not_start_is_told_with_its_own_words(tmp_path):
    """More memory than there are addresses for: no session and no folder stay behind."""
    done = run(tmp_path, memory="900000g")

    assert done.returncode == 1
    assert "StepFailed: Spark does not start on local[1]: Could not reserve enough space" in done.stderr
    assert not list(tmp_path.glob("spark/driver-*"))


def test_without_spark_the_next_command_is_told(monkeypatch):
    """Exit code 2 by its class."""
    monkeypatch.setitem(sys.modules, "pyspark", None)

    with pytest.raises(SettingsError) as refused, sessions.session(Settings()):
        pass

    assert "make setup-spark" in refused.value.hint


@pytest.mark.parametrize(
    "master", ["local", "local[*]", "local[4]", "spark://10.0.0.7:7077", "sc://host:15002/;token=x"]
)
def test_masters_that_are_known(master):
    """This machine, a cluster, Connect."""
    assert Settings(spark_master=master).spark_master == master


@pytest.mark.parametrize("master", ["", "yarn", "local[0]", "local[2,3]", "spark://", "spark://a b", "http://x"])
def test_masters_that_are_not(master):
    """Told at the start, not after twenty seconds."""
    with pytest.raises(ValidationError):
        Settings(spark_master=master)


def test_another_cluster_gets_neither_loopback_nor_the_secret_of_ours(tmp_path):
    """What `make spark-up` wrote is for its own address; cores are told when they were chosen."""
    known = cluster.of(tmp_path).properties
    known.parent.mkdir(parents=True)
    configuration.write(known, {"spark.master": "spark://127.0.0.1:7077", "spark.authenticate.secret": "ours"})
    ours = Settings(home=tmp_path, spark_master="spark://127.0.0.1:7077")
    theirs = Settings(home=tmp_path, spark_master="spark://far.example:7077", spark_executor_cores=3)
    here, there = configuration.of(ours, tmp_path), configuration.of(theirs, tmp_path)

    assert here["spark.authenticate.secret"] == "ours"
    assert "spark.authenticate.secret" not in there
    assert here["spark.driver.host"] == configuration.environment(ours.spark_master, tmp_path)["SPARK_LOCAL_IP"]
    assert "spark.driver.host" not in there
    assert "SPARK_LOCAL_IP" not in configuration.environment(theirs.spark_master, tmp_path)
    assert (there["spark.executor.cores"], "spark.executor.cores" in here) == ("3", False)


def test_the_environment_is_as_it_was_once_java_runs(monkeypatch):
    """What a person had set is set again, and what was not there is gone."""
    monkeypatch.setenv("JAVA_HOME", "theirs")
    monkeypatch.delenv("SPARK_LOCAL_IP", raising=False)
    with gateway._environment({"JAVA_HOME": "ours", "SPARK_LOCAL_IP": "127.0.0.1"}):
        assert (os.environ["JAVA_HOME"], os.environ["SPARK_LOCAL_IP"]) == ("ours", "127.0.0.1")

    assert os.environ["JAVA_HOME"] == "theirs"
    assert "SPARK_LOCAL_IP" not in os.environ


def test_stopping_a_cluster_that_does_not_run_is_fine(monkeypatch, tmp_path, capsys):
    """`make spark-down` may be repeated."""
    monkeypatch.setenv("DAYGATE_HOME", str(tmp_path))

    assert cluster.main(["down"]) == 0
    assert capsys.readouterr().out == "0 processes stopped.\n"


def test_nothing_to_do_needs_no_executors():
    """A delivery without parts is no reason to ask a cluster."""
    assert on_executors(None, str, []) == []


def test_a_connect_token_is_never_shown():
    """It follows the port."""
    assert sessions.shown("sc://me:pw@host:15002/;token=secret") == "sc://host:15002"
    assert sessions.shown("local[*]") == "local[*]"
