"""`docs/another-shop.md` is true: a shop with other events, taken through the gate by schema and settings only."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from pathlib import Path

import jsonschema
import pytest
from consoles import consoles
from staged_days import discard

from pipeline import settings as all_settings
from scheduler.boundary import call

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "another-shop.md").read_text("utf-8")
GOOD, BAD = "events_20260115.jsonl", "events_20260116.jsonl"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """The documented folder, as a person has it before them."""
    folder = tmp_path / "another-shop"
    shutil.copytree(DOCS / "another-shop", folder)
    for name in [name for name in os.environ if name.startswith(all_settings.PREFIX)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAYGATE_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(folder)
    return folder


def untimed(text):
    """Seconds differ from machine to machine."""
    return re.sub(r"\d+\.\d s", "… s", text)


CONSOLES = list(consoles(PAGE))
CODES = {"rules": 0, f"check {GOOD}": 0, f"check {BAD}": 1, f"run --file {GOOD}": 2, "rules    #": 2}


@pytest.mark.long
@pytest.mark.parametrize(("command", "shown"), CONSOLES, ids=[command for command, _ in CONSOLES])
def test_every_command_of_the_page_shows_what_the_page_shows(command, shown, shop, capsys, request):
    """Each line shown is printed, in that order, and the exit code is the one the text tells."""
    if "# after adding" in command:
        schema = json.loads((shop / "event_schema.json").read_text("utf-8"))
        schema["properties"]["stars"]["multipleOf"] = 0.5
        (shop / "event_schema.json").write_text(json.dumps(schema), encoding="utf-8")
    if command.startswith("run"):
        request.addfinalizer(lambda: discard(shop.parent / "data"))
    code = call(shlex.split(command, comments=True))
    captured = capsys.readouterr()
    printed = iter(untimed(captured.out + captured.err).splitlines())

    assert code == max((len(start), code) for start, code in CODES.items() if command.startswith(start))[1]
    assert [line for line in map(untimed, shown) if line not in printed] == []


def test_the_page_shows_the_files_as_they_are():
    """Pieces of schema and settings in the text are pieces of the files."""
    schema = json.loads((DOCS / "another-shop" / "event_schema.json").read_text("utf-8"))
    settings = (DOCS / "another-shop" / "daygate.toml").read_text("utf-8")
    branch, funnel = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    branch = json.loads(branch)

    assert json.loads("{" + funnel + "}").items() <= schema.items()
    assert any(b["if"] == branch["if"] and b["then"]["required"] == branch["then"]["required"] for b in schema["allOf"])
    assert re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)[1] in settings


def test_the_schema_is_a_json_schema_that_the_good_day_fulfils():
    """Draft-07 accepts it, and so does every event."""
    schema = json.loads((DOCS / "another-shop" / "event_schema.json").read_text("utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    validator = jsonschema.Draft7Validator(schema)

    for line in (DOCS / "another-shop" / GOOD).read_text("utf-8").splitlines():
        validator.validate(json.loads(line))


def test_failing_lines_keep_their_bytes_and_name_their_rules(shop):
    """The file written by the page's command holds every failing line as it came."""
    call(["check", BAD, "--failed-rows", "failing.jsonl", "--report", "page"])
    rows = [json.loads(line) for line in (shop / "failing.jsonl").read_text("utf-8").splitlines()]
    lines = (shop / BAD).read_text("utf-8").splitlines()

    assert len(rows) == 31
    assert all(row["raw"] == lines[row["line"] - 1] for row in rows)
    assert {reason["check"] for row in rows for reason in row["reasons"]} == {"funnel_order", "value_ranges"}
    assert (shop / "page" / "index.html").is_file()


@pytest.mark.long
def test_a_run_that_cannot_be_loaded_leaves_no_trace(shop, capsys, request):
    """Refused before the day is claimed: no attempt in the ledger, no copy of the delivery."""
    request.addfinalizer(lambda: discard(shop.parent / "data"))

    assert call(["run", "--file", GOOD]) == 2
    assert call(["status", "--days", "3660"]) == 0
    assert "No runs" in capsys.readouterr().out
    assert not (shop.parent / "data" / "deliveries").exists()


def test_the_simulator_says_that_it_plays_another_shop(shop, capsys):
    """Two lines, exit 2, nothing written."""
    assert call(["generate", "--date", "2026-01-15", "--output", "made"]) == 2
    assert "The simulator needs the field" in capsys.readouterr().err
    assert not (shop / "made").exists()


def test_files_of_any_schema_can_be_calibrated(shop, capsys):
    """Checks without rules are said to stay as they are."""
    assert call(["calibrate", GOOD, BAD]) == 0
    assert "No lines to judge: order_total" in " ".join(capsys.readouterr().out.split())
