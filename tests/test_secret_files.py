"""Secrets come from files as well as from variables, and never out again."""

from __future__ import annotations

import psycopg2.extensions
import pytest

from pipeline import settings
from pipeline.errors import SettingsError

CANARY = "SECRET CANARY/%?&#'"


@pytest.fixture
def secret(tmp_path, monkeypatch):
    """Sets a variable to the name of a file that holds a text."""

    def secret(variable: str, text: str | bytes) -> None:
        file = tmp_path / variable
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        monkeypatch.setenv(variable, str(file))

    return secret


#: Two ways to Slack; a service has one of them.
WEBHOOK, BOT = "DAYGATE_SLACK_WEBHOOK_URL", "DAYGATE_SLACK_TOKEN"


@pytest.mark.parametrize("other_way", [WEBHOOK, BOT])
def test_every_secret_may_stand_in_a_file(secret, monkeypatch, other_way):
    """Which settings are secrets is read from their types."""
    assert len(settings.SECRETS) >= 4
    chosen = set(settings.SECRETS) - {other_way}
    if BOT in chosen:
        monkeypatch.setenv("DAYGATE_SLACK_CHANNEL", "C1")
    for variable in chosen:
        secret(f"{variable}_FILE", "postgresql://daygate_loader@db/daygate" if "URL" in variable else CANARY)
    read = settings.load()

    assert {WEBHOOK, BOT} < set(settings.SECRETS)
    assert all(getattr(read, variable.removeprefix(settings.PREFIX).lower()) is not None for variable in chosen)
    assert read.web_password.get_secret_value() == CANARY
    assert CANARY not in repr(read)
    assert "_FILE" not in "".join(settings.SECRETS)


def test_a_line_feed_at_the_end_is_no_part_of_a_secret(secret):
    """Editors put one there."""
    secret("DAYGATE_WEB_PASSWORD_FILE", f"{CANARY}\r\n")

    assert settings.load().web_password.get_secret_value() == CANARY


def test_an_empty_file_is_no_secret(secret):
    """A container mounts a file for every secret it might have."""
    secret("DAYGATE_SLACK_WEBHOOK_URL_FILE", "\n")

    assert settings.load().slack_webhook_url is None


@pytest.mark.parametrize(
    "url", ["postgresql://daygate_loader@db:5432/daygate", "postgresql://daygate_loader@db/daygate?sslmode=require"]
)
def test_the_databases_password_is_added_to_its_address(secret, monkeypatch, url):
    """The address is no secret and stays readable; any character may be in a password."""
    monkeypatch.setenv("DAYGATE_DATABASE_URL", url)
    secret("DAYGATE_DATABASE_PASSWORD_FILE", CANARY)
    known = psycopg2.extensions.parse_dsn(settings.load().database_url.get_secret_value())

    assert (known["user"], known["dbname"], known["password"]) == ("daygate_loader", "daygate", CANARY)
    assert known.get("sslmode") == ("require" if "sslmode" in url else None)


def test_a_password_without_a_database_is_told():
    """The embedded PostgreSQL makes its own."""
    with pytest.raises(SettingsError, match="DAYGATE_DATABASE_URL is not"):
        settings.load(database_password=CANARY)


@pytest.mark.parametrize(
    ("text", "said"), [(f"{CANARY}\nand more", "one line"), (CANARY * 1000, "one line"), (b"\xff" + b"CANARY", "UTF-8")]
)
def test_what_is_no_secret_is_refused_without_repeating_it(secret, text, said):
    """The wrong file may be a key or a dump."""
    secret("DAYGATE_WEB_PASSWORD_FILE", text)
    with pytest.raises(SettingsError, match=said) as caught:
        settings.load()

    assert "CANARY" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """Which variable, which file and why; a folder is what an orchestrator makes of a missing file."""
    for place, why in ((tmp_path / "none", "No such file"), (tmp_path, "Is a directory")):
        monkeypatch.setenv("DAYGATE_WEB_PASSWORD_FILE", str(place))
        with pytest.raises(SettingsError, match=f"DAYGATE_WEB_PASSWORD_FILE names {place}, .*{why}"):
            settings.load()


def test_a_secret_given_twice_is_refused(secret, monkeypatch):
    """Nobody could say which one counts."""
    secret("DAYGATE_WEB_PASSWORD_FILE", CANARY)
    monkeypatch.setenv("DAYGATE_WEB_PASSWORD", "another")
    with pytest.raises(SettingsError, match="Both DAYGATE_WEB_PASSWORD and DAYGATE_WEB_PASSWORD_FILE"):
        settings.load()
