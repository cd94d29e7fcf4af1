"""Settings that do not fit are refused before anything is done, in words that repeat no value."""

from __future__ import annotations

import pytest

from pipeline import settings
from pipeline.errors import SettingsError

SECRET = "SECRETCANARY"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DAYGATE_THRESHOLDS", '{"no_such_check": 0.9}', "'no_such_check' is not a check (known: required_fields"),
        ("DAYGATE_SEVERITIES", '{"no_such_check": "warning"}', "'no_such_check' is not a check"),
        ("DAYGATE_THRESHOLDS", '{"value_ranges": 99}', "value_ranges must be a share between 0 and 1"),
        ("DAYGATE_RULE_FLOORS", '{"value_ranges": 0.5}', "write check/rule as daygate rules lists them"),
        ("DAYGATE_RULE_FLOORS", '{"value_ranges/os": 2}', "value_ranges/os must be a share"),
        ("DAYGATE_ENGINE", "duckdb", "Setting engine:"),
        ("DAYGATE_WEB_PORT", SECRET, "Setting web_port:"),
        ("DAYGATE_ENGIN", "spark", "DAYGATE_ENGIN is not a setting."),
        ("DAYGATE_CONFIG", "nowhere.toml", "DAYGATE_CONFIG names nowhere.toml, which is not a file."),
    ],
)
def test_a_setting_that_does_not_fit_is_named(here, monkeypatch, variable, value, says):
    """Which one, and what would fit."""
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as refused:
        settings.load()

    assert says in refused.value.message
    assert SECRET not in refused.value.message


@pytest.mark.parametrize("text", ["engine = ", 'engine = "spark"\nengine = "auto"', "lang = 3", "nonsense = 1"])
def test_a_file_of_settings_that_cannot_be_read_is_named(here, text):
    """A broken file, a value of another type, a key that means nothing."""
    (here / "daygate.toml").write_text(text)
    with pytest.raises(SettingsError) as refused:
        settings.load()

    assert "daygate.toml" in refused.value.message
