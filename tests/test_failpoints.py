"""Every place where a process may die: the service goes on by itself, and nobody can tell afterwards."""

from __future__ import annotations

import signal

import pytest
from invariants import Poller, ask, assert_invariants, assert_no_secrets, digest
from services import PATIENCE, runs_on, wait_for

from pipeline import failpoints

DIRTY = {"line_truncated": 0.02, "total_mismatch": 0.3, "platform_changed": 0.05}
#: Some bad lines and still good enough.
TOLERABLE = {"browser_unknown": 0.003}
#: Nobody listens there.
WEBHOOK = "http://127.0.0.1:9/services/SECRETCANARY"
LANDING = {"DAYGATE_SOURCE": "landing", "DAYGATE_ATTEMPT_SECONDS": "0"}


@pytest.fixture
def rests(query, settings):
    """Whether so many days are decided, nothing runs and nothing is left to do."""

    def rests(count):
        decided = "SELECT count(DISTINCT day) FROM pipeline_run_log WHERE status IN ('published', 'blocked')"
        pages = len([*settings.site_folder.glob("runs/*/index.html")])
        return query(decided) == [(count,)] and pages >= count and not runs_on(settings.home)

    return rests


def is_clean(url, home) -> bool:
    """Whether every invariant holds; the service may need a moment to clean up."""
    try:
        assert_invariants(url, home, serving=True)
    except AssertionError:
        return False
    return True


def test_whatever_run_dies_wherever_the_service_ends_where_an_undisturbed_one_does(
    warm_serve, plan, land, last_days, settings, rests, database_url, undisturbed
):
    """One day a place, its run killed there once; then every day is as in a database where nothing happened."""
    days = last_days(len(failpoints.RUN))
    for day, place in zip(days, failpoints.RUN, strict=True):
        land(day, **(DIRTY if place.startswith("block.") else TOLERABLE))
        plan(day, failpoint=place)
    with Poller(database_url) as poller:
        served = warm_serve(DAYGATE_START_DAY=str(days[0]), DAYGATE_SLACK_WEBHOOK_URL=WEBHOOK, **LANDING)
        wait_for(lambda: rests(len(days)), 4 * PATIENCE)
        wait_for(lambda: is_clean(database_url, settings.home))
    killed = [told["day"] for told in served.events("run.ended") if told.get("signal") == "SIGKILL"]
    code = served.end()

    assert (code, killed) == (0, [str(day) for day in days])
    assert_invariants(database_url, settings.home)
    assert digest(database_url) == digest(undisturbed(days[0], days[-1]))
    assert_no_secrets(served.log.read_text(encoding="utf-8"), database_url, settings.home, "SECRETCANARY")
    assert len(poller.states) > len(days) / 2


def test_a_service_that_dies_around_a_run_goes_on_where_it_was(
    warm_serve, plan, land, last_days, settings, rests, database_url, undisturbed
):
    """Four lives end at the four places of the service, and some runs with them; the fifth has nothing left to do."""
    days = last_days(2)
    land(days[0], **TOLERABLE)
    land(days[1], **DIRTY)
    lives = {"run.due": None, "run.ended": "check.done", "run.closed": "load.done", "late.kept": None}
    assert tuple(lives) == failpoints.SERVICE
    with Poller(database_url):
        for place, also in lives.items():
            plan("service", failpoint=place)
            if also is not None:
                plan(days[0], failpoint=also)
            served = warm_serve(DAYGATE_START_DAY=str(days[0]), DAYGATE_SLA_TIME="00:00", **LANDING)
            assert served.process.wait(timeout=2 * PATIENCE) == -signal.SIGKILL, place
        served = warm_serve(DAYGATE_START_DAY=str(days[0]), DAYGATE_SLA_TIME="00:00", **LANDING)
        wait_for(lambda: rests(2), 2 * PATIENCE)
        wait_for(lambda: is_clean(database_url, settings.home))
        # The life before may have left nothing to wait for; all lives write one log.
        wait_for(lambda: len(served.events("service.started")) > len(lives))
    assert served.end() == 0

    assert_invariants(database_url, settings.home)
    assert digest(database_url) == digest(undisturbed(*days))
    told = ask(database_url, "SELECT kind, count(*) FROM alert_outbox GROUP BY kind")
    assert {kind: count for kind, count in told if kind in ("late", "step_failed")} == {"late": 1, "step_failed": 1}


def test_a_place_that_is_not_in_the_list_is_a_mistake():
    """So the list, which the tests above walk, has them all."""
    with pytest.raises(ValueError, match="no failpoint"):
        failpoints.failpoint("nowhere")
