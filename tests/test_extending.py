"""`docs/extending.md` is true: its check and its mart, put where it says, work without another change."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from pipeline.settings import PREFIX

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "extending.md").read_text("utf-8")
PACKAGES = ("expectations_custom", "gx", "marts", "pipeline", "scheduler", "schemas")
CHECK_LIST = "pipeline/check_ids.py"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """A copy of the sources with the files of the page, and the word it asks for."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name, text in re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL):
        assert not (folder / name).exists()
        (folder / name).write_text(text, encoding="utf-8")
    listed = folder / CHECK_LIST
    listed.write_text(listed.read_text("utf-8").replace("\n)", '\n    "cart_value",\n)'), encoding="utf-8")
    return folder


@pytest.fixture
def daygate(tree, tmp_path, database_url):
    """Runs the command line of that tree on the test's own database."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    environment = {
        **inherited,
        "PYTHONPATH": str(tree),
        "DAYGATE_HOME": str(tmp_path / "data"),
        "DAYGATE_DATABASE_URL": database_url,
    }

    def call(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "scheduler", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


def test_a_check_is_one_module_and_its_id(daygate, session, lines, tmp_path):
    """The eighth check judges, fails the line that is meant, and knows its threshold from the settings."""
    dear = session().visit().add("add_to_cart", quantity=99, unit_price=1_000_000)
    (tmp_path / "events_20260115.jsonl").write_bytes(lines(*dear.events))

    answer = daygate("check", "events_20260115.jsonl", "--output-format", "json", "--threshold", "cart_value=0.9")

    report = json.loads(answer.stdout)
    eighth = report["checks"][-1]
    assert answer.returncode == 1
    assert (eighth["id"], eighth["verdict"], eighth["threshold"]) == ("cart_value", "FAIL", 0.9)
    assert (eighth["evaluated_rows"], eighth["failed_rows"]) == (2, 1)
    assert [sample["line"] for sample in eighth["samples"]] == [len(dear.events)]
    assert [check["verdict"] for check in report["checks"][:-1]] == ["PASS"] * 7


def test_a_mart_is_one_file(daygate, session, lines, tmp_path, database_url):
    """Its table is made, filled with the day, and published with the others."""
    (tmp_path / "events_20260115.jsonl").write_bytes(lines(*session(1).visit().events, *session(2).visit().events))

    answer = daygate("run", "--file", "events_20260115.jsonl")

    assert answer.returncode == 0, answer.stderr
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT activity_date::text, searches, users, without_result FROM daygate.mart_search_daily")
        assert cursor.fetchall() == [("2026-01-15", 2, 2, 0)]
        cursor.execute("SELECT count(*) FROM daygate.quality_check_log")
        assert cursor.fetchone() == (8,)
