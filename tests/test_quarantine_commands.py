"""The quarantine commands and `release` as they are typed: what they print, and how they end."""

from __future__ import annotations

import csv
import json
import re
from contextlib import closing
from dataclasses import replace
from datetime import date

import psycopg2
import pyarrow.parquet as pq
import pytest
from staged_days import claim, event, stage_day

from pipeline import database, failed_rows, ledger, publish, quarantine, replay
from pipeline.failed_rows import write_failed_rows
from pipeline.records import Verdict
from scheduler import quarantine_text
from scheduler.boundary import call
from scheduler.output import Look

NOT_JSON = ("required_fields", "line", None, "the line is not valid JSON")
WRONG_OS = ("value_ranges", "os", "os", "not in the contract's list")
HOSTILE = b'{"os": "\x1b[2J\x07\xe2\x80\xaeevil"}\r \xff\x00'
DIRTY = {"line_truncated": 0.02, "quantity_zero": 0.5}


@pytest.fixture
def daygate(settings, monkeypatch, capsys):
    """Runs a command line in this process; its exit code, what it answered and what it complained about."""
    monkeypatch.setenv("DAYGATE_HOME", str(settings.home))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("DAYGATE_USERS", str(settings.users))

    def run(*words):
        code = call([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def quarantined(database_url, tmp_path, settings):
    """A blocked day made by hand: a hostile line, one with two reasons, many with one; its delivery is archived."""
    events = [HOSTILE, event(2), b"", *(event(n) for n in range(4, 40))]
    reasons = {1: [NOT_JSON], 2: [WRONG_OS, NOT_JSON], 3: [NOT_JSON]} | {n: [WRONG_OS] for n in range(4, 30)}
    made = stage_day(tmp_path, events, reasons=reasons, verdict=Verdict.FAIL)
    publish.block(database_url, claim(database_url, tmp_path), made.staged, made.report, ())
    settings.deliveries_folder.mkdir(parents=True)
    kept = settings.deliveries_folder / f"{made.staged.delivery.sha256}.jsonl"
    kept.write_bytes(made.staged.delivery.path.read_bytes())
    return made


def test_list_tells_each_day_by_check_and_rule(quarantined, daygate):
    """Worst rule first; a line with two reasons counts once for each."""
    code, out, err = daygate("quarantine", "list", "--days", 3660)

    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()] == [
        ["day", "outcome", "check", "rule", "lines"],
        ["2026-01-15", "FAIL", "blocked", "all", "29"],
        ["value_ranges", "os", "27"],
        ["required_fields", "line", "3"],
    ]
    assert max(map(len, out.splitlines())) <= 80


def test_list_of_an_empty_quarantine_says_so(daygate):
    """No table without rows."""
    assert daygate("quarantine", "list", "--days", "7") == (0, "No lines in quarantine in the last 7 days.\n", "")


def test_show_tells_line_reasons_and_bytes_that_cannot_act(quarantined, daygate):
    """Escapes, bidi, NUL and bytes that are no text are shown, never sent to the terminal."""
    code, out, _ = daygate("quarantine", "show", "2026-01-15", "--limit", 3)

    assert code == 0
    assert r'{"os": "\x1b[2J\x07\u202eevil"}\r \xff\x00' in out
    assert not {"\x1b", "\x07", "\u202e", "\x00", "\r"} & set(out)
    assert [line for line in out.splitlines() if line.startswith("line ")] == ["line 1", "line 2", "line 3"]
    assert "  required_fields line: the line is not valid JSON\n  value_ranges os: not in the contract's list" in out
    assert "(nothing)" in out
    assert "3 of 29 lines shown\n  all: daygate quarantine export 2026-01-15 --output" in out
    assert re.search(r"\n  one in full: daygate check \S+/[0-9a-f]{64}\.jsonl --date 2026-01-15 --explain \d+\n", out)
    assert max(len(line) for line in out.splitlines() if ": daygate " not in line) <= 80


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--check", "required_fields"), 3),
        (("--rule", "os"), 27),
        (("--check", "value_ranges", "--rule", "os"), 27),
        (("--check", "value_ranges", "--rule", "line"), 0),
        (("--check", "'; DROP TABLE x; --"), 0),
    ],
)
def test_show_narrows_by_check_and_rule(quarantined, daygate, words, found):
    """Both must hold for the same reason; a filter is never SQL."""
    code, out, _ = daygate("quarantine", "show", "2026-01-15", *words, "--limit", 100)

    assert (code, out.splitlines()[-1]) == (0, f"{found} of {found} lines shown")


def test_show_of_a_day_that_was_never_judged_is_an_error(daygate):
    """Exit 2, and the next command."""
    code, out, err = daygate("quarantine", "show", "2026-01-16")

    assert (code, out) == (2, "")
    assert err.startswith("daygate: 2026-01-16 was never judged")
    assert "try: daygate run --date 2026-01-16" in err


@pytest.mark.parametrize("words", [("show",), ("export", "--output", "q.jsonl"), ("replay", "--file", "f.jsonl")])
def test_a_day_that_is_none_is_refused(daygate, words):
    """Strictly YYYY-MM-DD, before any work."""
    code, _, err = daygate("quarantine", words[0], "2026-1-5", *words[1:])

    assert (code, "DAY must be a day of the calendar" in err) == (2, True)


@pytest.mark.parametrize("limit", [quarantine.RAW_LIMIT, 150, 3])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet"])
def test_export_has_the_forms_of_failed_rows_byte_for_byte(
    quarantined, daygate, database_url, tmp_path, monkeypatch, suffix, limit
):
    """Also for lines that the database does not hold: they are read from the archived delivery."""
    path = tmp_path / f"quarantine{suffix}"
    write_failed_rows(quarantined.staged, quarantined.report.failing, tmp_path / f"wanted{suffix}")
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE daygate.quarantine_events SET raw = NULL WHERE byte_length > %s", (limit,))
    monkeypatch.setattr(quarantine, "_BATCH_ROWS", 7)
    monkeypatch.setattr(failed_rows, "_PIECE", 6)

    assert daygate("quarantine", "export", "2026-01-15", "--output", path)[:2] == (
        0,
        f"29 lines of 2026-01-15 written to {path}\n",
    )
    if suffix == ".parquet":
        assert pq.read_table(path).equals(pq.read_table(tmp_path / "wanted.parquet"))
    else:
        assert path.read_bytes() == (tmp_path / f"wanted{suffix}").read_bytes()


def test_export_without_the_archive_is_refused_only_for_long_lines(
    quarantined, daygate, database_url, settings, tmp_path
):
    """What the database holds needs no archive; what it does not hold is never left out silently."""
    for kept in settings.deliveries_folder.iterdir():
        kept.unlink()
    path = tmp_path / "q.jsonl"

    assert daygate("quarantine", "export", "2026-01-15", "--output", path)[0] == 0
    path.unlink()
    with closing(psycopg2.connect(database_url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute("UPDATE daygate.quarantine_events SET raw = NULL WHERE line_no = 1")
    code, _, err = daygate("quarantine", "export", "2026-01-15", "--output", path)

    assert (code, "archived delivery of run" in err, path.exists()) == (4, True, False)


def test_export_to_another_suffix_is_refused(quarantined, daygate, tmp_path):
    """The form is never guessed."""
    code, _, err = daygate("quarantine", "export", "2026-01-15", "--output", tmp_path / "q.xlsx")

    assert (code, "--output writes .jsonl, .csv or .parquet" in err) == (2, True)


def test_a_line_without_bytes_in_the_database_is_shown_by_its_size():
    """Too long for a terminal anyway."""
    reason = quarantine.Reason(check="c", rule="r", field=None, reason="too long")
    line = quarantine.QuarantinedLine(line=1, length=20_000_000, head=None, reasons=(reason,))

    assert quarantine_text._raw(line, Look()) == ["  20,000,000 bytes, too long to show"]
    assert quarantine_text._raw(replace(line, head=b"ab"), Look()) == ["  ab…"]


def test_a_replay_that_spoils_good_lines_says_so():
    """A corrected line can be the first of an id that another line had to itself."""
    spoiled = replay.Recovery(quarantined=3, recovered=1, still=(), newly=2)
    text = quarantine_text.recovered(spoiled, day=date(2026, 1, 15), dry=True, look=Look())

    assert text.splitlines() == [
        "recovered 1 of 3 quarantined lines",
        "  … and 2 more",
        "  2 lines that were good fail now",
    ]


def test_a_dry_run_does_not_bring_the_database_to_this_version(empty_database_url, daygate, monkeypatch, tmp_path):
    """It changes nothing, so it says what would."""
    monkeypatch.setenv("DAYGATE_DATABASE_URL", empty_database_url)
    (tmp_path / "fixed.jsonl").write_text('{"line": 1, "raw": "{}"}\n', encoding="utf-8")
    code, _, said = daygate("quarantine", "replay", "2026-01-15", "--file", tmp_path / "fixed.jsonl", "--dry-run")

    assert code == 2
    assert "a dry run changes nothing" in said


def test_a_bad_day_is_corrected_line_by_line_on_the_command_line(run_day, delivery, daygate, tmp_path):
    """Export, correct half, look, replay, correct the rest, replay: each step says where it stands."""
    run_day(file=delivery(name="events_20260115.jsonl", **DIRTY))
    good = delivery(name="good.jsonl").read_text("utf-8").splitlines()
    daygate("quarantine", "export", "2026-01-15", "--output", tmp_path / "q.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text("utf-8").splitlines()]
    fixed = tmp_path / "fixed.jsonl"

    def correct(some):
        text = "".join(json.dumps({"line": row["line"], "raw": good[row["line"] - 1]}) + "\n" for row in some)
        fixed.write_text(text, "utf-8")

    correct(rows[:5])
    tried = daygate("quarantine", "replay", "2026-01-15", "--file", fixed, "--dry-run")
    first = daygate("quarantine", "replay", "2026-01-15", "--file", fixed)
    correct(rows[5:])
    second = daygate("quarantine", "replay", "2026-01-15", "--file", fixed)
    third = daygate("quarantine", "replay", "2026-01-15", "--file", fixed)

    assert (tried[0], first[0], second[0], third[0]) == (1, 1, 0, 0)
    for out in (tried[1], first[1]):
        assert out.startswith(f"recovered 5 of {len(rows)} quarantined lines\n  line {rows[5]['line']} still fails\n")
        assert f"and {len(rows) - 25} more" in out
    assert tried[1].splitlines()[-1].startswith("FAIL 2026-01-15: would stay shut, ")
    assert tried[1].splitlines()[-1].endswith("nothing was written")
    assert first[1].splitlines()[-1].startswith("FAIL 2026-01-15: blocked, ")
    assert second[1].startswith(f"recovered {len(rows) - 5} of {len(rows) - 5} quarantined lines\n")
    assert second[1].splitlines()[-1].startswith("PASS 2026-01-15: published, ")
    assert "nothing was changed" in third[1]


def test_a_failed_day_is_released_on_the_command_line(run_day, delivery, daygate):
    """The day counts as done afterwards, says that it was released, and cannot be released again."""
    file = delivery(name="events_20260115.jsonl", **DIRTY)
    run_day(file=file)
    code, out, err = daygate("release", "2026-01-15", "--reason", "the till was down", "--by", "Kim")
    status = daygate("status", "--days", "3660")
    rerun = daygate("run", "--file", file)
    again = daygate("release", "2026-01-15", "--reason", "again")

    assert code == 0
    assert out.splitlines()[-1].startswith("FAIL 2026-01-15: released, ")
    assert "daygate 2026-01-15: released by hand" in err
    assert "FAIL released" in status[1]
    assert (rerun[0], "nothing was changed" in rerun[1]) == (0, True)
    assert (again[0], "released already" in again[2]) == (2, True)


def test_a_release_needs_its_reason(daygate):
    """It is an override; without a reason it is wrong usage."""
    assert daygate("release", "2026-01-15")[0] == 2
    assert "needs a reason" in daygate("release", "2026-01-15", "--reason", " ")[2]


def test_a_csv_export_opens_without_formulas(quarantined, daygate, tmp_path):
    """No cell begins like one."""
    path = tmp_path / "q.csv"
    daygate("quarantine", "export", "2026-01-15", "--output", path)
    with path.open(encoding="utf-8", newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]

    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]


def test_listing_reads_no_more_days_than_asked(quarantined, database_url):
    """The day is long past the last week."""
    with closing(database.connect(database_url, name="test")) as connection:
        assert ledger.judged_days(connection, 7) == []
        assert [run.quarantined for run in ledger.judged_days(connection, 10_000)] == [29]
