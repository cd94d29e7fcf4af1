"""Libraries that Great Expectations imports for what is hardly ever used wait until they are used."""

from __future__ import annotations

import subprocess
import sys

_JUDGE_A_DISTRIBUTION = """
import sys
from scheduler.ahead import have_gate
have_gate()
before = [name for name in ("altair", "scipy.stats") if name in sys.modules]
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


def _answer(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_gate_comes_without_libraries_for_distributions_and_they_come_when_one_is_judged():
    """An expectation about a distribution, which a user may add, works as ever."""
    assert _answer(_JUDGE_A_DISTRIBUTION) == "[] True True"


def test_a_stand_in_is_found_by_nobody_after_the_block_and_gives_what_the_module_has():
    """Who imported it in the block has the real module's attributes; what had been imported is left alone."""
    assert _answer(_STAND_IN) == "True True True [1]"
