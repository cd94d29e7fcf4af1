"""Libraries that Great Expectations imports for what is hardly ever used wait until they are used, or stay away."""

from __future__ import annotations

import json
import subprocess
import sys

_JUDGE_A_DISTRIBUTION = """
import sys
from scheduler.ahead import have_gate
have_gate(spark=False)
before = [name for name in ("altair", "scipy.stats", "pyspark", "sqlalchemy") if name in sys.modules]
import great_expectations, pandas
from great_expectations.expectations import ExpectColumnKLDivergenceToBeLessThan
context = great_expectations.get_context(mode="ephemeral")
asset = context.data_sources.add_pandas("pandas").add_dataframe_asset("events")
frame = pandas.DataFrame({"platform": ["web", "web", "ios"]})
batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
wanted = {"values": ["web", "ios"], "weights": [0.6, 0.4]}
result = batch.validate(
    ExpectColumnKLDivergenceToBeLessThan(column="platform", partition_object=wanted, threshold=0.1)
)
print(before, result.success, "scipy.stats" in sys.modules)
"""

_STAND_IN = """
import sys
from scheduler.postponed import postponed
with postponed("wave", "json"):
    import json
    import wave as held
    before = "held" in globals() and "open" not in vars(held)
import wave
print(before, wave is not held, held.open is wave.open, json.dumps([1]))
"""

_AFTERWARDS = """
from scheduler.ahead import have_gate
have_gate(spark=False)
import pyspark, sqlalchemy
from great_expectations.compatibility import pyspark as known
from pyspark.sql import SparkSession
print(sqlalchemy.create_engine("sqlite://").connect().execute(sqlalchemy.text("SELECT 7")).scalar(),
      SparkSession.__name__, bool(known.SparkSession))
"""

_MEANWHILE = """
import json, sys, threading
from scheduler.postponed import absent
found = []
with absent("wave", "json", "colorsys"):
    import json
    for attempt in range(2):
        try:
            import wave
        except ModuleNotFoundError as error:
            found.append(error.name)
    other = threading.Thread(target=lambda: found.append(__import__("colorsys").__name__))
    other.start()
    other.join()
    import colorsys
import wave
print(found, bool(wave.open), json.dumps([1]), len([one for one in sys.meta_path if "absent" in repr(one).lower()]))
"""

_JUDGE_FOR_SPARK = """
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from pipeline import contract as contracts
from pipeline.progress import Silent
from pipeline.settings import Settings
from scheduler import checking
from scheduler.staging import staging
settings, contract = Settings(), contracts.load()
file = Path(sys.argv[1])
print(checking.check_file(settings, file, day=date(2026, 1, 15), engine="pandas", failed_rows=None, report_folder=None,
                          progress=Silent()).report.verdict)
from gx import gate
with staging(settings, file, day=date(2026, 1, 15), contract=contract, progress=Silent()) as (staged, folder):
    try:
        gate.check(replace(staged, engine="spark"), settings=settings, contract=contract, folder=folder)
    except RuntimeError as error:
        print(error)
"""


def _answer(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_gate_comes_without_libraries_for_distributions_and_they_come_when_one_is_judged():
    """An expectation about a distribution, which a user may add, works as ever."""
    assert _answer(_JUDGE_A_DISTRIBUTION) == "[] True True"


def test_a_stand_in_is_found_by_nobody_after_the_block_and_gives_what_the_module_has():
    """Who imported it in the block has the real module's attributes; what had been imported is left alone."""
    assert _answer(_STAND_IN) == "True True True [1]"


def test_what_the_gate_went_without_is_there_for_everybody_else():
    """Migrations need the real SQLAlchemy, and Spark its own library, in a process that has judged without them."""
    assert _answer(_AFTERWARDS) == "7 SparkSession False"


def test_a_library_is_absent_for_one_thread_within_the_block_and_only_when_nobody_has_it():
    """It can be asked for again; other threads import it, and then it is there."""
    assert _answer(_MEANWHILE) == "['wave', 'wave', 'colorsys'] True [1] 0"


def test_a_gate_without_spark_judges_with_pandas_and_refuses_spark(tmp_path, session):
    """Fail closed: what Great Expectations lacks must not become a verdict."""
    file = tmp_path / "events.jsonl"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in session().add("page_view").events))

    assert _answer(_JUDGE_FOR_SPARK, str(file)) == "PASS\nthe gate was imported without Spark"
