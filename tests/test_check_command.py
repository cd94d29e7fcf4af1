"""`daygate check` as people type it: folders, formats, measures of the command line, one line explained."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, date, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
import zstandard

from pipeline import settings
from pipeline.errors import RefusedFile, SettingsError, StepFailed
from pipeline.records import CheckReport, CheckResult, RuleResult, Sample, Verdict
from scheduler import arguments, output_junit
from scheduler.boundary import call

XSD = xmlschema.XMLSchema(str(Path(__file__).parent.parent / "schemas" / "junit.xsd"))
NAME = "events_20260115.jsonl"
MOMENT = datetime(2026, 1, 16, 2, 3, 4, tzinfo=UTC)
HOSTILE = "\x1b[2J\x00<script>&\"'\u202e]]>\ufffe\ud800\r\nx"


@pytest.fixture
def visits(session, lines):
    """Ten good visits, as the bytes of a delivery."""
    return lines(*(event for number in range(1, 11) for event in session(number).visit().events))


@pytest.fixture
def bad(session, lines):
    """Ten visits of which one has a quantity of 0, one a purchase without its order and one line is no JSON."""
    all_visits = [session(number).visit().events for number in range(1, 11)]
    all_visits[0][3]["quantity"] = 0
    del all_visits[1][4]["order_id"]
    return lines(*(event for events in all_visits for event in events), "{oops")


def suites_of(text: str) -> list[ET.Element]:
    """The suites of a JUnit document that fits the schema."""
    XSD.validate(text)
    return ET.fromstring(text).findall("testsuite")


def ends(suite: ET.Element) -> dict[str, str]:
    """How each case ended: passed, skipped, failure or error."""
    return {case.get("name", ""): next((child.tag for child in case), "passed") for case in suite.iter("testcase")}


def test_a_file_is_told_what_its_failing_lines_have_in_common(here, session, lines, capsys):
    """One platform's app sends a wrong quantity: the text names the platform with its share of all lines."""
    made = [session(number, platform="ios" if number < 6 else "web").visit().events for number in range(1, 31)]
    for events in made[:5]:
        for event in events:
            if event["event_type"] == "add_to_cart":
                event["quantity"] = 0
    (here / NAME).write_bytes(lines(*(event for events in made for event in events)))
    code = call(["check", NAME])
    told = capsys.readouterr().out.splitlines()

    assert code == 1
    assert [line for line in told if "in common" in line] == [
        "    in common: system iOS (100 % of them, 17 % of all lines), platform ios (100"
    ]


# -- which files, and by which measure -------------------------------------------------------------


def test_a_folder_stands_for_its_deliveries_in_the_order_of_their_names(here, visits):
    """Plain and compressed ones; what is named otherwise is none."""
    (here / "landed" / "deeper").mkdir(parents=True)
    names = ["events_20260114.jsonl.zst", NAME, "events_20260116.jsonl.gz"]
    for name in [*reversed(names), "notes.txt", "my_events_20260115.jsonl", "events_20260115.jsonl.bak"]:
        (here / "landed" / name).write_bytes(visits)

    found = arguments.deliveries(["landed", "events_20260120.jsonl"], None)

    assert found == (
        *((f"landed/{name}", date(2026, 1, day)) for day, name in zip((14, 15, 16), names, strict=True)),
        ("events_20260120.jsonl", date(2026, 1, 20)),
    )


def test_a_given_day_holds_for_named_files_and_not_for_folders(here):
    """The files of a folder are of different days."""
    (here / "landed").mkdir()

    assert arguments.deliveries(["a.jsonl", NAME], "2026-01-17") == (
        ("a.jsonl", date(2026, 1, 17)),
        (NAME, date(2026, 1, 17)),
    )
    with pytest.raises(SettingsError, match="--date names one day"):
        arguments.deliveries(["landed"], "2026-01-17")


def test_a_file_of_a_folder_without_a_day_in_its_name_is_named(here):
    """Nothing in a folder is silently left out."""
    (here / "landed").mkdir()
    (here / "landed" / "events_latest.jsonl").touch()

    with pytest.raises(SettingsError, match=r"events_latest\.jsonl"):
        arguments.deliveries(["landed"], None)


def test_a_folder_without_deliveries_is_refused(here, capsys):
    """Nothing checked is never a PASS."""
    (here / "landed").mkdir()

    assert call(["check", "landed"]) == 4
    assert "holds no events_*.jsonl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "rate"),
    [("0.95", 0.95), ("95%", 0.95), ("99.9%", 0.999), ("1", 1.0), ("100%", 1.0), ("0", 0.0), (".5", 0.5)],
)
def test_a_threshold_is_a_share_or_a_percentage(typed, rate):
    """Both forms mean the very same number."""
    assert arguments.thresholds([f"funnel_order={typed}", "order_total=0.5"]) == {
        "funnel_order": rate,
        "order_total": 0.5,
    }


@pytest.mark.parametrize("typed", ["", "=", "funnel_order", "funnel_order=", "no_check=0.9", "FUNNEL_ORDER=0.9"])
def test_a_threshold_of_no_check_is_refused(typed):
    """The message lists the checks."""
    with pytest.raises(SettingsError, match="platform_device"):
        arguments.thresholds([typed])


@pytest.mark.parametrize("rate", ["1.01", "101%", "-1", "nan", "inf", "1e-3", "95 %", "0,95", "95%%", "\uff10"])
def test_a_rate_beyond_0_to_1_is_refused(rate):
    """A misread threshold must not open the gate."""
    with pytest.raises(SettingsError, match="--threshold funnel_order"):
        arguments.thresholds([f"funnel_order={rate}"])


@pytest.mark.parametrize("typed", ["funnel_order", "funnel_order=fatal", "funnel_order=Warning", "x=warning"])
def test_an_unknown_severity_is_refused(typed):
    """Critical or warning, of a known check."""
    with pytest.raises(SettingsError, match="--severity"):
        arguments.severities([typed])


def test_measures_of_the_command_line_hold_over_the_settings(here, bad, monkeypatch, capsys):
    """Check by check: what is not given stays as the settings have it, and variables are flags too."""
    (here / NAME).write_bytes(bad)
    monkeypatch.setenv("DAYGATE_THRESHOLDS", '{"value_ranges": 0.5, "order_total": 0.7}')
    monkeypatch.setenv("DAYGATE_SEVERITY", "value_ranges=warning")
    measures = ["--threshold", "value_ranges=99%", "--threshold", "required_fields=0.9"]
    code = call(["check", NAME, *measures, "--output-format", "json"])
    found = {check["id"]: check for check in json.loads(capsys.readouterr().out)["checks"]}

    assert code == 0
    assert (found["value_ranges"]["threshold"], found["value_ranges"]["severity"]) == (0.99, "warning")
    assert (found["value_ranges"]["verdict"], found["required_fields"]["verdict"]) == ("FAIL", "PASS")
    assert (found["order_total"]["threshold"], found["funnel_order"]["threshold"]) == (0.7, 0.99)


def test_several_files_end_with_a_line_that_counts_them(here, visits, bad, capsys):
    """Each file has its own page of text, the refused one its two lines on stderr."""
    (here / "landed").mkdir()
    (here / "landed" / "events_20260114.jsonl").write_bytes(b"\n")
    (here / "landed" / f"{NAME}.gz").write_bytes(gzip.compress(visits))
    (here / "landed" / f"{NAME}.zst").write_bytes(zstandard.compress(bad))

    assert call(["check", "landed"]) == 4
    shown = capsys.readouterr()
    verdicts = [line for line in shown.out.splitlines() if line.startswith(("PASS: ", "FAIL: "))]

    assert [line[:15] for line in verdicts] == ["PASS: 50 lines,", "FAIL: 51 lines,"]
    assert shown.out.splitlines()[-1] == "3 files: 1 refused, 1 PASS, 1 FAIL"
    assert shown.err.startswith("daygate: events_20260114.jsonl is empty")


# -- JUnit -----------------------------------------------------------------------------------------


def test_junit_has_a_suite_per_file_and_a_case_per_check(here, visits, bad, capsys):
    """What blocks is red, a refused file is an error, and the exit code is that of any other format."""
    (here / NAME).write_bytes(visits)
    (here / "events_20260116.jsonl").write_bytes(b"<html>")
    (here / "bad.jsonl").write_bytes(bad)
    assert call(["check", NAME, "events_20260116.jsonl", "--output-format", "junit"]) == 4
    clean, refused = suites_of(capsys.readouterr().out)
    assert call(["check", "bad.jsonl", "--date", "2026-01-15", "--output-format", "junit"]) == 1
    (dirty,) = suites_of(capsys.readouterr().out)

    assert list(ends(clean)) == ["file", *settings.CHECK_IDS]
    assert set(ends(clean).values()) == {"passed"}
    assert ends(refused) == {"file": "error"}
    assert refused.find("testcase/error").get("type") == "not_jsonl"
    assert {name for name, end in ends(dirty).items() if end == "failure"} == {"required_fields", "value_ranges"}
    assert (dirty.get("tests"), dirty.get("failures"), dirty.get("errors")) == ("8", "2", "0")


def test_junit_tells_the_worst_rules_with_reasons_and_lines(here, bad, capsys):
    """A person reads the cause in the build server without opening the file."""
    (here / NAME).write_bytes(bad)
    call(["check", NAME, "--output-format", "junit"])
    (suite,) = suites_of(capsys.readouterr().out)
    failure = suite.find("testcase[@name='required_fields']/failure")

    assert failure.get("message") == "96.07 % of 51 lines are good, 99 % are needed"
    assert "the line is not valid JSON\n      line 51" in failure.text
    assert "order_id is missing or null\n      line 10" in failure.text


def junit_of(*checks: CheckResult, verdict: Verdict, problems: tuple[str, ...] = (), file: str = NAME) -> ET.Element:
    """The suite of a report over the given checks."""
    report = CheckReport(verdict=verdict, checks=checks, lines=9, failing_lines=1, failing=Path("x"), problems=problems)
    facts = {"sha256": "0" * 64, "day": date(2026, 1, 15), "engine": "pandas", "seconds": 1.5, "samples": 3}
    suite = output_junit.checked(report, file=file, began=MOMENT, **facts)
    return suites_of(output_junit.dumps([suite]))[0]


def result(verdict: Verdict, *, text: str = "value_ranges", failed: int = 1, **changes: object) -> CheckResult:
    """A check whose every text is the given one."""
    usual = {
        "id": text,
        "type": "range_check",
        "verdict": verdict,
        "severity": "critical",
        "evaluated_rows": 9,
        "failed_rows": failed,
        "pass_rate": 0.9,
        "threshold": 0.99,
        "rules": (RuleResult(id=text, field=text, evaluated_rows=9, failed_rows=failed),),
        "samples": (Sample(line=3, event_id=text, rule=text, field=text, reason=text),),
    }
    return CheckResult(**(usual | changes))


def test_what_does_not_block_is_skipped_and_what_was_not_judged_is_an_error():
    """A build is red exactly when the exit code is."""
    suite = junit_of(
        result(Verdict.FAIL, text="a", severity="warning"),
        result(Verdict.PASS, text="b", failed=0, evaluated_rows=0, rules=(), samples=()),
        result(Verdict.INCONCLUSIVE, text="c", error="raised KeyError"),
        verdict=Verdict.INCONCLUSIVE,
        problems=("c could not be judged",),
    )

    assert ends(suite) == {"file": "error", "a": "skipped", "b": "skipped", "c": "error"}
    assert suite.find("testcase[@name='a']/skipped").get("message").startswith("warning, does not block: ")
    assert suite.find("testcase[@name='c']/error").get("message") == "raised KeyError"
    assert suite.find("testcase[@name='file']/error").text.strip() == "c could not be judged"


def test_a_verdict_that_no_check_explains_is_the_files_own_failure():
    """An expectation of the user's may fail a day on which the seven pass."""
    assert ends(junit_of(result(Verdict.PASS, failed=0), verdict=Verdict.FAIL))["file"] == "failure"


def test_junit_is_ascii_and_holds_hostile_text_as_text():
    """Markup, controls, lone surrogates and noncharacters neither break nor leave their place."""
    suite = output_junit.stopped(
        RefusedFile(HOSTILE, reason="encoding", hint=HOSTILE),
        file=HOSTILE,
        day=date(2026, 1, 15),
        began=MOMENT,
        seconds=0.1,
    )
    text = output_junit.dumps([suite])
    (refused,) = suites_of(text)
    told = junit_of(result(Verdict.FAIL, text=HOSTILE), verdict=Verdict.FAIL, file=HOSTILE)

    assert text.isascii()
    assert not {"\x1b", "\x00", "\u202e"} & set(text)
    assert refused.get("name") == "\\x1b[2J\\x00<script>&\"'\\u202e]]>\\ufffe\\ud800\\r\\nx"
    assert "<script>" in told.find("testcase/failure").text
    assert ends(told) == {"file": "passed", told.get("name"): "failure"}


def test_a_step_that_failed_is_an_error_too():
    """A full disk is no verdict about the file."""
    suite = output_junit.stopped(
        StepFailed("No space left.", step="stage"), file=NAME, day=date(2026, 1, 15), began=MOMENT, seconds=0.1
    )

    assert suites_of(output_junit.dumps([suite]))[0].find("testcase/error").get("type") == "not_checked"


# -- one line explained ----------------------------------------------------------------------------


def explained(capsys, *words: str) -> dict:
    """The JSON of an explained line."""
    call(["check", NAME, "--output-format", "json", "--explain", *words])
    return json.loads(capsys.readouterr().out)


def failing(document: dict) -> dict[str, str]:
    """check/rule -> reason of the rules the line breaks."""
    return {f"{rule['check']}/{rule['rule']}": rule["reason"] for rule in document["rules"] if rule["reason"]}


def test_a_good_line_keeps_all_rules_that_look_at_it(here, visits, capsys):
    """Values as they were read, the order's parts, every rule with its place in the contract; exit 0."""
    (here / NAME).write_bytes(visits)

    assert call(["check", NAME, "--explain", "5"]) == 0
    text = capsys.readouterr().out

    assert "  total_amount    4900\n" in text
    assert "  items_total     2000\n" in text
    assert "✓ order_total extra_data [/x-order-total/details] total_amount [/x-order-total]" in " ".join(text.split())
    assert "JSON Schema:\n  no objection" in text
    assert text.splitlines()[-1].startswith("GOOD: it keeps all of the ")
    assert max(map(len, text.splitlines())) <= 80


def test_explaining_agrees_with_checking_line_by_line(here, session, lines, capsys):
    """Sessions and duplicates of the whole file count, also where the line has none."""
    visit = session().add("page_view").add("purchase").add("page_view", platform="ios", os="iOS")
    other = session(2).add("page_view", session_id=...)
    events = [*visit.events, *other.events, visit.events[0], "[]", ""]
    (here / NAME).write_bytes(lines(*events))
    call(["check", NAME, "--failed-rows", "failing.jsonl"])
    rows = [json.loads(row) for row in (here / "failing.jsonl").read_text("utf-8").splitlines()]
    capsys.readouterr()

    for row in rows:
        found = failing(explained(capsys, str(row["line"])))
        assert set(found) == {f"{reason['check']}/{reason['rule']}" for reason in row["reasons"]}
    assert [row["line"] for row in rows] == [2, 3, 4, 5, 6]


def test_missing_null_and_empty_are_told_apart(here, session, lines, capsys):
    """The raw line knows what the columns cannot."""
    visit = session().add("page_view", os=..., browser=None, user_id="", timestamp="")
    (here / NAME).write_bytes(lines(*visit.events))
    document = explained(capsys, "1")

    assert failing(document) == {
        "required_fields/os": "os is missing",
        "required_fields/browser": "browser is null",
        "required_fields/user_id": "user_id is empty",
        "required_fields/timestamp": "timestamp is empty",
    }
    assert document["blocking"] == ["required_fields"]
    assert {error["message"] for error in document["json_schema"]} == {
        "'os' is a required property",
        "'browser' is a required property",
        "'' does not match '^U[0-9]{6}$'",
    }


def test_hostile_lines_are_shown_and_not_obeyed(here, capsys):
    """Raw bytes, values, keys and the schema's messages are escaped and cut."""
    line = json.dumps({"user_id": HOSTILE, "\x1b]8;;key": 1, "quantity": "MANY", "page_url": "x" * 50_000})
    line = line.replace('"MANY"', "9" * 5000)
    (here / NAME).write_text(line + "\n", "utf-8")

    assert call(["check", NAME, "--explain", "1"]) == 1
    text = capsys.readouterr().out

    assert not {"\x1b", "\x00", "\u202e", "\r"} & set(text)
    assert len(text) < 20_000
    assert "quantity has more digits than can be kept" in text
    assert "not in the contract: \\x1b]8;;key" in text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"", "Line 1 is blank"),
        (b'{"a": "\xff"}', "the line is not UTF-8 text"),
        (b'{"a": NaN}', "NaN and Infinity are no JSON numbers"),
        (b'{"a": "' + b"x" * 2**20 + b'"}', "the line is too long"),
    ],
)
def test_a_line_that_is_no_event_is_explained_too(here, visits, capsys, line, said):
    """There is nothing to validate, and the reason is told; the document has its bytes, if there are any."""
    (here / NAME).write_bytes(line + b"\n" + visits)
    call(["check", NAME, "--explain", "1"])

    assert said in capsys.readouterr().out
    call(["check", NAME, "--explain", "1", "--output-format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["raw"] is None) == (not line)


def test_a_refused_file_leaves_no_document(here, capsys):
    """Alone there is nothing to be an array of; the exit code and stderr say it all."""
    (here / NAME).write_bytes(b"")

    assert call(["check", NAME, "--output-format", "json"]) == 4
    assert capsys.readouterr().out == ""


def test_a_line_beyond_the_file_is_refused(here, visits, capsys):
    """The message tells how many there are."""
    (here / NAME).write_bytes(visits + b"\n\n")

    assert call(["check", NAME, "--explain", "53"]) == 2
    assert "The file has 52 lines; there is no line 53." in capsys.readouterr().err


@pytest.mark.parametrize("words", [[NAME, "x.jsonl"], [NAME, "--report", "r"], [NAME, "--output-format", "junit"]])
def test_explain_stands_alone(here, capsys, words):
    """One line of one file, nothing else."""
    assert call(["check", "--date", "2026-01-15", "--explain", "1", *words]) == 2
    assert "--explain takes one FILE" in capsys.readouterr().err
