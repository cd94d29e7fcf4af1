from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from process_fixtures import environment

from pipeline import failpoints, settings
from pipeline.errors import SettingsError
from pipeline.simulate import FAULTS
from scheduler import arguments, boundary
from scheduler.boundary import call
from scheduler.cli import app

ROOT = Path(__file__).parent.parent
COMMANDS = (
    "run",
    "backfill",
    "check",
    "calibrate",
    "generate",
    "spark-batch",
    "status",
    "rules",
    "doctor",
    "down",
    "db",
)
BAD_DAYS = (
    "../../etc",
    "2024-1-1",
    "\uff12\uff10\uff12\uff14-01-01",
    "2024-02-30",
    "$(id)",
    "20240101",
    "2024-W01-1",
    "",
    "2024-01-01\n",
)


def leaves(command: typer.core.TyperGroup | object, path: Sequence[str] = ()) -> list[tuple[tuple[str, ...], object]]:
    """Every command with the words that reach it."""
    below = getattr(command, "commands", None)
    if below is None:
        return [(tuple(path), command)]
    return [leaf for name, child in below.items() for leaf in leaves(child, [*path, name])]


ALL = leaves(typer.main.get_command(app))


# -- help and usage --------------------------------------------------------------------------------


def test_help_needs_no_heavy_import(tmp_path):
    """`daygate --help` must answer at once, so nothing large is imported for it."""
    heavy = {"great_expectations", "polars", "pandas", "pyarrow", "sqlalchemy", "pydantic", "numpy", "rich", "narwhals"}
    code = (
        "import sys; from scheduler.boundary import call; code = call(['--help']); "
        f"print(code, sorted({heavy!r} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(tmp_path), check=True
    )

    assert done.stderr == "0 []\n"


def test_help_lists_every_command_and_every_exit_code(capsys):
    """What a newcomer sees when typing nothing but the name."""
    assert call([]) == 0
    text = capsys.readouterr().out

    assert all(f"  {name} " in text for name in COMMANDS)
    assert all(f"    {code}  " in text for code in range(6))
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.replace("ARGS]...", "")


@pytest.mark.parametrize("path", [path for path, _ in ALL], ids=" ".join)
def test_every_command_explains_itself(path, capsys):
    """Each command and each of its flags has a sentence."""
    assert call([*path, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"Usage: daygate {' '.join(path)}")


def test_every_flag_is_also_a_variable_that_the_settings_know():
    """A variable is a setting or the name of a flag, never both, and none is refused as misspelt."""
    variables = {p.envvar for _, command in ALL for p in command.params if p.param_type_name == "option"} - {None}
    of_settings = {settings.PREFIX + name.upper() for name in settings.Settings.model_fields}

    assert variables - of_settings == settings.FLAG_VARIABLES
    assert not of_settings & settings.FLAG_VARIABLES
    assert all(
        p.envvar for _, command in ALL for p in command.params if p.param_type_name == "option" and p.name != "help"
    )


def test_version_is_one_line(capsys):
    """Scripts read it."""
    assert call(["--version"]) == 0
    assert capsys.readouterr().out.startswith("daygate ")


@pytest.mark.parametrize(
    "words",
    [
        ["nope"],
        ["check"],
        ["check", "--bogus", "x"],
        ["check", "x.jsonl"],
        ["check", "events_20260230.jsonl"],
        ["check", "events_20260115.jsonl", "--limit", "101"],
        ["check", "events_20260115.jsonl", "--engine", "abacus"],
        ["check", "events_20260115.jsonl", "events_20260116.jsonl", "--report", "r"],
        ["check", "-", "-", "--date", "2026-01-15"],
        ["generate", "--start", "2026-01-15"],
        ["generate", "--date", "2026-01-15", "--start", "2026-01-15", "--end", "2026-01-15"],
        ["generate", "--date", "2026-01-15", "--fault", "no_such_fault"],
        ["backfill"],
        ["backfill", "--start", "2026-01-16", "--end", "2026-01-15"],
        ["run", "--file", "x.jsonl"],
        ["status", "--days", "0"],
        ["db"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_told_in_two_lines(words, here, capsys):
    """What is wrong, then the next command; exit 2; nothing was touched."""
    assert call(words) == 2
    shown = capsys.readouterr()

    assert shown.out == ""
    assert len(shown.err.splitlines()) == 2
    assert shown.err.startswith("daygate: ")
    assert shown.err.splitlines()[1].startswith("  try: ")
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("text", BAD_DAYS, ids=ascii)
@pytest.mark.parametrize(
    "words",
    [
        ["run", "--date"],
        ["check", "-", "--date"],
        ["generate", "--date"],
        ["backfill", "--end", "2026-01-15", "--start"],
    ],
    ids=lambda words: words[0],
)
def test_row_64_a_day_that_is_none_is_refused_before_any_work(words, text, here, capsys):
    """Days are YYYY-MM-DD in ASCII and in the calendar; the text is not repeated."""
    assert call([*words, text]) == 2
    shown = capsys.readouterr()

    assert "must be a day of the calendar as YYYY-MM-DD" in shown.err
    assert len(text) < 4 or text not in shown.err
    assert list(here.iterdir()) == []


def test_a_misspelt_variable_is_named(here, monkeypatch, capsys):
    """A setting that does not exist must not be ignored; --debug has no variable."""
    monkeypatch.setenv("DAYGATE_DEBUG", "1")

    assert call(["status"]) == 2
    assert "DAYGATE_DEBUG is not a setting" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("events_20260115.jsonl", date(2026, 1, 15)),
        ("/a/b/events_20260115.jsonl.gz", date(2026, 1, 15)),
        ("events_20260115-fixed.jsonl", date(2026, 1, 15)),
        ("events_202601150.jsonl", None),
        ("events_20260230.jsonl", None),
        ("my_events_20260115.jsonl", None),
        ("events_\uff12\uff10\uff12\uff160115.jsonl", None),
        ("-", None),
    ],
)
def test_the_day_of_a_file_is_in_its_name(name, expected):
    """`events_YYYYMMDD…`, a real date, nothing before it and no further digit after it."""
    assert expected == arguments.day_of_file(name)


def test_the_day_that_was_given_wins_over_the_name():
    """--date is a decision of the person."""
    assert arguments.day_for("events_20260115.jsonl", "2026-01-17") == date(2026, 1, 17)


@given(st.text())
def test_only_real_days_are_days(text):
    """Whatever is typed, either a day that prints the same or a SettingsError."""
    try:
        found = arguments.day(text, "--date")
    except SettingsError:
        return

    assert found.isoformat() == text


@pytest.mark.parametrize(("typed", "rate"), [("a", 0.05), ("a=0.2", 0.2), ("a=1", 1.0), ("a=.5", 0.5)])
def test_a_fault_may_carry_its_rate(typed, rate):
    """Without one the fault's own rate holds."""
    assert arguments.faults([typed], {"a": 0.05}) == {"a": rate}


@pytest.mark.parametrize("typed", ["b", "a=", "a=0", "a=2", "a=-1", "a=1e-3", "a=nan", "a b"])
def test_a_fault_that_cannot_be_planted_is_refused(typed):
    """Unknown names and rates outside 0..1 never reach the simulator."""
    with pytest.raises(SettingsError):
        arguments.faults([typed], {"a": 0.05})


# -- how a command ends ----------------------------------------------------------------------------


def bug() -> Exception:
    """An error nobody raised on purpose, with a value in its text."""
    try:
        json.loads("U000123 is secret")
    except ValueError as error:
        return error
    raise AssertionError


def test_a_bug_is_one_line_without_values(capsys):
    """Type and place are enough to find it; the message may hold values from events."""
    assert boundary._bug(bug(), debug=False) == 3
    shown = capsys.readouterr().err

    assert shown.startswith("daygate: found a bug: JSONDecodeError at json.decoder:")
    assert "Traceback" not in shown
    assert "secret" not in shown


def test_a_bug_is_named_by_the_innermost_place_of_ours():
    """Whatever stands around it, and whatever a library was given by it."""
    with pytest.raises(ValueError, match="is no failpoint") as raised:
        failpoints.failpoint("nonsense")

    assert boundary._place(raised.tb).startswith("pipeline.failpoints:")


def test_debug_shows_the_traceback(capsys):
    """Only who asks for it sees it."""
    assert boundary._bug(bug(), debug=True) == 3
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_debug_may_stand_behind_the_command(here, capsys):
    """People add a flag at the end of the line they just typed."""
    assert call(["generate", "--start", "2026-01-15", "--debug"]) == 2
    assert "--start and --end belong together" in capsys.readouterr().err


def test_a_reader_that_went_away_is_no_error_text(tmp_path):
    """`daygate … | head` ends quietly, as any program does."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "scheduler", "--version"],
            stdout=writer,
            stderr=subprocess.PIPE,
            env=environment(tmp_path),
            check=False,
        )
    finally:
        os.close(writer)

    assert (done.returncode, done.stderr) == (141, b"")


# -- the simulator ---------------------------------------------------------------------------------


def test_generate_writes_where_run_looks_and_tells_what_was_planted(here, capsys):
    """One line per file, one line per planted fault."""
    assert call(["generate", "--date", "2026-01-15", "--users", "50", "--fault", "day_wrong=0.1"]) == 0
    lines = capsys.readouterr().out.splitlines()

    assert (here / "data" / "events" / "events_20260115.jsonl").is_file()
    assert "events_20260115.jsonl: " in lines[0]
    assert lines[1].startswith("  planted day_wrong: ")
    assert lines[1].endswith(" lines, for timestamp_validity to catch")


def test_generate_takes_a_range_and_gives_the_same_bytes_again(here, capsys):
    """Same seed and day, same bytes, whatever the folder."""
    for folder in ("one", "two"):
        words = ["--start", "2026-01-15", "--end", "2026-01-16", "--users", "30", "--seed", "3", "--output", folder]
        assert call(["generate", *words]) == 0

    names = ["events_20260115.jsonl", "events_20260116.jsonl"]
    assert sorted(path.name for path in (here / "one").iterdir()) == names
    assert all((here / "one" / name).read_bytes() == (here / "two" / name).read_bytes() for name in names)


def test_generate_lists_its_faults(capsys):
    """A person finds a fault's name without reading code."""
    assert call(["generate", "--fault", "list"]) == 0
    text = capsys.readouterr().out

    assert all(name in text for name in FAULTS)
