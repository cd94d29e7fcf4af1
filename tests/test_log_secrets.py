"""What the service logs holds neither a secret nor a value from an event, whatever goes wrong."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import psycopg2.extensions
import pytest

from pipeline.settings import PREFIX
from pipeline.zone import ZONE

ROOT = Path(__file__).parent.parent
PATIENCE = 90
CANARIES = {"web": "WEBCANARY", "slack": "SLACKCANARY", "event": "EVENTCANARY"}


@pytest.fixture
def secrets(tmp_path, settings):
    """A file for each secret, as a container has them, and the variables that name them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nowhere = f"http://127.0.0.1:{taken.getsockname()[1]}/services/{CANARIES['slack']}"
    known = psycopg2.extensions.parse_dsn(settings.database_url.get_secret_value())
    texts = {
        "DATABASE_PASSWORD": known["password"],
        "WEB_PASSWORD": CANARIES["web"],
        "SLACK_WEBHOOK_URL": nowhere,
    }
    variables = {
        "DAYGATE_DATABASE_URL": f"postgresql://{known['user']}@{known['host']}:{known['port']}/{known['dbname']}",
        "DAYGATE_WEB_USER": "reader",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        variables[f"DAYGATE_{name}_FILE"] = str(tmp_path / name)
    return {**variables, "password": known["password"]}


@pytest.fixture
def hostile(session, lines):
    """Yesterday, with a visit whose every text is a canary, and lines that are no events."""
    canary = CANARIES["event"]
    start = f"{datetime.now(ZONE).date() - timedelta(days=1)}T10:00:00"
    good = [event for number in range(1, 40) for event in session(number, start=start).visit().events]
    bad = [
        {
            name: f"{canary}{name}" if isinstance(value, str) and name != "event_type" else value
            for name, value in line.items()
        }
        for line in session(99).visit().events
    ]
    return lines(*good, *bad, f'"{canary}"', f"{{{canary}", json.dumps({canary: canary, "user_id": f"\x1b[2J{canary}"}))


def test_neither_secrets_nor_values_reach_the_log(secrets, settings, hostile, tmp_path):
    """At its most talkative, with a blocked day and a Slack that is gone: no webhook, no password, no customer."""
    password = secrets.pop("password")
    landed = settings.event_file(datetime.now(ZONE).date() - timedelta(days=1))
    landed.parent.mkdir(parents=True)
    landed.write_bytes(hostile)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    own = {
        "PYTHONPATH": str(ROOT), "DAYGATE_HOME": str(settings.home), "DAYGATE_SOURCE": "landing",
        "DAYGATE_RUN_AT": "00:00", "DAYGATE_WEB_PORT": "0", "DAYGATE_LOG_LEVEL": "DEBUG",
    }  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "scheduler", "serve"], cwd=tmp_path, env={**kept, **own, **secrets},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    patience = threading.Timer(PATIENCE, process.kill)
    patience.start()
    told = []
    for line in process.stdout:
        told.append(line)
        if json.loads(line)["event"] == "run.ended":
            process.terminate()
    patience.cancel()

    assert process.wait() == 0
    assert [json.loads(line)["verdict"] for line in told if '"run.told"' in line] == ["FAIL"]
    for canary in (password, *CANARIES.values()):
        assert not [line for line in told if canary in line]
