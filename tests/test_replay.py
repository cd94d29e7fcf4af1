"""Corrected lines take the place of quarantined ones, and the day passes the whole gate or stays shut."""

from __future__ import annotations

import base64
import json
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pipeline import replay
from pipeline.delivery import take
from pipeline.errors import RefusedFile, SettingsError
from pipeline.progress import Silent
from pipeline.records import Delivery, Verdict
from scheduler import repair

DIRTY = {"line_truncated": 0.02, "quantity_zero": 0.5}
BOM = b"\xef\xbb\xbf"
PLACES = dict.fromkeys(("line_no", "byte_offset", "byte_length"), pl.Int64)
NOWHERE = pl.DataFrame(schema=PLACES)


@pytest.fixture
def replay_day(settings):
    """Replays corrections through the composition root."""

    def run(day, file, *, dry_run=False):
        return repair.replay_lines(settings, day, file, dry_run=dry_run, progress=Silent())

    return run


@pytest.fixture
def good(delivery):
    """The lines as the shop should have sent them."""
    return delivery(name="good.jsonl").read_bytes().splitlines()


@pytest.fixture
def exported(settings, tmp_path):
    """The quarantine of a day as it was exported, row by row."""

    def export(day):
        path = tmp_path / "exported.jsonl"
        repair.export(settings, day, path)
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    return export


@pytest.fixture
def fixed(tmp_path, good):
    """Corrects exported rows and writes them as a person would: the text of each, the rest as it was."""

    def write(rows, name="fixed.jsonl"):
        path = tmp_path / name
        corrected = [{**row, "raw": good[row["line"] - 1].decode()} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in corrected), "utf-8")
        return path

    return write


@pytest.fixture
def blocked(run_day, delivery):
    """A day that failed."""
    return run_day(file=delivery(name="events_20260115.jsonl", **DIRTY))


def everything_in(home: Path) -> dict[str, int]:
    """Each file of the data folder and when it was written."""
    return {str(path): path.stat().st_mtime_ns for path in home.rglob("*") if path.is_file()}


def test_corrected_lines_open_the_gate_for_the_whole_day(blocked, replay_day, exported, fixed, query, good, day):
    """The corrected delivery is the old one with these lines replaced; both stay in history."""
    done = replay_day(day, fixed(exported(day)))
    summary = done.outcome.summary

    assert (summary.verdict, summary.status, summary.trigger) == (Verdict.PASS, "published", "replay")
    assert (done.recovery.recovered, done.recovery.quarantined) == (blocked.summary.quarantined,) * 2
    assert (done.recovery.still, done.recovery.newly) == ((), 0)
    assert summary.delivery_sha256 == sha256(b"".join(line + b"\n" for line in good)).hexdigest()
    assert query("SELECT count(*) FROM raw_events") == [(len(good),)]
    assert query("SELECT status, delivery_sha256 FROM pipeline_run_log ORDER BY attempt") == [
        ("blocked", blocked.summary.delivery_sha256),
        ("published", summary.delivery_sha256),
    ]


def test_the_same_replay_again_changes_nothing(blocked, replay_day, exported, fixed, query, digest, day):
    """A replay whose answer was lost may simply be repeated."""
    file = fixed(exported(day))
    first = replay_day(day, file)
    before = digest()
    second = replay_day(day, file)

    assert (second.outcome.unchanged, second.recovery) == (True, None)
    assert second.outcome.summary == first.outcome.summary
    assert digest() == before
    assert query("SELECT count(*) FROM pipeline_run_log") == [(2,)]


def test_a_replay_that_is_not_enough_says_what_still_fails_and_the_next_one_goes_on(
    blocked, replay_day, exported, fixed, good, digest, day
):
    """Lines that were put right once need not be given again, and may be."""
    nothing = digest()
    rows = exported(day)
    corrected = fixed(rows[:10])
    left = [row["line"] for row in rows[10:]]
    first = replay_day(day, corrected)

    assert (first.outcome.summary.status, digest()) == ("blocked", nothing)
    assert (first.recovery.recovered, first.recovery.quarantined) == (10, len(rows))
    assert [one.line for one in first.recovery.still] == left[: repair.MOST_STILL]
    assert {reason.check for one in first.recovery.still for reason in one.reasons} == {
        "required_fields",
        "value_ranges",
    }
    assert [row["line"] for row in exported(day)] == left

    second = replay_day(day, fixed(rows))

    assert second.outcome.summary.status == "published"
    assert (second.recovery.recovered, second.recovery.quarantined) == (len(left), len(left))


def test_a_dry_run_tells_the_same_and_writes_nothing(blocked, replay_day, exported, fixed, settings, query, day):
    """Neither the database nor the data folder knows of it."""
    file = fixed(exported(day)[:10])
    ledger = query("SELECT * FROM pipeline_run_log")
    files = everything_in(settings.home)
    tried = replay_day(day, file, dry_run=True)

    assert isinstance(tried, repair.Tried)
    assert query("SELECT * FROM pipeline_run_log") == ledger
    assert everything_in(settings.home) == files
    assert replay_day(day, file).recovery == tried.recovery
    assert tried.report.verdict is Verdict.FAIL


def test_lines_kept_out_of_a_published_day_can_be_recovered(run_day, delivery, replay_day, exported, fixed, query, day):
    """A good day gets its last lines back as a new version."""
    first = run_day(file=delivery(name="events_20260115.jsonl", browser_unknown=0.003)).summary
    second = replay_day(day, fixed(exported(day))).outcome.summary

    assert (first.status, second.status, second.quarantined) == ("published", "published", 0)
    assert query("SELECT count(*) FROM raw_events") == [(first.lines,)]


def test_a_correction_that_breaks_another_line_is_told(blocked, replay_day, exported, good, tmp_path, day):
    """A line that was good and fails now, because the corrected one took its id."""
    row = exported(day)[0]
    later = json.loads(good[row["line"]])
    file = tmp_path / "fixed.jsonl"
    text = json.dumps({**json.loads(good[row["line"] - 1]), "event_id": later["event_id"]})
    file.write_text(json.dumps({"line": row["line"], "raw": text}), "utf-8")
    found = replay_day(day, file, dry_run=True).recovery

    assert (found.recovered, found.newly) == (1, 1)


def test_corrections_of_lines_that_are_not_quarantined_are_refused(blocked, replay_day, good, query, tmp_path, day):
    """A replay touches nothing but quarantine; the refusal comes before any work."""
    file = tmp_path / "fixed.jsonl"
    for line in (1, len(good) + 1):
        file.write_text(json.dumps({"line": line, "raw": '{"event_id": "x"}'}), "utf-8")
        with pytest.raises(RefusedFile, match=f"Line {line} is not in quarantine") as caught:
            replay_day(day, file)
        assert caught.value.reason == "not_quarantined"
    assert query("SELECT count(*) FROM pipeline_run_log") == [(1,)]


def test_a_day_that_was_never_judged_cannot_be_replayed(replay_day, tmp_path, day):
    """The message says what to do first."""
    file = tmp_path / "fixed.jsonl"
    file.write_text('{"line": 1, "raw": "{}"}\n', "utf-8")

    with pytest.raises(SettingsError, match="never judged"):
        replay_day(day, file)


def test_without_the_archived_delivery_there_is_no_replay(blocked, replay_day, exported, fixed, settings, day):
    """The good lines are needed too; the next command is told."""
    file = fixed(exported(day))
    for kept in settings.deliveries_folder.iterdir():
        kept.unlink()

    with pytest.raises(RefusedFile) as caught:
        replay_day(day, file)
    assert (caught.value.reason, "daygate run --date 2026-01-15" in caught.value.hint) == ("archive_missing", True)


# -- the form of corrections -----------------------------------------------------------------------


def corrections(folder: Path, content: bytes) -> dict[int, bytes]:
    """What a file of corrections says."""
    file = folder / "fixed.jsonl"
    file.write_bytes(content)
    with take(file, folder=None) as delivery:
        return replay.read(delivery)


def test_corrections_are_text_or_base64_and_may_keep_what_was_exported(tmp_path):
    """Exported rows can be given back as they are; blank lines and a byte order mark belong to the file."""
    rows = [
        {"line": 3, "raw": "{}"},
        {"line": 1, "event_id": None, "reasons": [], "raw": base64.b64encode(b"\xff\x00").decode(),
         "raw_encoding": "base64"},
        {"line": 2, "raw": "not JSON \u2028 \x00"},
    ]  # fmt: skip
    content = BOM + b"\n\r\n".join(json.dumps(row).encode() for row in rows) + b"\n"

    assert corrections(tmp_path, content) == {3: b"{}", 1: b"\xff\x00", 2: "not JSON \u2028 \x00".encode()}


@pytest.mark.parametrize(
    "line",
    [
        b'{"line": 1, "raw": "x", "raw": "y"}',
        b'{"line": 1, "raw": "x"} {"line": 2, "raw": "x"}',
        b'{"line": 1, "raw": "x", "Raw": "y"}',
        b'{"line": 1}',
        b'{"raw": "x"}',
        b'{"line": "1", "raw": "x"}',
        b'{"line": true, "raw": "x"}',
        b'{"line": 1.0, "raw": "x"}',
        b'{"line": 0, "raw": "x"}',
        b'{"line": 9223372036854775808, "raw": "x"}',
        b'{"line": 1, "raw": {}}',
        b'{"line": 1, "raw": "a\\nb"}',
        b'{"line": 1, "raw": ""}',
        b'{"line": 1, "raw": " \\t\\r"}',
        b'{"line": 1, "raw": "\\ud800"}',
        b'{"line": 1, "raw": "x", "raw_encoding": "base64"}',
        b'{"line": 1, "raw": "eA==", "raw_encoding": "hex"}',
        b'{"line": 1, "raw": "\xff"}',
        b'{"line": ' + b"9" * 5000 + b', "raw": "x"}',
        b'{"line": ' + b"[" * 100_000,
        b'{"line": 7, "raw": "x"}',
    ],
)
def test_what_is_no_correction_is_refused_with_its_place(tmp_path, line):
    """One clear form; nothing is guessed, and no value is repeated in the message."""
    with pytest.raises(RefusedFile, match=r"line 2 of fixed\.jsonl") as caught:
        corrections(tmp_path, b'{"line": 7, "raw": "x"}\n' + line + b"\n")
    assert caught.value.reason == "not_corrections"


# -- the corrected delivery ------------------------------------------------------------------------


def archived(folder: Path, content: bytes) -> Delivery:
    """A delivery as the archive has it."""
    path = folder / "archived.jsonl"
    path.write_bytes(content)
    return Delivery(path=path, name="events.jsonl", sha256=sha256(content).hexdigest(), size=len(content))


def spans(content: bytes) -> pl.DataFrame:
    """Where each line is, without its newline; the mark before the first belongs to none."""
    rows, offset = [], 0
    for number, line in enumerate(content.split(b"\n"), 1):
        mark = len(BOM) if number == 1 and line.startswith(BOM) else 0
        rows.append((number, offset + mark, len(line) - mark))
        offset += len(line) + 1
    return pl.DataFrame(rows, schema=PLACES, orient="row")


LINE = st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b""))


@given(lines=st.lists(LINE, min_size=1, max_size=12), mark=st.booleans(), ended=st.booleans(), data=st.data(), new=LINE)
@hypothesis_settings(max_examples=60)
def test_only_the_corrected_lines_differ(tmp_path_factory, lines, mark, ended, data, new):
    """Whatever the bytes and lengths: every other byte stays, and doing it again changes nothing."""
    folder = tmp_path_factory.mktemp("day")
    head = BOM if mark or lines[0].startswith(BOM) else b""
    lines[0] = lines[0].removeprefix(BOM)
    content = head + b"\n".join(lines) + (b"\n" if ended else b"")
    places = spans(content)
    wrong = data.draw(st.sets(st.integers(1, len(lines))))
    given_lines = {line: b"x" + new + b"%d" % line for line in wrong}
    replay.compose(
        archived(folder, content), places.filter(pl.col("line_no").is_in(wrong)), given_lines, folder / "once.jsonl"
    )
    wanted = head + b"\n".join(given_lines.get(n, line) for n, line in enumerate(lines, 1)) + (b"\n" if ended else b"")
    once = (folder / "once.jsonl").read_bytes()
    replay.compose(archived(folder, once), NOWHERE, given_lines, folder / "twice.jsonl")

    assert once == wanted
    assert (folder / "twice.jsonl").read_bytes() == wanted


def test_a_line_that_is_good_is_not_overwritten_by_its_beginning_or_more(tmp_path):
    """Only the very same bytes count as put right already."""
    delivery = archived(tmp_path, b"abc\ndef")
    for raw in (b"ab", b"abcd", b"abc\nd", b"def"):
        with pytest.raises(RefusedFile, match="Line 1 is not in quarantine"):
            replay.compose(delivery, NOWHERE, {1: raw}, tmp_path / "out.jsonl")
    replay.compose(delivery, NOWHERE, {1: b"abc", 2: b"def"}, tmp_path / "out.jsonl")

    assert (tmp_path / "out.jsonl").read_bytes() == b"abc\ndef"
