"""`daygate dashboard`: the last days at a glance, readable without colour and without Unicode."""

from __future__ import annotations

import re
import webbrowser

import pytest
from test_site_pages import check, figures, many_days

from scheduler.boundary import call
from scheduler.dashboard_text import dashboard, spark
from scheduler.output import Look


def test_it_tells_the_newest_day_availability_checks_and_trends():
    """What happened, how reliable it was, which check fails how often, where the figures go."""
    text = dashboard(many_days(), [check()], days=30, look=Look())

    assert text.startswith("Thursday 2026-01-15  FAIL\n  Values within the contract failed.")
    assert "7 days 57.14 % (4 of 7)" in text
    assert "  2026-01   6 ✓✓✓✓✓·✓r✓✗· 16" in text
    assert "✓ pass, ✗ fail, r released, · missing" in text
    assert re.search(r"value_ranges +1 of 9 +last 2026-01-15  █████ ███▁$", text, re.MULTILINE)
    assert re.search(r"unique_event_id +0 of 9 +never +█████ ████$", text, re.MULTILINE)
    assert re.search(r"events +10,000", text)


def test_it_reads_the_same_where_there_is_no_unicode_and_hides_what_would_act():
    """Pure ASCII on a plain terminal; texts of the ledger stay text."""
    text = dashboard(many_days("\x1b[2J"), [], days=30, look=Look(unicode=False))

    assert text.replace("·", "").isascii() or not re.search("[▁-█✓✗·]", text)
    assert "\x1b" not in text
    assert "+++++.+r+x." in text


def test_before_the_first_run_it_says_what_to_do():
    """The next command instead of empty tables."""
    assert dashboard(figures(), [], days=30, look=Look()) == "No day has been through the gate yet.\n  try: daygate run"


@pytest.mark.parametrize(
    ("values", "bars"), [([0, 5, None, 10], "▁▅ █"), ([3, 3], "▁▁"), ([], ""), ([None], ""), ([99.0, 100.0], "▁█")]
)
def test_a_line_of_bars_has_a_gap_where_there_is_no_value(values, bars):
    """No value is no zero."""
    assert spark(values, Look()) == bars


def test_the_command_prints_and_copies_the_site(run_day, process, tmp_path):
    """`--html` leaves a site that opens from the file system; a folder that has something in it is not touched."""
    run_day()
    told = process("dashboard", "--days", "7", "--html", str(tmp_path / "copy"))
    again = process("dashboard", "--html", str(tmp_path / "copy"))
    built = process("docs", "build")

    assert told.returncode == 0, told.stderr
    assert "2026-01-15" in told.stdout
    assert (tmp_path / "copy/index.html").is_file()
    assert (tmp_path / "copy/assets/daygate.css").is_file()
    assert again.returncode == 2
    assert "is there already" in again.stderr
    assert built.returncode == 0, built.stderr
    assert "1 days and 1 runs" in built.stdout


def test_a_site_that_cannot_be_copied_or_opened_says_what_else_to_do(
    run_day, settings, database_url, monkeypatch, capsys
):
    """The figures are printed all the same."""
    run_day()
    monkeypatch.setenv("DAYGATE_HOME", str(settings.home))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", database_url)
    monkeypatch.setattr(webbrowser, "open", lambda _: False)
    settings.home.joinpath("file").write_text("")
    copied = call(["dashboard", "--html", str(settings.home / "file" / "copy")])
    opened = call(["dashboard", "--open"])
    told = capsys.readouterr()

    assert (copied, opened) == (3, 3)
    assert told.out.count("2026-01-15") >= 2
    assert "The site cannot be copied to" in told.err
    assert "No browser can be opened here." in told.err
    assert "daygate serve" in told.err
