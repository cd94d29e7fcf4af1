"""Nothing is lost, whatever happened to a file: every line is good or fails, and its bytes come back exactly."""

from __future__ import annotations

import base64
import io
import json
import os
import random
from contextlib import redirect_stderr, redirect_stdout
from datetime import date
from pathlib import Path

import oracle
import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline import contract, settings, simulate
from pipeline.day import RunFailed
from pipeline.errors import ExitCode
from scheduler.boundary import call

#: Many damaged days through the gate.
pytestmark = pytest.mark.long

DAY = date(2026, 1, 15)
NAME = "events_20260115.jsonl"
_BLANK = b" \t\r\n"
QUICK = examples(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
LONG = examples(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
FEW = examples(max_examples=7, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
MANY = examples(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """An empty folder to work in, without anybody's settings."""
    folder = tmp_path_factory.mktemp("here")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(settings.PREFIX)]:
            patch.delenv(name)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def day_of(tmp_path_factory):
    """The bytes of a small simulated day with a few planted defects, by seed."""
    folder = tmp_path_factory.mktemp("days")
    faults = {"browser_unknown": 0.02}
    files = [
        simulate.generate(
            DAY, contract=contract.load(), output=folder / f"{seed}", users=40, events=300, seed=seed, faults=faults
        ).path
        for seed in (7, 8)
    ]
    return [file.read_bytes() for file in files]


def flipped(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """Some bits somewhere."""
    damaged = bytearray(data)
    for _ in range(chance.randint(1, 20)):
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def truncated(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """The end is missing."""
    return data[: chance.randrange(len(data) // 2, len(data))]


def joined(data: bytes, chance: random.Random, other: bytes) -> bytes:
    """Another file follows, or the same one again, with its byte order mark if it likes."""
    return data + chance.choice([b"", b"\xef\xbb\xbf", b"\n"]) + chance.choice([other, data])


def shuffled(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """The lines in another order."""
    lines = data.split(b"\n")
    chance.shuffle(lines)
    return b"\n".join(lines)


def repeated(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """A range of bytes, seldom whole lines, stands there twice."""
    first, last = sorted(chance.sample(range(len(data)), 2))
    return data[:last] + data[first:last] + data[last:]


def recoded(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """A piece in another encoding."""
    encoding = chance.choice(["latin-1", "utf-16", "utf-16-le", "utf-16-be", "cp949", "utf-7"])
    lines = data.split(b"\n")
    first = chance.randrange(len(lines))
    for number in range(first, min(first + chance.randint(1, 8), len(lines))):
        lines[number] = lines[number].decode("utf-8", "replace").encode(encoding, "replace")
    return b"\n".join(lines)


def nulled(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """NUL bytes, as a crashed writer leaves them."""
    at = chance.randrange(len(data))
    return data[:at] + bytes(chance.randint(1, 300)) + data[at + chance.randint(0, 300) :]


def ended(data: bytes, chance: random.Random, _: bytes) -> bytes:
    """Other line ends in a piece."""
    first, last = sorted(chance.sample(range(len(data)), 2))
    return (
        data[:first] + data[first:last].replace(b"\n", chance.choice([b"\r\n", b"\r", b"\n\n", b" \n"])) + data[last:]
    )


DAMAGES = (flipped, truncated, joined, shuffled, repeated, recoded, nulled, ended)
damages = st.tuples(st.lists(st.sampled_from(DAMAGES), min_size=1, max_size=4), st.integers(0, 2**32))


def damaged(day_of: list[bytes], damage: tuple[list, int]) -> bytes:
    """The day after that damage."""
    data, other = day_of
    kinds, seed = damage
    chance = random.Random(seed)
    for kind in kinds:
        data = kind(data, chance, other)
    return data


def asked(*words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command line."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        code = call(words)
    for stream in (out, err):
        stream.flush()
    return code, out.buffer.getvalue().decode(), err.buffer.getvalue().decode()


def raw_of(row: dict) -> bytes:
    """The bytes of a failed row."""
    return base64.b64decode(row["raw"]) if row.get("raw_encoding") == "base64" else row["raw"].encode("utf-8")


def lines_of(data: bytes) -> dict[int, bytes]:
    """Line number -> bytes, blank lines left out."""
    found = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    return {number: line for number, line in enumerate(found, start=1) if line.strip(_BLANK)}


def everything_is_told(folder: Path, data: bytes) -> None:
    """Check the bytes and compare the answer with the bytes and with the oracle."""
    (folder / NAME).write_bytes(data)
    words = ("check", NAME, "--output-format", "json", "--failed-rows", "failed.jsonl")
    code, out, err = asked(*words)
    assert code in (ExitCode.OK, ExitCode.FAIL, ExitCode.INCONCLUSIVE, ExitCode.REFUSED)
    assert "bug" not in err
    assert "Traceback" not in err
    if code == ExitCode.REFUSED:
        assert (out, len(err.splitlines())) == ("", 2)
        assert asked(*words) == (code, out, err)
        return
    assert code != ExitCode.INCONCLUSIVE, err
    answer, lines = json.loads(out), lines_of(data)
    written = (folder / "failed.jsonl").read_bytes()
    rows = [json.loads(row) for row in written.splitlines()]
    assert answer["lines"] == len(lines) == answer["good_lines"] + answer["failing_lines"]
    assert [(row["line"], raw_of(row)) for row in rows] == [(row["line"], lines[row["line"]]) for row in rows]
    assert answer["failing_lines"] == len(rows) == len({row["line"] for row in rows})
    as_the_oracle_says(answer, rows, oracle.judge(data, DAY))
    _, again, _ = asked(*words)
    assert {**json.loads(again), "seconds": 0} == {**answer, "seconds": 0}
    assert (folder / "failed.jsonl").read_bytes() == written


def as_the_oracle_says(answer: dict, rows: list[dict], expected: oracle.Judgement) -> None:
    """The same failing lines for each check, the same counts, and a verdict that follows from them."""
    found = {check: set() for check in oracle.CHECKS}
    for row in rows:
        for reason in row["reasons"]:
            found[reason["check"]].add(row["line"])
    shut = {check["id"] for check in answer["checks"] if check["verdict"] != "PASS"}
    assert found == expected.failing
    assert {check["id"]: check["evaluated_rows"] for check in answer["checks"]} == expected.evaluated
    assert {check["id"]: check["failed_rows"] for check in answer["checks"]} == {
        check: len(lines) for check, lines in expected.failing.items()
    }
    assert expected.below(0.99) <= shut <= expected.failed_checks()
    assert answer["verdict"] == ("FAIL" if shut else "PASS")


@pytest.mark.long
@QUICK
@given(damage=damages)
def test_every_line_of_a_damaged_file_is_accounted_for(here, day_of, damage):
    """Good + failing = lines; all bytes of failing lines come back; the same answer twice; as the oracle says."""
    everything_is_told(here, damaged(day_of, damage))


@pytest.mark.slow
@LONG
@given(damage=damages)
def test_every_line_of_many_damaged_files_is_accounted_for(here, day_of, damage):
    """The same with new damage every time."""
    everything_is_told(here, damaged(day_of, damage))


@pytest.mark.parametrize("kind", DAMAGES, ids=lambda kind: kind.__name__)
def test_each_kind_of_damage_alone(here, day_of, kind):
    """None of them is left to chance."""
    everything_is_told(here, damaged(day_of, ([kind], 1)))


@pytest.fixture
def everything_is_kept(run_day, query, tmp_path):
    """Runs the bytes as a day and compares quarantine and published lines with them."""

    def run(data: bytes) -> bool:
        (tmp_path / NAME).write_bytes(data)
        try:
            outcome = run_day(file=tmp_path / NAME, force=True)
        except RunFailed as failure:
            if failure.exit_code is not ExitCode.REFUSED:
                raise
            return False
        summary, lines = outcome.summary, lines_of(data)
        kept = query("SELECT line_no, raw FROM quarantine_events WHERE run_id = %s", summary.run_id)
        assert {line: bytes(raw) for line, raw in kept} == {line: lines[line] for line, _ in kept}
        assert summary.lines == len(lines)
        assert len(kept) == summary.quarantined == outcome.report.failing_lines
        assert summary.loaded == (summary.lines - summary.quarantined if summary.status == "published" else 0)
        return True

    return run


@FEW
@given(damage=damages)
def test_every_failing_line_of_a_damaged_day_is_in_quarantine(everything_is_kept, day_of, damage):
    """Byte for byte, through PostgreSQL; what is not there was published."""
    assume(everything_is_kept(damaged(day_of, damage)))


@pytest.mark.slow
@MANY
@given(damage=damages)
def test_every_failing_line_of_many_damaged_days_is_in_quarantine(everything_is_kept, day_of, damage):
    """The same with new damage every time."""
    assume(everything_is_kept(damaged(day_of, damage)))
