"""Calibration: thresholds, severities and rule floors that fit a shop, proposed from its past deliveries."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from staged_days import discard

from pipeline import contract as contracts
from pipeline import settings as all_settings
from pipeline import settings_file, simulate
from pipeline.calibrate import Measured, propose
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import SettingsError
from pipeline.progress import Silent
from pipeline.records import CheckResult, RuleResult, Verdict
from pipeline.settings import Settings
from scheduler import app, calibration_text, checking
from scheduler.boundary import call
from scheduler.output import Look

FIRST = date(2026, 1, 5)
CARTLESS = "purchase_without_cart"


def result(check, evaluated, failed, **rules):
    """What a check found; rules as id=(evaluated, failed)."""
    return CheckResult(
        id=check,
        type="null_check",
        verdict=Verdict.PASS,
        severity="critical",
        evaluated_rows=evaluated,
        failed_rows=failed,
        pass_rate=None,
        threshold=0.99,
        rules=tuple(
            RuleResult(id=rule, field=None, evaluated_rows=looked_at, failed_rows=bad)
            for rule, (looked_at, bad) in rules.items()
        ),
    )


def days(check, failed, *, evaluated=10_000, **rules):
    """Days on which a check failed on so many lines; rules as id=[(evaluated, failed) per day]."""
    return [
        Measured(
            day=FIRST + timedelta(days=n),
            checks=(result(check, evaluated, bad, **{rule: found[n] for rule, found in rules.items()}),),
        )
        for n, bad in enumerate(failed)
    ]


# -- the proposal ----------------------------------------------------------------------------------


def test_a_clean_shop_keeps_every_default():
    """Nothing is loosened where usual days pass as it is."""
    proposal = propose(days("value_ranges", [0, 3, 20, 0, 1, 90, 2]), Settings())

    assert proposal.changes == {}
    assert proposal.blocked_by_proposal == ()


@pytest.mark.parametrize("bad", [[4000], [4000, 9000], [150, 9000]])
def test_bad_days_among_ten_do_not_move_the_proposal(bad):
    """One or two outages must neither loosen a threshold nor be let through by it."""
    usual = [250, 260, 240, 255, 245, 250, 248, 262, 238, 251][len(bad) :]
    clean = propose(days("required_fields", usual), Settings())
    dirty = propose(days("required_fields", [*usual, *(b + 250 for b in bad)]), Settings())
    threshold = clean.changes["thresholds"]["required_fields"]

    assert 0.96 <= threshold <= 0.9738
    assert dirty.changes["thresholds"]["required_fields"] == pytest.approx(threshold, abs=0.002)
    assert len(dirty.blocked_by_proposal) == len(bad)
    assert len(dirty.blocked_by_default) == 10


@given(st.lists(st.integers(0, 4000), min_size=1, max_size=20), st.sampled_from(CHECK_IDS))
def test_a_proposal_never_blocks_a_usual_day_and_never_passes_an_unusual_one(failed, check):
    """Whatever the rates: only days that are named as unusual stay shut, or the check only reports."""
    measured = days(check, failed, evaluated=9000)
    proposal = propose(measured, Settings())
    (advice,) = proposal.advice
    shut = {blocked.day for blocked in proposal.blocked_by_proposal}
    unusual = {rate.day for rate in advice.usual.unusual}

    assert advice.severity == "warning" or shut <= unusual
    assert len(unusual) * 2 <= len(failed)
    assert advice.proposed <= 0.99
    if advice.kind == "lower" and advice.severity == "critical":
        assert shut == unusual


def test_a_check_that_is_bad_by_nature_becomes_a_warning():
    """Half of the purchases without a cart: as critical they would all be quarantined, every day."""
    found = days("funnel_order", [500, 520, 480, 510, 490, 505, 495], evaluated=10_000, purchase=[(1000, 500)] * 7)
    proposal = propose(found, Settings())

    assert proposal.changes["severities"] == {"funnel_order": "warning"}
    assert 0.9 <= proposal.changes["thresholds"]["funnel_order"] < 0.95
    assert 0.4 <= proposal.changes["rule_floors"]["funnel_order/purchase"] < 0.5
    assert (len(proposal.blocked_by_default), len(proposal.blocked_by_proposal)) == (7, 0)


def test_a_check_whose_failing_lines_cannot_be_loaded_stays_critical():
    """A copy of an event has no place in the table, however usual copies are."""
    proposal = propose(days("unique_event_id", [800, 820, 790, 810, 805, 795, 808]), Settings())

    assert "severities" not in proposal.changes
    assert 0.90 <= proposal.changes["thresholds"]["unique_event_id"] < 0.92
    assert proposal.blocked_by_proposal == ()


def test_a_contract_that_does_not_fit_is_not_hidden_behind_a_threshold():
    """When most lines fail a critical check, the schema is wrong for the shop, and the gate says so."""
    proposal = propose(days("value_ranges", [9900] * 7), Settings())

    assert proposal.advice[0].kind == "contract"
    assert proposal.changes == {}
    assert len(proposal.blocked_by_proposal) == 7


def shown(measured, ours=None):
    """What the command prints of the proposal, its lines put together."""
    ours = ours or Settings()
    proposal = propose(measured, ours)
    text = calibration_text.proposed(proposal, source="files", floor=ours.rule_floor, look=Look())
    return " ".join((text + calibration_text.ending(proposal, written=None)).split())


def test_a_contract_that_does_not_fit_is_told_with_what_to_correct():
    """The place of a threshold says so, and the reason names the schema."""
    text = shown(days("value_ranges", [9900] * 7))

    assert "contract" in text
    assert "99.0 % of its lines fail, so the contract does not describe this shop" in text
    assert text.endswith("daygate.toml needs nothing.")


def test_a_warning_that_is_not_needed_any_more_is_told():
    """A person set it; the days would pass without."""
    text = shown(days("funnel_order", [0] * 7), Settings(severities={"funnel_order": "warning"}))

    assert "Usual days would pass without: take it out of severities to let it block." in text


def test_lines_that_would_go_to_quarantine_each_day_are_told():
    """A lower threshold opens the gate and loads none of them."""
    text = shown(days("unique_event_id", [800, 820, 790, 810, 805, 795, 808]))

    assert "of its lines fail; they go to quarantine each day" in text
    assert text.endswith("the same command with --write")


def test_two_days_are_shown_and_not_to_be_written():
    """What would fit two days may fit no third."""
    text = shown(days("unique_event_id", [800, 820]))

    assert "2 of at least 3 days" in text
    assert text.endswith("Too few days to be written; with 3 or more: the same command with --write")


def test_a_rule_that_alone_blocks_usual_days_gets_a_floor_of_its_own():
    """The check's rate is fine; one rule over few lines is not."""
    lacking = [(500, 150), (510, 160), (490, 140), (505, 155), (495, 150), (500, 148), (500, 152)]
    found = days("required_fields", [n for _, n in lacking], evaluated=50_000, **{"order.coupon": lacking})
    proposal = propose(found, Settings())

    assert list(proposal.changes) == ["rule_floors"]
    assert 0.5 <= proposal.changes["rule_floors"]["required_fields/order.coupon"] < 0.69
    assert (len(proposal.blocked_by_default), len(proposal.blocked_by_proposal)) == (7, 0)


def test_what_a_person_set_is_kept_while_it_fits_and_tightened_when_it_is_too_loose():
    """A stricter threshold and a warning are decisions; a threshold looser than needed is a gate left open."""
    clean = days("platform_device", [0] * 7)

    strict = Settings(thresholds={"platform_device": 0.999}, severities={"platform_device": "warning"})
    assert propose(clean, strict).changes == {
        "thresholds": {"platform_device": 0.999},
        "severities": {"platform_device": "warning"},
    }
    assert propose(clean, Settings(thresholds={"platform_device": 0.5})).changes == {
        "thresholds": {"platform_device": 0.99}
    }


def test_a_check_without_lines_stays_as_it_is():
    """Nothing is known about it, so nothing is said about it."""
    proposal = propose(days("order_total", [0], evaluated=0), Settings())

    assert "order_total" in proposal.unmeasured
    assert proposal.changes == {}
    assert proposal.provisional


# -- the settings file -----------------------------------------------------------------------------

CHANGES = {
    "thresholds": {"funnel_order": (0.45, "usual 50 %")},
    "severities": {"funnel_order": ("warning", "")},
    "rule_floors": {"funnel_order/purchase": (0.4, "")},
}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "users = 5  # few\n# the end\n",
        "users = 5\n[thresholds]  # ours\n# strict on purpose\nvalue_ranges = 0.995\nfunnel_order = 0.9\n\n# the end\n",
        "thresholds = { value_ranges = 0.5 }\n",
        "thresholds.value_ranges = 0.5\nusers = 5\n",
        "[severities]\nfunnel_order = 'critical'\n[thresholds]\nfunnel_order = 0.7",
    ],
)
def test_other_keys_and_comments_survive_and_the_file_reads_back(tmp_path, monkeypatch, text):
    """Only the proposed keys change, whatever style the file is written in."""
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    monkeypatch.setenv("DAYGATE_CONFIG", str(file))
    before = tomllib.loads(text)

    settings_file.write(file, CHANGES)
    now = all_settings.load()

    assert (now.threshold("funnel_order"), now.severity("funnel_order")) == (0.45, "warning")
    assert now.rule_floors == {"funnel_order/purchase": 0.4}
    assert now.threshold("value_ranges") == before.get("thresholds", {}).get("value_ranges", 0.99)
    assert now.users == before.get("users", Settings().users)
    assert all(comment in file.read_text("utf-8") for comment in ("# few", "# the end", "# ours", "# strict on purpose")
               if comment in text)  # fmt: skip
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("text", ["users = \n", "thresholds = 3\n", "nonsense = 1\n"])
def test_a_file_that_cannot_be_changed_is_left_as_it_was(tmp_path, text):
    """No half-written settings: an error, and every byte as before."""
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(SettingsError):
        settings_file.write(file, CHANGES)

    assert file.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [file]


# -- the command -----------------------------------------------------------------------------------


def deliver(folder, number, **faults):
    """A simulated day of the shop."""
    day = FIRST + timedelta(days=number)
    file = folder / f"events_{day:%Y%m%d}.jsonl"
    simulate.generate(day, contract=contracts.load(), output=file, users=300, events=3000, seed=7, faults=faults or {})
    return file


@pytest.fixture(scope="module")
def shops(tmp_path_factory):
    """A week each of a clean shop and of one with half of its purchases without a cart, both with bad days."""
    clean, cartless = tmp_path_factory.mktemp("clean"), tmp_path_factory.mktemp("cartless")
    for number in range(7):
        outage = {2: {"day_wrong": 0.4}, 5: {"user_id_missing": 0.3}}.get(number, {})
        deliver(clean, number, **outage)
        deliver(cartless, number, **{CARTLESS: 0.4 + number % 5 / 25}, **outage)
    return {"clean": clean, "cartless": cartless}


@pytest.fixture
def here(here, monkeypatch):
    """An empty folder to work in; one process parses."""
    monkeypatch.setenv("DAYGATE_WORKERS", "1")
    return here


def files(folder):
    return [str(file) for file in sorted(folder.iterdir())]


def checks_that_shut(file):
    """Critical checks that fail a file under the settings of the folder one is in."""
    found = checking.check_file(
        all_settings.load(), file, day=FIRST, engine="auto", failed_rows=None, report_folder=None, progress=Silent()
    ).report
    shut = {check.id for check in found.checks if check.verdict is not Verdict.PASS and check.severity == "critical"}
    assert bool(shut) == (found.verdict is Verdict.FAIL)
    return shut


@pytest.mark.long
def test_a_clean_shop_is_told_that_the_defaults_fit(shops, here, capsys):
    """The two bad days stay blocked, by name, and no file is written."""
    assert call(["calibrate", str(shops["clean"]), "--write"]) == 0
    text = capsys.readouterr().out

    assert "With the proposal: 2 of 7 days blocked:" in text
    assert "Wed 2026-01-07  timestamp_validity" in text
    assert "Sat 2026-01-10  required_fields" in text
    assert "The defaults fit; daygate.toml needs nothing." in text
    assert list(here.iterdir()) == []


@pytest.mark.long
def test_a_shop_with_half_its_purchases_cartless_gets_a_gate_that_opens(shops, here, capsys):
    """Every day was blocked; with the written proposal usual days pass and clear defects still shut the gate."""
    assert call(["calibrate", *files(shops["cartless"]), "--write"]) == 0
    text = capsys.readouterr().out
    ordinary = deliver(here, 0, **{CARTLESS: 0.5})

    assert "With the defaults: 7 of 7 days blocked:" in text
    assert "With the proposal: 2 of 7 days blocked:" in text
    assert 'funnel_order = "warning"' in (here / "daygate.toml").read_text("utf-8")
    assert max(map(len, text.splitlines())) <= 80
    assert checks_that_shut(ordinary) == set()
    for fault in ("line_truncated", "event_id_repeated", "browser_unknown", "day_wrong", "os_not_allowed"):
        planted = simulate.FAULTS[fault]
        faulty = deliver(here, 0, **{CARTLESS: 0.5, fault: planted.rate})
        assert checks_that_shut(faulty) == {planted.caught_by}

    capsys.readouterr()
    assert call(["calibrate", *files(shops["cartless"])]) == 0
    assert capsys.readouterr().out.count('funnel_order = "warning"') == 1, "the same proposal again"


@pytest.mark.long
def test_two_days_are_too_few_to_be_written(shops, here, capsys):
    """A bad day cannot be told from a usual one, so the proposal is shown and not kept."""
    assert call(["calibrate", *files(shops["cartless"])[:2], "--write"]) == 2
    shown = capsys.readouterr()

    assert "2 of at least 3 days" in shown.out
    assert "2 days are too few to be written" in shown.err
    assert list(here.iterdir()) == []


@pytest.mark.long
def test_a_refused_file_is_told_of_and_the_others_are_measured(shops, here, capsys):
    """Exit 4, and the same content under two names counts once."""
    (here / "events_20260101.jsonl").write_bytes(b"")
    first = files(shops["clean"])[0]
    shutil.copy(first, here / "events_20260105.jsonl.copy")

    assert call(["calibrate", first, "events_20260105.jsonl.copy", "events_20260101.jsonl"]) == 4
    told = capsys.readouterr()
    assert "calibrate 1 day," in told.out
    assert len(told.err.splitlines()) <= 2

    assert call(["calibrate", "events_20260101.jsonl"]) == 4
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("words", [[], ["events_20260101.jsonl", "--days", "3"], ["undated.jsonl"]])
def test_wrong_usage_is_told_in_two_lines(words, here, capsys):
    """Files or days, and every file has a day in its name."""
    assert call(["calibrate", *words]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.long
def test_a_proposal_hidden_by_the_environment_is_said_so(shops, here, capsys, monkeypatch):
    """The file is written, but it is not what counts."""
    monkeypatch.setenv("DAYGATE_SEVERITIES", '{"funnel_order": "critical"}')

    assert call(["calibrate", *files(shops["cartless"])[:5], "--write"]) == 2
    assert "DAYGATE_SEVERITIES in the environment counts before it" in capsys.readouterr().err


def test_the_ledger_says_what_files_say(run_day, settings, shops):
    """`--days` measures the days that were run: blocked ones too, only those of the contract of today."""
    chosen = files(shops["cartless"])[:3]
    for number, file in enumerate(chosen):
        run_day(FIRST + timedelta(days=number), file=file)
    ours = settings.model_copy(update={"workers": 1})
    from_files = [
        Measured(
            day=FIRST + timedelta(days=number),
            checks=checking.check_file(
                ours, file, day=FIRST + timedelta(days=number), engine="auto", failed_rows=None, report_folder=None,
                progress=Silent(),
            ).report.checks,
        )
        for number, file in enumerate(chosen)
    ]  # fmt: skip
    from_ledger = app.judged_days(ours, 3660)

    assert [one.day for one in from_ledger] == [one.day for one in from_files]
    assert propose(from_ledger, ours) == propose(from_files, ours)


def test_the_ledger_is_measured_by_the_command_too(run_day, settings, shops, here, monkeypatch, capsys):
    """A week that was run proposes what its files would."""
    day = FIRST + timedelta(days=1)
    run_day(day, file=Path(files(shops["clean"])[1]))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", settings.database_url.get_secret_value())

    assert call(["calibrate", "--days", "3660"]) == 0
    assert "calibrate 1 day," in capsys.readouterr().out


def test_an_empty_ledger_is_an_error_with_the_next_command(settings, here, monkeypatch, capsys):
    """No days, no proposal."""
    monkeypatch.setenv("DAYGATE_DATABASE_URL", settings.database_url.get_secret_value())

    assert call(["calibrate", "--days", "30"]) == 2
    assert "no judged run of the last 30 days" in capsys.readouterr().err


def test_rules_shows_a_floor_of_a_rules_own(here, capsys):
    """What was written is seen where rules are read."""
    settings_file.write(here / "daygate.toml", CHANGES)

    assert call(["rules"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "funnel_order (sequence_check, warning): 45 % of lines must be good." in text
    assert "[/x-funnel-sequence/steps/1] (needs 40 %)" in text


@pytest.mark.long
def test_the_way_of_ones_own_files_can_be_typed_as_written(shops, here, capsys, request):
    """Every command of docs/your-own-files.md, on a week of landed files; the ledger knows no day yet."""
    request.addfinalizer(lambda: discard(here / "data"))
    shutil.copytree(shops["cartless"], here / "data" / "events")
    shutil.copy(files(shops["clean"])[0], here / "data" / "events" / "events_20260115.jsonl")
    page = (Path(__file__).parent.parent / "docs" / "your-own-files.md").read_text("utf-8")
    codes = {
        words: call(shlex.split(words, comments=True)) for words in re.findall(r"^\$ daygate (.*)$", page, re.MULTILINE)
    }

    assert [code for words, code in codes.items() if words.startswith("check")] == [1, 1]
    assert [code for words, code in codes.items() if words.startswith("calibrate")] == [0, 2, 0]
    assert "no judged run of the last 30 days" in capsys.readouterr().err
    assert all_settings.load().severity("funnel_order") == "warning"
