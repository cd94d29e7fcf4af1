"""A whole day through the gate: published on PASS, blocked otherwise, the same however often it runs."""

from __future__ import annotations

import json
import signal
from datetime import time

import pytest
from day_fixtures import DAY
from pydantic import SecretStr

from pipeline import contract, failpoints, lateness
from pipeline.day import DayRunner, RunFailed
from pipeline.errors import ExitCode
from pipeline.progress import Silent
from pipeline.records import Run, Verdict
from scheduler import app
from scheduler.boundary import call

DIRTY = {"line_truncated": 0.02, "total_mismatch": 0.3, "platform_changed": 0.05}


def test_a_clean_day_is_generated_checked_and_published(run_day, query, settings):
    """From nothing to marts and a page, without a word of configuration."""
    outcome = run_day()

    summary = outcome.summary
    assert (summary.verdict, summary.status, summary.is_current) == (Verdict.PASS, "published", True)
    assert query("SELECT count(*) FROM raw_events") == [(summary.lines,)]
    assert all(query(f"SELECT count(*) FROM {mart}")[0][0] > 0 for mart in
               ("mart_user_daily", "mart_funnel_daily", "mart_product_daily", "mart_orders"))  # fmt: skip
    assert outcome.page.is_file()
    assert (settings.site_folder / "index.html").is_file()


def test_the_report_of_a_run_tells_its_whole_story(run_day, settings):
    """report.json has the ledger's fields and the seven checks."""
    summary = run_day().summary

    story = json.loads((settings.runs_folder / summary.run_id / "report.json").read_text(encoding="utf-8"))

    assert (story["run_id"], story["status"], story["loaded"]) == (summary.run_id, "published", summary.loaded)
    assert len(story["checks"]) == 7


def test_a_report_that_cannot_be_written_changes_nothing_that_was_decided(run_day, settings, tmp_path, caplog):
    """After the commit a full or missing disk is a line in the log."""
    done = run_day()
    runner = DayRunner(settings=settings, contract=contract.load(), database_url="", gate=None, progress=Silent())
    nowhere = Run(run_id="r", day=done.summary.day, attempt=1, trigger="cli", fence=1, folder=tmp_path / "gone")

    assert runner._ended(nowhere, done.summary, done.report, ()).summary == done.summary
    assert "report.json of r could not be written" in caplog.text


def test_a_range_of_days_without_files_ends_with_a_count(settings, monkeypatch, capsys):
    """Each is told of; there is no table of nothing."""
    monkeypatch.setenv("DAYGATE_HOME", str(settings.home))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("DAYGATE_SOURCE", "landing")
    code = call(["backfill", "--start", "2026-01-15", "--end", "2026-01-16"])
    told = capsys.readouterr()

    assert code != 0
    assert told.out.split("\n")[-2:] == ["2 days, 0 passed, 2 did not", ""]
    assert told.err.count("  try: daygate run --date 2026-01-1") == 2


def test_the_dashboard_of_a_house_without_days_is_shown_and_copied(settings, monkeypatch, capsys, tmp_path):
    """The site is made when nobody made it yet."""
    monkeypatch.setenv("DAYGATE_HOME", str(settings.home))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", settings.database_url.get_secret_value())

    assert call(["dashboard"]) == 0
    assert "No day has been through the gate yet" in capsys.readouterr().out
    assert call(["dashboard", "--html", str(tmp_path / "copy")]) == 0
    assert (tmp_path / "copy" / "index.html").is_file()


def test_pages_that_are_all_there_are_not_made_again(run_day, settings):
    """The service looks after every run."""
    run_day()
    before = {path: path.stat().st_mtime_ns for path in settings.site_folder.rglob("*")}
    app.finish_pages(settings)

    assert {path: path.stat().st_mtime_ns for path in settings.site_folder.rglob("*")} == before


def test_without_a_database_news_are_told_all_the_same(settings, caplog):
    """Once, in the log when there is no Slack; nothing is raised for it."""
    nowhere = settings.model_copy(update={"database_url": SecretStr("postgresql://nobody@127.0.0.1:1/none")})
    app.notify(nowhere, [lateness.missing([DAY], by=time(9))])

    assert "The outbox is away" in caplog.text
    assert str(DAY) in caplog.text.replace("The outbox is away", "")


def test_fault_47_the_same_delivery_again_changes_nothing(run_day, query):
    """Idempotent: no new row anywhere, not even in the ledger."""
    everything = "SELECT count(*), (SELECT count(*) FROM pipeline_run_log), (SELECT max(run_id) FROM raw_events)"
    first = run_day()
    before = query(everything + " FROM raw_events")
    second = run_day()

    assert second.unchanged
    assert second.summary == first.summary
    assert query(everything + " FROM raw_events") == before


def test_a_forced_second_run_gives_the_same_tables(run_day, digest):
    """The day is replaced as a whole, by equal content."""
    run_day()
    before = digest()
    again = run_day(force=True)

    assert again.summary.attempt == 2
    assert digest() == before


def test_a_bad_day_reaches_no_mart_and_loses_no_line(run_day, query, digest, delivery):
    """FAIL: nothing visible, every failing line in quarantine with its bytes and reasons."""
    nothing = digest()
    file = delivery(**DIRTY)
    outcome = run_day(file=file)

    raw_lines = file.read_bytes().splitlines()
    quarantined = query("SELECT line_no, raw, reasons FROM quarantine_events ORDER BY line_no")
    assert (outcome.summary.verdict, outcome.summary.status) == (Verdict.FAIL, "blocked")
    assert digest() == nothing
    assert len(quarantined) == outcome.report.failing_lines > 0
    assert all(bytes(raw) == raw_lines[line - 1] and reasons for line, raw, reasons in quarantined)
    assert query("SELECT kind FROM alert_outbox") == [("gate_failed",)]


def test_a_published_day_survives_a_bad_redelivery(run_day, digest, delivery):
    """The version published earlier stays."""
    run_day()
    before = digest()
    bad = run_day(file=delivery(**DIRTY))

    assert bad.summary.status == "blocked"
    assert digest() == before


def test_a_corrected_delivery_replaces_the_day_and_both_stay_in_history(run_day, query, delivery):
    """Nothing of the old version stays visible."""
    run_day(file=delivery(name="first.jsonl", users=80))
    second = run_day(file=delivery(name="second.jsonl", users=160))

    assert query("SELECT count(*) FROM raw_events") == [(second.summary.loaded,)]
    assert query("SELECT attempt, is_current FROM pipeline_run_log ORDER BY attempt") == [(1, False), (2, True)]


def test_a_few_bad_lines_are_quarantined_and_the_rest_is_published(run_day, query, delivery):
    """Below the threshold: loaded + quarantined = lines."""
    summary = run_day(file=delivery(browser_unknown=0.003)).summary

    assert summary.status == "published"
    assert summary.quarantined > 0
    assert summary.loaded + summary.quarantined == summary.lines
    assert query("SELECT count(*) FROM quarantine_events") == [(summary.quarantined,)]


def test_lines_failing_a_warning_are_loaded_and_flagged(run_day, query, delivery):
    """Severity `warning` reports, does not block, and loses nothing."""
    summary = run_day(file=delivery(browser_unknown=0.05), severities={"value_ranges": "warning"}).summary

    assert (summary.status, summary.quarantined, summary.loaded) == ("published", 0, summary.lines)
    flags = query("SELECT flags, count(*) FROM raw_events WHERE flags IS NOT NULL GROUP BY 1")
    assert [flag for flag, _ in flags] == [["value_ranges"]]


def test_quality_rows_tell_the_seven_checks(run_day, query):
    """One row a check and run."""
    run_day()

    assert query("SELECT count(*), count(DISTINCT check_id), min(pass_rate) FROM quality_check_log") == [(7, 7, 1)]


def test_a_missing_landed_file_is_a_failed_attempt_with_an_alert(run_day, query):
    """No day is forgotten: the ledger knows, the exit code says refused."""
    with pytest.raises(RunFailed) as failure:
        run_day(source="landing")

    assert failure.value.exit_code == ExitCode.REFUSED
    assert query("SELECT status FROM pipeline_run_log") == [("failed",)]


def test_staged_parts_do_not_pile_up(run_day, settings):
    """The delivery is kept, its staged form is not."""
    run_day()

    assert list(settings.runs_folder.rglob("*.parquet*")) == [*settings.runs_folder.glob("*/failing.parquet")]
    assert len(list(settings.deliveries_folder.iterdir())) == 1


@pytest.mark.parametrize("place", [name for name in failpoints.RUN if not name.startswith("block")])
def test_killed_between_any_two_steps_and_run_again_gives_the_same_tables(place, process, run_day, digest, query):
    """A kill -9 at every boundary: nothing half visible, and the next run ends as an undisturbed one."""
    nothing = digest()
    killed = process("run", "--date", "2026-01-15", DAYGATE_FAILPOINT=place)
    after_kill = digest()
    again = run_day()
    recovered = digest()
    forced = run_day(force=True)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert again.summary.status == forced.summary.status == "published"
    assert after_kill == (recovered if place.startswith(("publish.done", "report.", "pages.")) else nothing)
    assert recovered == digest()
    assert query("SELECT count(*) FROM pipeline_run_log WHERE is_current") == [(1,)]
    assert query("SELECT count(*) FROM pipeline_run_log WHERE status = 'running'") == [(0,)]


@pytest.mark.parametrize("place", [name for name in failpoints.RUN if name.startswith("block")])
def test_killed_while_blocking_and_run_again_blocks_the_day(place, process, run_day, digest, delivery, query):
    """The bad day stays out, its lines end in quarantine once per judged run."""
    nothing = digest()
    file = delivery(name="events_20260115.jsonl", **DIRTY)
    killed = process("run", "--file", str(file), DAYGATE_FAILPOINT=place)
    again = run_day(file=file)

    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert again.summary.status == "blocked"
    assert digest() == nothing
    assert query("SELECT count(*) FROM quarantine_events WHERE run_id = %s", again.summary.run_id) == [
        (again.report.failing_lines,)
    ]


UNLOADABLE = ["line_truncated", "event_id_repeated", "line_repeated"]


@pytest.mark.parametrize("fault", UNLOADABLE)
def test_lines_that_no_table_could_store_are_quarantined_whatever_the_severity(run_day, query, delivery, fault):
    """A warning does not block the day, and what has no event id of its own is kept, not lost."""
    warnings = {"required_fields": "warning", "unique_event_id": "warning"}
    summary = run_day(file=delivery(**{fault: 0.02}), severities=warnings).summary

    assert (summary.status, summary.verdict) == ("published", Verdict.PASS)
    assert summary.quarantined > 0
    assert summary.loaded + summary.quarantined == summary.lines
    assert query("SELECT count(*) FROM quarantine_events") == [(summary.quarantined,)]
