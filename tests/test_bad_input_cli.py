"""The bad-input matrix on the real command line and through a real day: files, arguments, values that act.

The rows about single lines are in `test_bad_input.py`; here is what a person and a database see of them.
"""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import socket
import subprocess
import sys
from datetime import date
from pathlib import Path

import html5lib
import pytest
import zstandard

from pipeline import alert_text, stage
from pipeline.errors import ExitCode
from pipeline.records import Alert, Verdict
from scheduler.boundary import call

ROOT = Path(__file__).parent.parent
NAME = "events_20260115.jsonl"
ROWS = 66
#: Values that act somewhere when they are not escaped there.
HOSTILE = (
    "<script>alert(4)</script>",
    '"><img src=x onerror=alert(4)>',
    "{{7*7}}${7*7}<%= 7*7 %>{0.__class__}",
    "$column ${column} %s %n %(x)s",
    "<!channel> <@U1> <https://evil.example|bank> *b* `c`",
    "=cmd|' /C calc'!A0",
    "\x1b[2J\x1b]8;;http://evil.example\x07click\x1b]8;;\x07",
    "\r\n2026-01-15 CRITICAL all is well",
    "'; DROP TABLE raw_events; --",
    r"\N \. \x41 \\",
    "\u202egnp.exe\u200b",
)


@pytest.fixture
def visits(session):
    """The events of so many good visits."""

    def made(count: int) -> list[dict]:
        return [event for number in range(1, count + 1) for event in session(number).visit().events]

    return made


@pytest.fixture
def daygate(here, capsys):
    """Runs a command line; its exit code, stdout and stderr. A bug is never an answer."""

    def run(*words: str) -> tuple[int, str, str]:
        code = call(words)
        out, err = capsys.readouterr()
        assert code in {0, 1, 2, 3, 4, 5}
        assert "bug" not in err
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.fixture
def judged(here, daygate):
    """Checks some bytes; the exit code and check -> failing line numbers (all of them)."""

    def run(data: bytes) -> tuple[int, dict[str, set[int]]]:
        (here / NAME).write_bytes(data)
        code, _, err = daygate("check", NAME, "--failed-rows", "failed.jsonl")
        assert err == ""
        found: dict[str, set[int]] = {}
        for row in (json.loads(row) for row in (here / "failed.jsonl").read_bytes().splitlines()):
            for reason in row["reasons"]:
                found.setdefault(reason["check"], set()).add(row["line"])
        return code, found

    return run


@pytest.fixture
def refused(here, daygate):
    """Checks a file that must be refused; what is said, on one line and one with a hint."""

    def run(name: str, *words: str) -> str:
        code, out, err = daygate("check", *words, "--date", "2026-01-15", "--", name)
        assert (code, out) == (ExitCode.REFUSED, "")
        said, hint = err.splitlines()
        assert said.startswith("daygate: ")
        assert hint.startswith("  try: ")
        return said

    return run


def test_every_row_of_the_matrix_has_a_test():
    """66 rows; a test's name holds the rows it is about."""
    text = "".join(
        (ROOT / "tests" / name).read_text("utf-8") for name in ("test_bad_input.py", "test_bad_input_cli.py")
    )
    found: set[int] = set()
    for first, word, last in re.findall(r"def test_rows?_([0-9]+)(?:_(and|to)_([0-9]+))?_", text):
        found |= set(range(int(first), int(last) + 1)) if word == "to" else {int(first), int(last or first)}

    assert found == set(range(1, ROWS + 1))


@pytest.mark.parametrize("data", [b"", b"\n\n \r\n", b"\xef\xbb\xbf"])
def test_rows_1_and_2_nothing_never_passes(here, refused, data):
    """An empty day is refused, not judged."""
    (here / NAME).write_bytes(data)

    assert "is empty" in refused(NAME)


def test_row_39_a_json_document_is_refused_with_what_it_looks_like(here, refused, visits):
    """One array, or pretty-printed, over the whole file."""
    (here / NAME).write_text(json.dumps(visits(3)), encoding="utf-8")
    assert "one JSON array" in refused(NAME)

    (here / NAME).write_text(json.dumps(visits(1)[0], indent=2), encoding="utf-8")
    assert "pretty-printed JSON" in refused(NAME)


@pytest.mark.parametrize(
    ("data", "looks"),
    [
        (b"<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>\n", "HTML"),
        (b"<?xml version='1.0'?>\n<events/>\n", "XML"),
        (b'"event_id","event_type","user_id"\n"1","2","3"\n', "CSV"),
        (b"\x7fELF\x02\x01\x01" + bytes(200), "ELF"),
        (b"PAR1" + bytes(100) + b"PAR1", "Parquet"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "picture"),
        (b"%PDF-1.7\n" + bytes(100), "PDF"),
        (b"SQLite format 3\x00" + bytes(100), "SQLite"),
        (bytes(range(256)) * 20, "binary"),
    ],
)
def test_row_43_a_file_of_another_kind_is_refused_on_the_command_line(here, refused, data, looks):
    """The person reads what it seems to be."""
    (here / NAME).write_bytes(data)

    assert looks in refused(NAME)


def test_row_44_compressed_files_are_read_by_their_suffix(here, daygate, refused, visits, lines):
    """Gzip of several members and zstd are the same delivery; what is damaged or misnamed is refused."""
    data = lines(*visits(4))
    half = len(data) // 2
    (here / f"{NAME}.gz").write_bytes(gzip.compress(data[:half]) + gzip.compress(data[half:]))
    (here / f"{NAME}.zst").write_bytes(zstandard.compress(data))
    code, out, _ = daygate("check", f"{NAME}.gz", f"{NAME}.zst", "--output-format", "json")

    assert code == ExitCode.OK
    assert [answer["lines"] for answer in json.loads(out)] == [20, 20]

    (here / NAME).write_bytes(gzip.compress(data))
    assert "gzip" in refused(NAME)
    (here / f"{NAME}.gz").write_bytes(gzip.compress(data)[:-20])
    refused(f"{NAME}.gz")
    (here / f"{NAME}.gz").write_bytes(data)
    assert "is not compressed as its suffix says" in refused(f"{NAME}.gz")


@pytest.mark.parametrize(("suffix", "packed"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_row_45_a_bomb_is_refused(here, refused, suffix, packed):
    """What grows more than a hundredfold is no log."""
    (here / f"{NAME}{suffix}").write_bytes(packed(b'{"a": 1}\n' * 4_000_000))

    assert "more than 100 times its size" in refused(f"{NAME}{suffix}")


def test_row_46_a_line_beyond_the_cap_is_one_failing_line(judged, visits, lines):
    """The lines around it are judged as if it were not there."""
    data = lines(*visits(4)) + b'{"search_query": "' + b"x" * 9_000_000 + b'"}\n' + lines(visits(5)[-1])

    code, failing = judged(data)

    assert code == ExitCode.FAIL
    assert failing == {"required_fields": {21}, "funnel_order": {22}}


def test_row_47_more_lines_than_can_be_numbered_are_refused(here, refused, visits, lines, monkeypatch):
    """The cap is said; up to it a file of any size streams (`test_memory.py`)."""
    monkeypatch.setattr(stage, "MOST_LINES", 10)
    (here / NAME).write_bytes(lines(*visits(3)))

    assert "has more than 10 lines" in refused(NAME)


def test_row_48_missing_null_and_empty_fail_with_a_reason_each(here, judged, visits, lines):
    """Whoever repairs the lines reads which it was, as far as it can be told apart."""
    events = visits(40)
    events[1].pop("user_id")
    events[6]["user_id"] = None
    events[11]["user_id"] = ""
    _, failing = judged(lines(*events))
    rows = [json.loads(row) for row in (here / "failed.jsonl").read_bytes().splitlines()]

    assert failing == {"required_fields": {2, 7, 12}}
    assert [row["reasons"][0]["reason"] for row in rows] == [
        "user_id is missing or null",
        "user_id is missing or null",
        "user_id is empty",
    ]


@pytest.mark.parametrize("value", ["PURCHASE", "purchase ", "no-such-type"])
def test_row_49_an_unknown_event_type_is_outside_the_contract(judged, visits, lines, value):
    """Neither case nor blanks are forgiven."""
    events = visits(40)
    events[1]["event_type"] = value

    assert judged(lines(*events))[1] == {"value_ranges": {2}}


@pytest.mark.parametrize("form", [str.upper, "{{{}}}".format, "urn:uuid:{}".format, lambda text: text[:-1]])
def test_row_50_an_id_of_another_form_is_outside_the_contract(judged, visits, lines, form):
    """Ids are not canonicalised: a second spelling of an id would be a second id."""
    events = visits(40)
    events[1]["event_id"] = form("abcdef01-0000-4000-8000-00000000000a")

    assert judged(lines(*events))[1] == {"value_ranges": {2}}


def test_row_51_the_first_copy_of_an_id_stays_good(judged, visits, lines):
    """The same bytes again, and other bytes under the same id."""
    events = visits(40)
    events += [dict(events[1]), {**events[6], "search_query": "other"}]

    assert judged(lines(*events))[1] == {"unique_event_id": {201, 202}}


def test_row_52_an_id_of_another_day_does_not_hinder_a_day(run_day, visits, lines, tmp_path, query):
    """Days are judged by themselves (ADR 0013): both are published, each under its own day."""
    file = tmp_path / "a.jsonl"
    for day in (15, 16):
        file.write_bytes(lines(*visits(5)).replace(b"2026-01-15", f"2026-01-{day}".encode()))
        assert run_day(date(2026, 1, day), file=file).summary.status == "published"

    assert query("SELECT day::text, count(DISTINCT event_id) FROM raw_events GROUP BY 1 ORDER BY 1") == [
        ("2026-01-15", 25),
        ("2026-01-16", 25),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-14T12:00:00+09:00",
        "2026-01-16T12:00:00+09:00",
        "2036-01-15T12:00:00+09:00",
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "300000-01-01T00:00:00Z",
    ],
)
def test_row_53_another_day_fails_the_timestamp_check_alone(judged, visits, lines, text):
    """Late, early, future and absurd events are named, never published in this day."""
    events = visits(40)
    events[1]["timestamp"] = text

    assert judged(lines(*events))[1] == {"timestamp_validity": {2}}


def test_row_54_the_edges_of_the_day_are_those_of_seoul(judged, session, lines):
    """The first and last microsecond belong to it, in any notation; one further does not."""
    inside = [
        "2026-01-15T00:00:00+09:00",
        "2026-01-14T15:00:00Z",
        "2026-01-15T00:00:00",
        "2026-01-14T10:00:00-05:00",
        "2026-01-15T23:59:59.999999+09:00",
        "2026-01-15T14:59:59.999999Z",
        "2026-01-15T23:59:59.999999",
    ]
    outside = [
        "2026-01-14T23:59:59.999999+09:00",
        "2026-01-14T14:59:59.999999Z",
        "2026-01-16T00:00:00",
        "2026-01-15T15:00:00Z",
    ]
    views = session()
    for text in inside + outside:
        views.add("page_view", timestamp=text)

    assert judged(lines(*views.events))[1] == {"timestamp_validity": {8, 9, 10, 11}}


@pytest.mark.parametrize(
    ("text", "good"), [("😀" * 200, True), ("😀" * 201, False), ("e\u0301" * 100, True), ("가" * 200, True)]
)
def test_row_57_lengths_are_counted_in_code_points(judged, visits, lines, text, good):
    """Neither bytes nor what the eye counts."""
    events = visits(40)
    events[1]["search_query"] = text

    assert judged(lines(*events))[1] == ({} if good else {"value_ranges": {2}})


def dangerous(html: str) -> list[str]:
    """What of a page could act: handlers, addresses that run, scripts and pictures with foreign content."""
    found = []
    for element in html5lib.parse(html, namespaceHTMLElements=False).iter():
        found += [f"{element.tag} {name}" for name in element.attrib if str(name).startswith("on")]
        address = element.get("href") or element.get("src") or ""
        if re.match(r"\s*(javascript|vbscript|data:text)", address, re.IGNORECASE) or "evil.example" in address:
            found.append(address)
        if element.tag == "script" and "alert(4)" in (element.text or ""):
            found.append("script")
    return found


def test_row_58_hostile_values_of_a_bad_file_are_inert_in_every_answer(here, daygate, visits, lines):
    """Terminal, JSON, failed rows and page show or escape them; the bytes come back as they were."""
    events = visits(len(HOSTILE))
    for number, text in enumerate(HOSTILE):
        events[5 * number] |= {"event_id": text, "browser": text, "page_url": text}
    data = lines(*events)
    (here / NAME).write_bytes(data)
    code, out, err = daygate("check", NAME, "--report", "page", "--failed-rows", "failed.jsonl", "--limit", "20")
    _, document, _ = daygate("check", NAME, "--output-format", "json")
    rows = [json.loads(row) for row in (here / "failed.jsonl").read_text("utf-8").split("\n")[:-1]]

    assert code == ExitCode.FAIL
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202e]", out + err)
    assert {sample["event_id"] for check in json.loads(document)["checks"] for sample in check["samples"]} <= set(
        HOSTILE
    )
    assert "\x1b" not in document
    assert [row["raw"].encode() for row in rows] == data.split(b"\n")[:-1:5]
    assert dangerous((here / "page" / "index.html").read_text("utf-8")) == []


def test_row_58_hostile_values_of_a_good_day_are_published_as_they_are(
    run_day, visits, lines, tmp_path, query, settings, caplog, capsys
):
    """Contract-valid texts reach the tables letter by letter, and nothing else anywhere."""
    events = visits(2 * len(HOSTILE))
    for number, text in enumerate(HOSTILE):
        events[5 * number] |= {"page_url": text, "referrer": text}
        events[5 * number + 1] |= {"search_query": text}
        events[5 * number + 2] |= {"element_id": text[:100]}
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(*events))
    with caplog.at_level(logging.DEBUG, logger="pipeline"):
        outcome = run_day(file=file)
    stored = query("SELECT page_url, referrer, search_query, element_id FROM raw_events ORDER BY line_no")
    told = [Alert(kind=kind, day=outcome.summary.day, dedupe_key="x", facts=facts)
            for kind, facts in query("SELECT kind, facts FROM alert_outbox")]  # fmt: skip
    words = "".join(alert_text.compose(alert).text for alert in told) + caplog.text + "".join(capsys.readouterr())

    assert outcome.summary.verdict is Verdict.PASS
    assert [row[:2] for row in stored[::5]][: len(HOSTILE)] == [(text, text) for text in HOSTILE]
    assert [row[2] for row in stored[1::5]][: len(HOSTILE)] == list(HOSTILE)
    assert [row[3] for row in stored[2::5]][: len(HOSTILE)] == [text[:100] for text in HOSTILE]
    assert not [text for text in HOSTILE if text in words]
    pages = list(settings.site_folder.rglob("*.html"))
    assert len(pages) >= 7
    assert not [found for page in pages for found in dangerous(page.read_text("utf-8"))]


def test_row_58_hostile_values_of_a_bad_day_rest_in_quarantine(run_day, visits, lines, tmp_path, query):
    """Bytes exactly; the alert holds none of them."""
    events = visits(len(HOSTILE))
    for number, text in enumerate(HOSTILE):
        events[5 * number]["browser"] = events[5 * number]["event_id"] = text
    file = tmp_path / "a.jsonl"
    file.write_bytes(lines(*events))
    outcome = run_day(file=file)
    [(kind, facts)] = query("SELECT kind, facts FROM alert_outbox")
    said = alert_text.compose(Alert(kind=kind, day=outcome.summary.day, dedupe_key="x", facts=facts))

    assert outcome.summary.status == "blocked"
    assert [bytes(raw) for (raw,) in query("SELECT raw FROM quarantine_events ORDER BY line_no")] == (
        file.read_bytes().split(b"\n")[:-1:5]
    )
    assert not [text for text in HOSTILE if text in said.text + json.dumps(said.blocks, ensure_ascii=False)]


@pytest.mark.parametrize(
    "text", ["{oops", '["x"]', '{"products": null}', '{"products": {}}', "null", '{"products": [{}]}']
)
def test_rows_59_and_60_unreadable_orders_fail_before_any_mart(judged, visits, lines, text):
    """The check meant for them and no other."""
    events = visits(40)
    events[4]["extra_data"] = text

    code, failing = judged(lines(*events))

    assert (code, failing) == (ExitCode.FAIL, {"order_total": {5}})


def test_row_61_addresses_are_text_and_never_links(run_day, here, daygate, visits, lines, query):
    """Whatever the scheme, length or alphabet of a page_url."""
    urls = ["javascript:alert(4)", "data:text/html,<script>alert(4)</script>", "https://evil.example/" + "a" * 10_000,
            "https://пример.испытание/", "https://xn--e1afmkfd.example", "//evil.example", "vbscript:x"]  # fmt: skip
    events = visits(10)
    for number, url in enumerate(urls):
        events[5 * number]["page_url"] = url
    (here / NAME).write_bytes(lines(*events))
    code, out, _ = daygate("check", NAME, "--report", "page")
    run_day(file=here / NAME)

    assert code == ExitCode.OK, out
    assert dangerous((here / "page" / "index.html").read_text("utf-8")) == []
    assert [url for (url,) in query("SELECT page_url FROM raw_events ORDER BY line_no")][: 5 * len(urls) : 5] == urls


@pytest.mark.parametrize("kind", ["folder of nothing", "pipe", "socket", "link", "/dev/zero", "/proc/self/mem"])
def test_row_62_what_is_no_regular_file_is_refused_on_the_command_line(here, daygate, visits, lines, kind):
    """At once: nothing hangs, nothing is followed, nothing endless is read."""
    path = here / NAME
    if kind == "folder of nothing":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(NAME)
    elif kind == "link":
        (here / "target").write_bytes(lines(*visits(1)))
        path.symlink_to("target")
    code, out, err = daygate("check", *(["--date", "2026-01-15", kind] if kind.startswith("/") else [NAME]))

    assert (code, out) == (ExitCode.REFUSED, "")
    assert 1 <= len(err.splitlines()) <= 2


@pytest.mark.long
def test_row_62_a_pipe_without_a_writer_does_not_hang_a_process(here):
    """A real process, which would wait for ever if it opened the pipe as a file."""
    os.mkfifo(here / NAME)
    done = subprocess.run(
        [sys.executable, "-m", "scheduler", "check", NAME],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == ExitCode.REFUSED
    assert b"a pipe" in done.stderr


@pytest.mark.parametrize(
    "name", ["new\nline.jsonl", "-rf", "[1].jsonl", "a:b.jsonl", "_x.jsonl", ".x", "\udcff.jsonl", "*"]
)
def test_row_62_odd_names_are_just_names_on_the_command_line(here, daygate, visits, lines, name):
    """No option, no pattern, no address; whatever is printed is printable."""
    (here / name).write_bytes(lines(*visits(2)))
    code, out, err = daygate("check", "--date", "2026-01-15", "--", name)

    assert (code, err) == (ExitCode.OK, "")
    assert out.splitlines()[-1].startswith("PASS: 10 lines")
    assert out.encode()


@pytest.mark.parametrize("path", ["x" * 5000, "a/" * 3000 + "b", "no\x00name"])
def test_row_62_impossible_paths_are_refused_on_the_command_line(daygate, path):
    """No bug, an answer."""
    assert daygate("check", path, "--date", "2026-01-15")[0] == ExitCode.REFUSED


@pytest.mark.parametrize(
    "url", ["http://h/x.jsonl", "s3://bucket/x", "hdfs://h/x", "file:///etc/passwd", "https://h/x"]
)
def test_row_63_addresses_are_refused_on_the_command_line(refused, url):
    """Nothing is fetched."""
    assert "URL" in refused(url)


@pytest.mark.parametrize(
    "text",
    ["../../etc", "2024-1-1", "２０２４-01-01", "2024-02-30", "$(id)", "20240101", "2024-W01-1", "", " 2024-01-01",
     "2024-01-01\n", "9999-99-99", "0000-01-01"],
)  # fmt: skip
@pytest.mark.parametrize("words", [("check", "no-such-file.jsonl"), ("run",), ("generate",)])
def test_row_64_what_is_no_day_is_refused_before_anything_is_touched(here, daygate, words, text):
    """Exit 2, and neither the file nor a data folder was asked for."""
    code, out, err = daygate(*words, "--date", text)

    assert (code, out) == (ExitCode.USAGE, "")
    assert "--date must be a day of the calendar as YYYY-MM-DD" in err
    assert list(here.iterdir()) == []


def test_row_65_a_file_that_is_not_there_is_refused_on_the_command_line(here, refused, visits, lines):
    """Gone, or not readable for whoever runs this."""
    assert "No such file" in refused("gone.jsonl")
    if os.geteuid():
        (here / NAME).write_bytes(lines(*visits(1)))
        (here / NAME).chmod(0)
        assert "Permission denied" in refused(NAME)


@pytest.mark.parametrize("bad", [b'{"a": tru}', b"[1, 2]", b'{"a": 1}'])
def test_row_66_a_file_of_nothing_good_fails_with_its_reasons(here, daygate, visits, lines, bad):
    """Never PASS for want of lines to look at."""
    (here / NAME).write_bytes((bad + b"\n") * 100 if bad.startswith(b"{") else b"{}\n" + (bad + b"\n") * 99)
    code, out, _ = daygate("check", NAME, "--output-format", "json")
    answer = json.loads(out)
    required = next(check for check in answer["checks"] if check["id"] == "required_fields")

    assert (code, answer["verdict"]) == (ExitCode.FAIL, "FAIL")
    assert (answer["lines"], answer["good_lines"], answer["failing_lines"]) == (100, 0, 100)
    assert (required["pass_rate"], required["failed_rows"], len(required["samples"])) == (0.0, 100, 20)

    code, out, _ = daygate("check", NAME)
    assert out.count("required_fields: 0.00 %") == 1
    assert out.splitlines()[-1].startswith("FAIL: 100 lines, 0 good, 100 failing")


def test_row_66_a_day_of_nothing_good_is_blocked_with_an_alert(run_day, tmp_path, query):
    """Every line in quarantine, nothing published."""
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"a": tru}\n' * 50)
    outcome = run_day(file=file)

    assert (outcome.summary.status, outcome.summary.verdict) == ("blocked", Verdict.FAIL)
    assert query("SELECT count(*), (SELECT count(*) FROM raw_events) FROM quarantine_events") == [(50, 0)]
    assert query("SELECT kind FROM alert_outbox") == [("gate_failed",)]
