"""`docs/bad-day.md` is true: what it tells a person to type on a day that failed shows what the page shows."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from consoles import consoles
from tree import ROOT

from scheduler.boundary import call

CONSOLES = list(consoles((ROOT / "docs" / "bad-day.md").read_text("utf-8")))
#: Commands of the page that end otherwise than with 0: the shop's file is the same once more.
CODES = {"run --file": 1}
RELEASE = "release"


@pytest.fixture
def shut(here, database_url, delivery, monkeypatch, capsys):
    """The folder of somebody whose day failed; answers with its good lines."""
    monkeypatch.setenv("DAYGATE_HOME", str(here / "data"))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", database_url)
    monkeypatch.setenv("DAYGATE_DAYS", "3660")  # the day of the examples is long ago
    good = delivery(name="good.jsonl").read_text("utf-8").splitlines()
    delivery(name="events_20260115.jsonl", line_truncated=0.02, quantity_zero=0.5)
    assert call(["run", "--file", "events_20260115.jsonl"]) == 1
    capsys.readouterr()
    return good


def constant(text):
    """Runs and seconds are others each time."""
    return re.sub(r"(run \d+-\d+-)[0-9a-f]+|\d+\.\d s", r"\1", text)


@pytest.mark.parametrize("way", ["replay", RELEASE])
def test_every_command_of_the_page_shows_what_the_page_shows(way, shut, here, capsys):
    """In its order, with the corrections made where the page opens an editor; a release is another way on."""
    for command, shown in CONSOLES:
        if command.startswith(RELEASE) != (way == RELEASE):
            continue
        code = call(shlex.split(command))
        told = capsys.readouterr()
        printed = constant(told.out + told.err).splitlines()

        assert code == next((code for start, code in CODES.items() if command.startswith(start)), 0), command
        assert [line for line in map(constant, shown) if line.strip() != "…" and line not in printed] == []
        if command.startswith("quarantine export"):
            rows = [json.loads(line) for line in (here / "fixed.jsonl").read_text("utf-8").splitlines()]
            fixed = [json.dumps({**row, "raw": shut[row["line"] - 1]}) for row in rows]
            (here / "fixed.jsonl").write_text("\n".join(fixed), "utf-8")
