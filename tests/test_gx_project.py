"""`gx/` is a real Great Expectations project, and the exported files say what the code says."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gx import export
from pipeline.errors import ContractError

ROOT = Path(__file__).parent.parent


@pytest.fixture
def project(tmp_path):
    """A copy of the project as it is committed."""
    shutil.copytree(
        ROOT / "gx", tmp_path / "gx", ignore=shutil.ignore_patterns("*.py", "__pycache__", "uncommitted", "plugins")
    )
    return tmp_path


def test_the_committed_files_are_what_the_code_exports(tmp_path):
    """`python -m gx.export` changes nothing."""
    export.export(tmp_path)

    for name in export.FILES:
        assert (tmp_path / name).read_text(encoding="utf-8") == (ROOT / "gx" / name).read_text(encoding="utf-8"), name


@pytest.mark.long
def test_a_plain_user_opens_the_project_and_runs_the_checkpoint(project, session, lines):
    """get_context(mode="file") after importing expectations_custom, then the checkpoint on a DataFrame."""
    script = """
import sys, json
from datetime import date
from pathlib import Path
import expectations_custom
import great_expectations
from gx.gate import frame
from pipeline import contract
from pipeline.delivery import take
from pipeline.stage import Workers, stage

agreed = contract.load()
with take(Path(sys.argv[2]), folder=None) as delivery:
    folder = Path(sys.argv[1]) / "staged"
    staged = stage(delivery, day=date(2026, 1, 15), contract=agreed, folder=folder, workers=Workers(1))
context = great_expectations.get_context(mode="file", project_root_dir=sys.argv[1])
result = context.checkpoints.get("daygate").run(batch_parameters={"dataframe": frame(staged, agreed)})
print(json.dumps({"success": result.success, "seen": sum(len(v.results) for v in result.run_results.values())}))
"""
    day = project / "events_20260115.jsonl"
    day.write_bytes(lines(*session().visit().events))
    run = subprocess.run(
        [sys.executable, "-c", script, str(project), str(day)], capture_output=True, text=True, cwd=ROOT, check=False
    )

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout.splitlines()[-1]) == {"success": True, "seen": 9}


def test_a_project_that_lost_expectations_on_loading_is_refused(project):
    """Great Expectations drops what it does not know with a log line; the guard does not."""
    file = project / "gx" / "expectations" / "daygate.json"
    suite = json.loads(file.read_text(encoding="utf-8"))
    suite["expectations"].append({"type": "expect_nothing_anyone_wrote", "kwargs": {}, "meta": {}})
    file.write_text(json.dumps(suite), encoding="utf-8")

    with pytest.raises(ContractError, match="10 expectations, but 9"):
        export.load(project)


def test_a_whole_project_is_opened(project):
    """All nine expectations: two guards and the seven."""
    assert len(export.load(project).suites.get("daygate").expectations) == 9
