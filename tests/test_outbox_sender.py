"""The outbox's sender against a real server that answers well, badly, slowly or not at all."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from datetime import date, time, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from slack_server import CANARY
from staged_days import ask

from pipeline import alerts, database, lateness, outbox, outbox_sender
from pipeline.records import Verdict
from pipeline.settings import Settings
from scheduler.boundary import call
from scheduler.service import Service

pytest_plugins = ["slack_fixtures"]

DAY = date(2026, 1, 15)
ROOT = Path(__file__).parent.parent
ROWS = "SELECT outcome, attempts, last_error FROM alert_outbox ORDER BY id"
WAIT = "extract(epoch FROM next_try_at - now())::float8"
#: Only the limit that is tried is short: a busy machine must not meet the other one first.
LIMITS = {"hang": {"timeout": 0.4, "deadline": 60}, "drip": {"timeout": 60, "deadline": 2}}


@pytest.fixture
def raised(database_url):
    """Keeps an alert of a run of its own; by default a day's gate failed."""

    def keep(day=DAY, kind="gate_failed", **changes):
        with closing(database.connect(database_url, name="test")) as connection:
            with connection, connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO pipeline_run_log (run_id, day, attempt, trigger, engine, fence, status, lease_until,"
                    " finished_at) SELECT 'r-' || n, %s, n, 'cli', 'pandas', n, 'failed', now(), now()"
                    " FROM nextval('run_fence') AS n RETURNING run_id",
                    (day,),
                )
                (run_id,) = cursor.fetchone()
            alert = _alert(kind, day, run_id, **changes)
            outbox.keep(connection, [alert])
        return alert

    return keep


def _alert(kind, day, run_id, **changes):
    if kind == "gate_failed":
        usual = {"verdict": Verdict.FAIL, "checks": (), "lines": 10}
        return alerts.gate_failed(day=day, run_id=run_id, **usual | changes)
    if kind == "step_failed":
        return alerts.step_failed(day=day, run_id=run_id, step="load", attempt=1, error="It broke.")
    facts = {"events": 1, "users": 1, "purchases": 1, "revenue": "1", "quarantined": 0, "rates": [], "warnings": []}
    done = alerts.Alert(
        kind="day_completed", day=day, dedupe_key=f"day_completed:{run_id}", facts={"run_id": run_id, **facts}
    )
    return alerts.recovered(done, since=day) if kind == "recovered" else done


@pytest.fixture
def webhook(settings, slack):
    """Settings with a webhook that answers by script."""
    return settings.model_copy(update={"slack_webhook_url": SecretStr(f"{slack.address}/services/{CANARY}/script")})


@pytest.fixture
def bot(settings, slack):
    """Settings with a bot on the same server."""
    token = SecretStr(f"xoxb-{CANARY}")
    return settings.model_copy(
        update={"slack_token": token, "slack_channel": "C012345", "slack_api_url": f"{slack.address}/api/"}
    )


@pytest.fixture
def rows(database_url):
    """Outcome, attempts and last error of every alert."""
    return lambda: ask(database_url, ROWS)


@pytest.fixture
def send(database_url, webhook):
    """One call of the sender, after the waits of earlier ones are over."""

    def work_off(settings=webhook, *, at_once=True, answer=""):
        if at_once:
            change(database_url, "next_try_at = now()")
        outbox_sender.work_off(database_url, settings, **LIMITS.get(answer, {}))

    return work_off


def change(url, assignment, where="true"):
    """As if time had gone by."""
    with closing(database.connect(url, name="test")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"UPDATE alert_outbox SET {assignment} WHERE {where}")


# -- answers -------------------------------------------------------------------------------------


def test_alerts_are_sent_in_the_order_they_were_raised(raised, send, slack, rows):
    """Each once; a further call finds nothing to do."""
    days = [DAY + timedelta(days=n) for n in range(3)]
    for day in days:
        raised(day)
    send()
    send()

    assert [text.split(":")[0] for text in slack.texts] == [f"daygate {day}" for day in days]
    assert rows() == [("slack", 1, None)] * 3


def test_fault_32_retry_after_is_honoured_and_holds_up_the_others(raised, send, slack, rows, database_url):
    """429 with 30 seconds: no request before, then in order."""
    slack.script = ["429"]
    raised()
    raised(DAY + timedelta(days=1))
    send()
    send(at_once=False)
    ((wait,),) = ask(database_url, f"SELECT {WAIT} FROM alert_outbox WHERE attempts = 1")
    before = len(slack.got)
    send()

    assert before == 1
    assert 25 < wait <= 30
    assert rows() == [("slack", 2, "HTTP 429"), ("slack", 1, None)]


def test_fault_33_a_slack_that_is_down_is_tried_again_with_growing_waits(raised, send, slack, rows, database_url):
    """Five times 500, then 200: delivered once, the tries are in the books."""
    slack.script = ["500"] * 5
    raised()
    waits = []
    for _ in range(5):
        send()
        waits += ask(database_url, f"SELECT {WAIT} FROM alert_outbox")[0]
    send()

    assert rows() == [("slack", 6, "HTTP 500")]
    assert [round(later / earlier, 1) > 1.1 for earlier, later in pairwise(waits)] == [True] * 4
    assert 3 < waits[0] < 7


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("302", "HTTP 302"),
        ("503", "HTTP 503"),
        ("cut", "RemoteDisconnected"),
        ("hang", "TimeoutError"),
        ("drip", "no answer within 2 s"),
    ],
)
def test_fault_34_a_passing_trouble_puts_the_alert_off(raised, send, slack, rows, answer, error):
    """One request, no redirect followed, no end waited for; sent with the next call."""
    slack.script = [answer]
    raised()
    send(answer=answer)
    before = rows()
    send()

    assert before == [(None, 1, error)]
    assert rows() == [("slack", 2, error)]
    assert len(slack.got) == 2


@pytest.mark.parametrize(
    ("address", "error"),
    [
        (f"http://127.0.0.1:1/{CANARY}", "ConnectionRefusedError"),
        (f"https://{CANARY}.invalid/x", "gaierror"),
        ("https://127.0.0.1:{port}/" + CANARY, "SSLError"),
    ],
)
def test_an_address_that_does_not_answer_is_tried_again(raised, send, slack, rows, settings, address, error):
    """Nobody listens, the name is unknown, or it speaks no TLS."""
    raised()
    url = SecretStr(address.format(port=slack.server_port))
    send(settings.model_copy(update={"slack_webhook_url": url}))
    ((outcome, attempts, said),) = rows()

    assert (outcome, attempts) == (None, 1)
    assert said == error


def test_a_form_that_slack_refuses_is_sent_as_text(raised, send, slack, rows):
    """400 for the blocks: the bare words go out at once."""
    slack.script = ["400"]
    raised()
    send()

    assert ["blocks" in body for _, body in slack.got] == [True, False]
    assert slack.texts[0] == slack.texts[1]
    assert rows() == [("slack", 1, None)]


@pytest.mark.parametrize(
    ("answers", "error"),
    [(["404"], "HTTP 404"), (["410"], "HTTP 410"), (["403"], "HTTP 403"), (["400"] * 2, "HTTP 400")],
)
def test_what_no_repeating_cures_gives_the_alert_up_and_the_next_one_is_tried(
    raised, send, slack, rows, caplog, answers, error
):
    """Its text goes to the log; the others are not held up."""
    slack.script = answers
    raised()
    raised(DAY + timedelta(days=1))
    send()

    assert rows() == [("dead", 1, error), ("slack", 1, None)]
    assert [record.levelname for record in caplog.records if "given up" in record.getMessage()] == ["ERROR"]
    assert f"daygate {DAY}: FAIL" in caplog.text


@pytest.mark.parametrize("how", ["created_at = now() - interval '25 hours'", "attempts = 119"])
def test_a_trouble_without_end_gives_the_alert_up(raised, send, slack, rows, database_url, how):
    """After a day, or after so many tries; the next alert is tried on its own account."""
    slack.script = ["500", "500"]
    raised()
    change(database_url, how)
    send()

    ((outcome, _, error),) = rows()
    assert (outcome, error) == ("dead", "HTTP 500")


# -- dead letters --------------------------------------------------------------------------------


def test_given_up_alerts_are_listed_sent_again_or_dismissed(raised, send, slack, rows, database_url):
    """As if they had just been raised."""
    slack.script = ["404", "404"]
    raised()
    raised(DAY + timedelta(days=1))
    send()
    with closing(database.connect(database_url, name="test")) as connection:
        lost = outbox.given_up(connection)
        red = outbox.any_given_up(connection)
        revived = outbox.revive(connection)
        green = outbox.any_given_up(connection)
    slack.script = ["200", "404"]
    send()
    with closing(database.connect(database_url, name="test")) as connection:
        dismissed = outbox.dismiss(connection)

    assert [(one.kind, one.error, one.attempts) for one in lost] == [("gate_failed", "HTTP 404", 1)] * 2
    assert (red, revived, green, dismissed) == (True, 2, False, 1)
    assert [outcome for outcome, *_ in rows()] == ["slack", "log"]


# -- several senders, and death ------------------------------------------------------------------


def test_several_instances_send_each_alert_once(raised, send, slack, rows):
    """One sends at a time, and none is sent twice."""
    for n in range(8):
        raised(DAY + timedelta(days=n))
    threads = [threading.Thread(target=send, kwargs={"at_once": False}) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    send()

    assert [text.split(":")[0] for text in slack.texts] == [f"daygate {DAY + timedelta(days=n)}" for n in range(8)]
    assert rows() == [("slack", 1, None)] * 8


@pytest.mark.parametrize(("place", "messages"), [("alert.before", 1), ("alert.sent", 2)])
def test_a_sender_that_dies_leaves_the_alert_to_the_next(
    raised, send, slack, rows, webhook, database_url, place, messages
):
    """Killed before Slack had it: sent once. After, before it was written down: the same message twice, never none."""
    raised()
    script = (
        "import sys; from pipeline import outbox_sender; from pipeline.settings import load;"
        " outbox_sender.work_off(sys.argv[1], load())"
    )
    address = webhook.slack_webhook_url.get_secret_value()
    died = subprocess.run(
        [sys.executable, "-c", script, database_url], cwd=ROOT, check=False, capture_output=True, timeout=60,
        env={**os.environ, "DAYGATE_FAILPOINT": place, "DAYGATE_SLACK_WEBHOOK_URL": address},
    )  # fmt: skip
    after_death = rows()
    send()

    assert died.returncode == -signal.SIGKILL, died.stderr
    assert after_death == [(None, 0, None)]
    assert rows() == [("slack", 1, None)]
    assert len(slack.texts) == messages
    assert len(set(slack.texts)) == 1


# -- one story a day, and floods -----------------------------------------------------------------


def test_by_webhook_a_bad_day_is_told_once_a_day_until_it_recovers(raised, send, slack, rows, database_url):
    """More of the same today is merged; tomorrow it is still bad; once it recovered, a new trouble is news."""
    raised()
    send()
    raised(kind="step_failed")
    raised()
    send()
    change(database_url, "sent_at = sent_at - interval '1 day'")
    raised()
    send()
    raised(kind="recovered")
    raised()
    send()

    assert [text.split("\n")[0] for text in slack.texts] == [
        "daygate 2026-01-15: FAIL",
        "daygate 2026-01-15: FAIL (still bad)",
        "daygate 2026-01-15: recovered, published",
        "daygate 2026-01-15: FAIL",
    ]
    assert [outcome for outcome, *_ in rows()] == ["slack", "merged", "merged", "slack", "slack", "slack"]


def test_a_bot_keeps_a_bad_day_in_one_thread(raised, send, slack, bot):
    """What follows answers the first message; the recovery is shown in the channel too and ends the thread."""
    raised()
    raised(kind="step_failed")
    raised(DAY + timedelta(days=1))
    raised(kind="recovered")
    raised()
    send(bot)
    said = [(body.get("thread_ts"), body.get("reply_broadcast")) for _, body in slack.got]

    assert said == [(None, None), ("1700.0001", None), (None, None), ("1700.0001", True), (None, None)]
    assert {body["channel"] for _, body in slack.got} == {"C012345"}
    assert "(still bad)" in slack.texts[1]
    assert set(slack.tokens) == {f"Bearer xoxb-{CANARY}"}


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("invalid_auth", ("dead", "HTTP 200, invalid_auth")),
        ("channel_not_found", ("dead", "HTTP 200, channel_not_found")),
        ("ratelimited", (None, "HTTP 200")),
        ("<!channel>", (None, "HTTP 200")),
        ("429", (None, "HTTP 429")),
        ("500", (None, "HTTP 500")),
        ("302", (None, "HTTP 302")),
        ("cut", (None, "RemoteDisconnected")),
        ("hang", (None, "TimeoutError")),
        ("drip", (None, "no answer within 2 s")),
        ("invalid_blocks", ("slack", None)),
    ],
)
def test_a_bots_answers_are_understood_alike(raised, send, slack, rows, bot, answer, expected):
    """The words of chat.postMessage, and what its server may do."""
    slack.script = [answer]
    raised()
    send(bot, answer=answer)
    ((outcome, _, error),) = rows()

    assert (outcome, error) == expected


def test_a_flood_is_told_in_ten_messages(raised, send, slack, rows):
    """A hundred bad days: nine one by one, and one that names the rest; all are settled."""
    for n in range(100):
        raised(DAY + timedelta(days=n))
    send()
    raised(DAY + timedelta(days=200))
    send()

    assert len(slack.got) == outbox_sender.MOST_MESSAGES
    assert slack.texts[-1].startswith("daygate: 91 alerts in one message\n")
    assert "*Blocked* (91): 2026-01-24 – 2026-04-24" in slack.texts[-1]
    assert [outcome for outcome, *_ in rows()] == ["slack"] * 10 + ["summary"] * 90 + [None]


def test_the_rest_of_a_flood_is_sent_when_there_is_room_again(raised, send, slack, rows, database_url):
    """Ten minutes later the next one goes out."""
    for n in range(11):
        raised(DAY + timedelta(days=n))
    send()
    raised(DAY + timedelta(days=50))
    change(database_url, "sent_at = sent_at - interval '11 minutes'", "sent_at IS NOT NULL")
    send()

    assert slack.texts[-1].startswith("daygate 2026-03-06: FAIL\n")
    assert None not in [outcome for outcome, *_ in rows()]


def test_a_summary_that_is_not_taken_is_tried_again(raised, send, slack, rows):
    """Nothing of it is lost."""
    slack.script = ["200"] * 9 + ["500"]
    for n in range(15):
        raised(DAY + timedelta(days=n))
    send()
    before = [outcome for outcome, *_ in rows()]
    send()

    assert before == ["slack"] * 9 + [None] * 6
    assert [outcome for outcome, *_ in rows()] == ["slack"] * 10 + ["summary"] * 5


# -- without Slack, and the whole way ------------------------------------------------------------


def test_without_slack_the_log_says_it_in_the_language_of_the_settings(raised, send, rows, settings, caplog):
    """In order, each marked as told to the log."""
    raised()
    raised(kind="recovered")
    with caplog.at_level(logging.INFO):
        send(settings.model_copy(update={"lang": "ko"}))
    said = [record.getMessage() for record in caplog.records if record.name == "daygate.alerts"]

    assert [text.split("\n")[0] for text in said] == [
        "daygate 2026-01-15: 실패",
        "daygate 2026-01-15: 복구되어 공개 완료",
    ]
    assert [outcome for outcome, *_ in rows()] == ["log", "log"]


def test_a_day_is_decided_whatever_slack_does(run_day, delivery, slack, webhook, rows, digest):
    """A dead Slack changes neither verdict nor tables; the alerts wait, and tell the whole story later."""
    slack.script = ["500", "500"]
    address = webhook.slack_webhook_url
    bad = run_day(file=delivery(browser_unknown=0.3), slack_webhook_url=address, site_url="https://gate.example.com/")
    waiting = rows()
    good = run_day(slack_webhook_url=address)

    assert (bad.summary.status, good.summary.status) == ("blocked", "published")
    assert waiting == [(None, 1, "HTTP 500")]
    assert digest()["raw_events"][0] == good.summary.loaded
    assert [outcome for outcome, *_ in rows()] == [None, None]


def test_a_bad_day_and_its_recovery_are_told_with_what_is_known(run_day, delivery, slack, webhook, rows, settings):
    """From the gate to Slack: check, rate, what the lines have in common, the page; then that it is good again."""
    address = webhook.slack_webhook_url
    bad = run_day(file=delivery(browser_unknown=0.3), slack_webhook_url=address, site_url="https://gate.example.com/")
    run_day(slack_webhook_url=address)
    blocks = slack.got[0][1]["blocks"]

    assert [outcome for outcome, *_ in rows()] == ["slack", "slack"]
    assert "browser outside the contract (" in slack.texts[0]
    assert f"<https://gate.example.com/days/{DAY}/index.html|open the page>" in str(blocks)
    assert bad.summary.run_id in slack.texts[0]
    assert slack.texts[1].startswith("daygate 2026-01-15: recovered, published\nIt had been bad since ")
    stories = [file.read_text("utf-8") for file in settings.runs_folder.glob("*/*.json")]
    assert stories
    assert CANARY not in "".join(stories)


def test_the_address_is_nowhere_but_in_the_request(raised, send, slack, webhook, bot, database_url, caplog, settings):
    """Whatever goes wrong: not in the log, not in the database, not in what an object shows of itself."""
    with caplog.at_level(logging.DEBUG):
        for answer in ("200", "302", "404", "429", "500", "cut", "invalid_auth", "400", "400"):
            slack.script = [answer]
            raised(DAY)
            send(webhook)
            send(bot)
            change(database_url, "sent_at = coalesce(sent_at, now()), outcome = 'log', given_up_at = NULL")
    tables = ask(database_url, "SELECT (SELECT json_agg(o) FROM alert_outbox AS o)::text"
                 " || (SELECT json_agg(r) FROM pipeline_run_log AS r)::text")  # fmt: skip

    assert len(slack.got) > 9
    for shown in (caplog.text, str(tables), repr(webhook), repr(bot)):
        assert CANARY not in shown


def test_a_day_that_is_late_is_told_by_the_sender_too(send, slack, rows, database_url):
    """Alerts without a run."""
    with closing(database.connect(database_url, name="test")) as connection:
        outbox.keep(connection, [lateness.missing([DAY], by=time(9))] * 2)
    send()

    assert len(slack.texts) == 1
    assert rows() == [("slack", 1, None)]


@pytest.mark.parametrize(
    "given",
    [
        {"slack_token": "x"},
        {"slack_channel": "C1"},
        {"slack_token": "x", "slack_channel": "C1", "slack_webhook_url": "https://x/y"},
        {"slack_token": "x", "slack_channel": "<!channel>"},
        {"site_url": "https://a.example/<x>/"},
        {"site_url": "javascript:alert(1)/"},
        {"slack_api_url": "ftp://x/"},
    ],
)
def test_settings_that_name_no_way_to_slack_are_refused(given):
    """Half a bot, two ways at once, or an address that is none."""
    with pytest.raises(ValidationError):
        Settings(**given)


def test_the_command_lists_repeats_and_dismisses_what_was_given_up(raised, send, slack, webhook, monkeypatch, capsys):
    """Ends with 1 as long as there is something, and says what to do."""
    monkeypatch.setenv("DAYGATE_HOME", str(webhook.home))
    monkeypatch.setenv("DAYGATE_DATABASE_URL", webhook.database_url.get_secret_value())
    monkeypatch.setenv("DAYGATE_SLACK_WEBHOOK_URL", webhook.slack_webhook_url.get_secret_value())
    slack.script = ["404", "410", "404"]
    raised()
    raised(DAY + timedelta(days=1))
    send()
    codes = [call(["alerts"])]
    listed = capsys.readouterr().out
    codes += [
        call(["alerts", "--retry"]),
        call(["alerts", "--dismiss"]),
        call(["alerts"]),
        call(["alerts", "--retry", "--dismiss"]),
    ]

    assert codes == [1, 1, 0, 0, 2]
    assert "0 alerts wait, 2 were given up.\n2026-01-15  gate_failed  HTTP 404 (tries: 1)" in listed
    assert "daygate alerts --retry" in listed
    assert len(slack.got) == 4


def test_the_service_sends_what_waits_and_bears_a_database_that_is_away(raised, slack, webhook, rows, caplog):
    """Its job every few seconds, whoever wrote the alert; no database is no reason to stop."""
    raised()
    Service(webhook)._send_alerts()
    away = webhook.model_copy(update={"database_url": SecretStr(f"postgresql://u:{CANARY}@127.0.0.1:1/x")})
    with caplog.at_level(logging.DEBUG):
        Service(away)._send_alerts()

    assert rows() == [("slack", 1, None)]
    assert "Alerts wait in the outbox: PostgreSQL is not reachable." in caplog.text
    assert CANARY not in caplog.text
