"""A person may publish the good lines of a day that failed: only of such a day, and never without a trace."""

from __future__ import annotations

import gzip
import html
import signal
from contextlib import closing
from dataclasses import replace

import psycopg2
import pytest
from staged_days import CONTRACT, claim, event, stage_day

from pipeline import archive, database, ledger, load, marts, publish, release
from pipeline.day import DayOrder, RunFailed
from pipeline.errors import ExitCode, RefusedFile, SettingsError, StepFailed
from pipeline.progress import Silent
from pipeline.records import Release, Verdict
from scheduler import app, repair

DIRTY = {"line_truncated": 0.02, "quantity_zero": 0.5}
WRONG = ("value_ranges", "os", "os", "not in the contract's list")
REASON = 'Till was down <b>&"\x1b[2J'


@pytest.fixture
def release_day(settings):
    """Releases the day through the composition root."""

    def run(day, *, reason=REASON, by="Kim", **changes):
        chosen = settings.model_copy(update=changes)
        return repair.release_day(chosen, day, reason=reason, by=by, progress=Silent())

    return run


@pytest.fixture
def blocked(run_day, delivery):
    """A day that failed."""
    return run_day(file=delivery(name="events_20260115.jsonl", **DIRTY))


@pytest.fixture
def judged(database_url, tmp_path):
    """Leaves a judged day in the ledger without Great Expectations: as `verdict`, with failing lines of three."""

    def make(verdict=Verdict.FAIL, failing=(2,)):
        made = stage_day(
            tmp_path, [event(n) for n in range(3)], reasons={line: [WRONG] for line in failing}, verdict=verdict
        )
        run = claim(database_url, tmp_path)
        if verdict is not Verdict.PASS:
            return publish.block(database_url, run, made.staged, made.report, ())
        receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
        tables = marts.build(database_url, run, receipt)
        return publish.publish(database_url, run, made.staged, made.report, receipt, tables, ())

    return make


def test_a_release_publishes_the_good_lines_and_keeps_who_why_and_what_failed(blocked, release_day, query, day):
    """Ledger, quality log, quarantine and outbox tell the whole story of the override."""
    released = release_day(day).summary

    assert (released.status, released.verdict, released.outcome) == ("published", Verdict.FAIL, "released")
    assert (released.trigger, released.attempt, released.is_current) == ("release", 2, True)
    assert released.released_run == blocked.summary.run_id
    assert released.released_by == f"Kim ({release.login()})"
    assert released.release_reason == REASON
    assert released.delivery_sha256 == blocked.summary.delivery_sha256
    assert released.quarantined == blocked.summary.quarantined > 0
    assert released.loaded == released.lines - released.quarantined
    assert query("SELECT count(*) FROM raw_events") == [(released.loaded,)]
    assert query("SELECT count(*) FROM mart_user_daily")[0][0] == released.unique_users > 0
    assert query("SELECT count(*) FROM quarantine_events WHERE run_id = %s", released.run_id) == [
        (released.quarantined,)
    ]
    failed = "SELECT check_id FROM quality_check_log WHERE run_id = %s AND verdict = 'FAIL' ORDER BY 1"
    assert query(failed, released.run_id) == [("required_fields",), ("value_ranges",)]
    assert query("SELECT kind, facts ->> 'by' FROM alert_outbox ORDER BY id") == [
        ("gate_failed", None),
        ("day_released", released.released_by),
    ]


def test_a_release_is_told_on_its_page_and_on_the_index(blocked, release_day, settings, day):
    """A banner with who and why; the words of a person cannot act on the page."""
    outcome = release_day(day, by=None)
    page, index = outcome.page.read_text("utf-8"), (settings.site_folder / "index.html").read_text("utf-8")

    for text in (page, index):
        assert "Released by hand" in text
        assert html.escape('Till was down <b>&"', quote=True).replace("&quot;", "&#34;") in text
        assert "<b>&" not in text
        assert "\x1b" not in text
    assert "its good lines are published" in page
    assert "nothing of this day is published" not in page
    assert blocked.summary.run_id in page


def test_a_released_day_is_replaced_by_a_better_delivery(blocked, release_day, run_day, delivery, query, day):
    """The override does not outlive what it was for; all attempts stay in history."""
    released = release_day(day)
    again = run_day(file=delivery(name="events_20260115.jsonl", **DIRTY))
    better = run_day(file=delivery(name="better.jsonl"))

    assert again.unchanged
    assert (better.summary.verdict, better.summary.released_by) == (Verdict.PASS, None)
    assert query("SELECT attempt, status, is_current, released_by IS NOT NULL FROM pipeline_run_log ORDER BY 1") == [
        (1, "blocked", False, False),
        (2, "published", False, True),
        (3, "published", True, False),
    ]
    with pytest.raises(SettingsError, match="published already"):
        release_day(day)
    assert released.summary.run_id != better.summary.run_id


def test_a_gate_that_answers_otherwise_now_releases_nothing(blocked, release_day, digest, query, day):
    """The decision was about one answer of the gate, and is not stretched to another."""
    nothing = digest()
    for changes, told in (
        ({"thresholds": {"required_fields": 0.5, "value_ranges": 0.5}, "rule_floor": 0.1}, "is PASS now"),
        ({"thresholds": {"required_fields": 0.5}}, "fails otherwise now"),
    ):
        with pytest.raises(RunFailed, match=told):
            release_day(day, **changes)

    assert digest() == nothing
    assert query("SELECT status FROM pipeline_run_log ORDER BY attempt") == [("blocked",), ("failed",), ("failed",)]
    assert release_day(day).summary.outcome == "released"


def test_a_packed_delivery_is_released_under_its_own_name_and_hash(run_day, release_day, delivery, tmp_path, day):
    """The archive keeps it unpacked; it is still the same delivery."""
    packed = tmp_path / "events_20260115.jsonl.gz"
    packed.write_bytes(gzip.compress(delivery(**DIRTY).read_bytes()))
    first = run_day(file=packed).summary
    second = release_day(day).summary

    assert (second.delivery_sha256, second.delivery_name) == (first.delivery_sha256, packed.name)


def test_a_day_without_a_judgement_has_nothing_to_release(release_day, day):
    """The message says what to do first."""
    with pytest.raises(SettingsError, match="never judged") as caught:
        release_day(day)

    assert caught.value.hint == "daygate run --date 2026-01-15"


@pytest.mark.parametrize(
    ("verdict", "failing", "told"),
    [
        (Verdict.PASS, (2,), "published already"),
        (Verdict.INCONCLUSIVE, (), "what could not be judged cannot be released"),
        (Verdict.FAIL, (1, 2, 3), "no good line"),
    ],
)
def test_only_a_day_that_failed_and_has_good_lines_can_be_released(judged, release_day, day, verdict, failing, told):
    """Never a published day, never one that could not be judged, never an empty one."""
    judged(verdict, failing)

    with pytest.raises(SettingsError, match=told):
        release_day(day)


def test_a_bad_redelivery_of_a_published_day_cannot_be_released(judged, release_day, day, query):
    """A release never puts a failed version in the place of a good one."""
    judged(Verdict.PASS)
    judged(Verdict.FAIL)

    with pytest.raises(SettingsError, match="published already"):
        release_day(day)
    assert query("SELECT count(*) FROM pipeline_run_log") == [(2,)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"reason": " \n"}, "needs a reason"),
        ({"reason": "x" * 1001}, "at most"),
        ({"reason": "x", "by": "y" * 101}, "at most"),
    ],
)
def test_a_release_without_sensible_words_is_refused_before_any_work(release_day, day, words, told, settings):
    """Nobody learns anything from an empty reason; no server is asked."""
    with pytest.raises(SettingsError, match=told):
        release_day(day, **words, database_url=None)
    assert not settings.home.exists()


def test_a_delivery_that_left_the_archive_cannot_be_released(judged, release_day, day):
    """The bytes that were judged are needed; the next command is told."""
    judged()

    with pytest.raises(RefusedFile) as caught:
        release_day(day)
    assert caught.value.reason == "archive_missing"
    assert "daygate run --date 2026-01-15 --file" in caught.value.hint


def test_an_archived_delivery_that_was_touched_is_refused(judged, settings, day, release_day):
    """Equal length does not make equal bytes."""
    summary = judged()
    kept = archive.path_of(settings.deliveries_folder, summary.delivery_sha256)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"x" * summary.delivery_bytes)

    with pytest.raises(RefusedFile) as caught:
        release_day(day)
    assert caught.value.reason == "archive_changed"


def test_an_order_made_for_an_older_answer_does_nothing(judged, settings, tmp_path, query, day):
    """Another run was judged between the decision and its turn."""
    judged()
    file = tmp_path / "any.jsonl"
    file.write_bytes(b"{}\n")
    order = DayOrder(day=day, file=file, engine="pandas", force=False, trigger="replay", follows="20260115-0-0")

    with pytest.raises(RunFailed, match="was judged after") as caught:
        app.run_order(settings, order, progress=Silent())
    assert caught.value.exit_code == ExitCode.BUSY
    assert query("SELECT status FROM pipeline_run_log ORDER BY attempt") == [("blocked",), ("failed",)]


DECISION = Release(run_id="20260115-1", by="Kim (root)", reason="why")


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [
        (Verdict.FAIL, None),
        (Verdict.INCONCLUSIVE, None),
        (Verdict.INCONCLUSIVE, DECISION),
        (Verdict.PASS, DECISION),
    ],
)
def test_the_door_opens_for_a_pass_or_for_a_released_fail(database_url, tmp_path, verdict, decision):
    """The type is the gate: a verdict that is no PASS needs a decision, and a decision needs a FAIL."""
    made = stage_day(tmp_path, [event(1), event(2)], reasons={2: [WRONG]})
    run = claim(database_url, tmp_path)
    receipt = load.load(database_url, run, made.staged, made.report, CONTRACT)
    tables = marts.build(database_url, run, receipt)

    with pytest.raises(StepFailed, match=verdict):
        publish.publish(
            database_url, run, made.staged, replace(made.report, verdict=verdict), receipt, tables, (), release=decision
        )
    with closing(database.connect(database_url, name="test")) as connection:
        assert ledger.published(connection, run.day) is None


@pytest.mark.parametrize(
    "change",
    [
        "is_current = true, status = 'published'",
        "is_current = true, status = 'published', released_run = run_id",
        "is_current = true, status = 'published', released_run = run_id, released_by = 'Kim', release_reason = ' '",
        "released_run = run_id, released_by = 'Kim', release_reason = 'why'",
        "released_by = 'Kim'",
    ],
)
def test_the_database_itself_refuses_a_failed_day_without_a_whole_release(judged, database_url, change):
    """Whoever writes to the ledger: visible means PASS, or FAIL with who, why and which run."""
    judged()

    with (
        closing(psycopg2.connect(database_url)) as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.errors.CheckViolation),
    ):
        cursor.execute(f"UPDATE daygate.pipeline_run_log SET {change}")


def test_killed_while_releasing_and_released_again(blocked, release_day, process, digest, query, day):
    """Nothing half visible, no half release in the ledger, and the second attempt is a whole one."""
    nothing = digest()
    killed = process("release", "2026-01-15", "--reason", "why", DAYGATE_FAILPOINT="publish.commit")
    after_kill = digest()
    released = release_day(day).summary

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert after_kill == nothing
    assert (released.attempt, released.outcome) == (3, "released")
    assert query("SELECT attempt, status, released_by IS NULL FROM pipeline_run_log ORDER BY attempt") == [
        (1, "blocked", True),
        (2, "failed", True),
        (3, "published", False),
    ]
