"""Settings: one frozen object, read once from `DAYGATE_…` variables and `daygate.toml`.

The environment wins over the file; unknown keys in either are errors, because a misspelt threshold
must not silently leave a gate open.
"""

from __future__ import annotations

import os
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from pipeline import failpoints, secret_files
from pipeline.check_ids import CHECK_IDS
from pipeline.errors import SettingsError
from pipeline.records import EngineChoice, Severity

PREFIX: Final = "DAYGATE_"
_WEB_FOLDER: Final = r"^https?://[A-Za-z0-9.-]+(?::[0-9]{1,5})?/(?:[A-Za-z0-9._~-]+/)*$"
#: A size as Java takes it.
_MEMORY: Final = r"^[1-9][0-9]*[mg]$"
#: Variables that stand for a flag of one command and are no settings.
FLAG_VARIABLES: Final = frozenset(
    PREFIX + name
    for name in (
        *("DATE", "START", "END", "DAYS", "FILE", "FORCE", "OUTPUT_FORMAT", "REPORT", "FAILED_ROWS"),
        *("EVENTS", "OUTPUT", "FAULT", "WRITE", "THRESHOLD", "SEVERITY", "EXPLAIN"),
        *("CHECK", "RULE", "LIMIT", "DRY_RUN", "REASON", "BY", "HTML", "OPEN", "RETRY", "DISMISS", "WAIT", "INPUT"),
    )
)
#: Variables that are not settings: where the file is.
_CONFIG_VARIABLE: Final = "DAYGATE_CONFIG"


class Settings(BaseSettings):
    """Everything a person can set. Rates are shares 0..1, times are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, hide_input_in_errors=True
    )

    home: Path = Field(Path("data"), description="Where events, runs, the site and the embedded PostgreSQL live.")
    database_url: SecretStr | None = Field(
        None, description="postgresql://… of a real server; the embedded PostgreSQL when not set."
    )
    database_password: SecretStr | None = Field(
        None, description="Password for DAYGATE_DATABASE_URL, when the URL holds none."
    )
    slack_webhook_url: SecretStr | None = Field(None, description="Incoming webhook for alerts; the log when not set.")
    slack_token: SecretStr | None = Field(
        None, description="Token of a Slack bot (chat:write) instead of a webhook; then bad days have threads."
    )
    slack_channel: str | None = Field(
        None, pattern=r"^[CGD#@A-Za-z0-9][^\s<>]{0,79}$", description="Where the bot writes: the id of a channel."
    )
    slack_api_url: str = Field(
        "https://slack.com/api/", pattern=_WEB_FOLDER, description="Slack's Web API; another one for GovSlack."
    )
    site_url: str | None = Field(
        None, pattern=_WEB_FOLDER, description="Where people reach the site, ending in /; alerts link to its pages."
    )
    lang: Literal["en", "ko"] = Field("en", description="Language of the site and of alerts.")
    source: Literal["simulate", "landing"] = Field(
        "simulate", description="Whether a day's file is generated or landed by a shop."
    )
    contract: Path | None = Field(None, description="JSON Schema of the events; the shipped one when not set.")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="Check id = lowest pass rate that passes (default 0.99 each)."
    )
    severities: dict[str, Severity] = Field(
        default_factory=dict, description="Check id = critical or warning (default critical each)."
    )
    rule_floor: float = Field(0.90, ge=0, le=1, description="A single rule below this pass rate fails its check.")
    rule_floor_lines: int = Field(5, ge=1, description="…from this many failing lines on.")
    rule_floors: dict[str, float] = Field(
        default_factory=dict, description="check/rule = floor of that single rule instead of rule_floor."
    )
    volume_severity: Severity = Field(
        "warning",
        description="Whether an unusual volume of events, users, orders or revenue blocks the day (critical).",
    )
    sample_lines: int = Field(20, ge=0, le=100, description="Failing lines shown per check.")
    expectations: Path | None = Field(
        None, description="A Great Expectations suite (JSON) of your own; its expectations count by their severity."
    )
    workers: int = Field(2, ge=1, le=64, description="Processes that parse a delivery.")
    users: int = Field(2000, ge=1, le=900_000, description="Simulated customers.")
    seed: int = Field(7, ge=0, description="Seed of the simulator.")
    web_host: str = Field("127.0.0.1", description="Address the site is served on.")
    web_port: int = Field(8080, ge=0, le=65_535, description="Port the site is served on; 0 takes a free one.")
    web_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names the site is reached under, besides localhost and web_host; comma-separated."
    )
    web_user: str | None = Field(None, description="Login of the site; needed beyond this machine.")
    web_password: SecretStr | None = Field(None, description="Password of the site; needed beyond this machine.")
    retry_seconds: float = Field(
        1.0, ge=0, le=600, description="Before a step that met a passing trouble is tried again; doubled each time."
    )
    start_day: date | None = Field(
        None,
        description="First day the service answers for; the first day of the ledger, else yesterday, when not set.",
    )
    run_at: time = Field(time(2), description="When yesterday is due (Asia/Seoul).")
    catch_up_days: int = Field(31, ge=1, le=3660, description="How far back the service catches up after a pause.")
    attempts_per_day: int = Field(
        5, ge=1, le=100, description="Attempts at a day before the service waits for the next run_at."
    )
    attempt_seconds: float = Field(
        60, ge=0, le=3600, description="Before the second attempt at a day; doubled each time, at most an hour."
    )
    run_deadline_seconds: int = Field(4 * 3600, ge=1, description="A run that takes longer is ended.")
    run_memory_bytes: int | None = Field(
        None, ge=1 << 28, description="Most memory of a run's process (RLIMIT_DATA); no limit when not set."
    )
    grace_seconds: float = Field(25, ge=0, le=3600, description="How long a run may take to stop when told to.")
    landing_marker: Literal["rename", "done"] = Field(
        "rename",
        description="When a landed file is complete: as soon as it has its name, or when FILE.done stands beside it.",
    )
    landing_deadline: time = Field(
        time(9), description="A file that has not landed by then, the day after (Asia/Seoul), is reported missing."
    )
    sla_time: time = Field(
        time(10), description="A day that is not published by then, the day after (Asia/Seoul), is reported late."
    )
    engine: EngineChoice = Field(
        "auto", description="What parses, checks and loads a delivery: pandas, spark, or auto: by its size."
    )
    spark_master: str = Field(
        "local[*]",
        pattern=r"^(?:local(?:\[(?:\*|[1-9][0-9]*)\])?|spark://\S+|sc://\S+)$",
        description="Where Spark runs: this machine (local[*], local[2]), a cluster (spark://…) or Connect (sc://…).",
    )
    spark_from_bytes: int = Field(
        2 << 30,
        ge=0,
        description="The engine auto takes Spark for deliveries from this size on (unpacked); smaller ones are done "
        "sooner without it.",
    )
    spark_driver_memory: str = Field(
        "2g", pattern=_MEMORY, description="Java heap of the driver; with local[…] all of Spark's work happens in it."
    )
    spark_executor_memory: str = Field("1g", pattern=_MEMORY, description="Java heap of an executor on a cluster.")
    spark_executor_cores: int | None = Field(
        None, ge=1, description="Cores of an executor on a cluster; all that its worker offers when not set."
    )
    spark_shuffle_partitions: int = Field(
        16, ge=1, description="Pieces a day is sorted in; about 100 MB each is right, small ones are put together."
    )
    spark_ui: bool = Field(
        True, description="Whether Spark's own pages are served while it runs, on this machine only."
    )
    site_keep_days: int | None = Field(
        None, ge=1, description="Days whose pages stay on the site; all when not set. The ledger keeps everything."
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("WARNING", description="What reaches the log.")

    @model_validator(mode="after")
    def _one_way_to_slack(self) -> Self:
        if (self.slack_token is None) != (self.slack_channel is None):
            raise ValueError("slack_token and slack_channel are given together or not at all")
        if self.slack_token is not None and self.slack_webhook_url is not None:
            raise ValueError("slack_webhook_url and slack_token are two ways to Slack; keep one")
        return self

    @field_validator("web_hosts", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @field_validator("thresholds", "severities")
    @classmethod
    def _known_checks(cls, value: dict[str, Any]) -> dict[str, Any]:
        for check in value:
            if check not in CHECK_IDS:
                raise ValueError(f"{check!r} is not a check (known: {', '.join(CHECK_IDS)})")
        return value

    @field_validator("rule_floors")
    @classmethod
    def _rules_of_known_checks(cls, value: dict[str, float]) -> dict[str, float]:
        for name in value:
            check, _, rule = name.partition("/")
            if check not in CHECK_IDS or not rule:
                raise ValueError(f"{name!r} is not a rule; write check/rule as daygate rules lists them")
        return value

    @field_validator("thresholds", "rule_floors")
    @classmethod
    def _shares(cls, value: dict[str, float]) -> dict[str, float]:
        for check, threshold in value.items():
            if not 0 <= threshold <= 1:
                raise ValueError(f"{check} must be a share between 0 and 1, e.g. 0.99")
        return value

    def threshold(self, check: str) -> float:
        """Lowest pass rate (share) at which the check passes."""
        return self.thresholds.get(check, 0.99)

    def severity(self, check: str) -> Severity:
        """Whether a failing check blocks the day or only reports."""
        return self.severities.get(check, "critical")

    def floors_of(self, check: str) -> dict[str, float]:
        """Rule id -> floor (share), for the rules of a check that have one of their own."""
        named = ((name.split("/", 1), floor) for name, floor in self.rule_floors.items())
        return {rule: floor for (owner, rule), floor in named if owner == check}

    @property
    def events_folder(self) -> Path:
        """Generated or landed deliveries."""
        return self.home / "events"

    @property
    def deliveries_folder(self) -> Path:
        """Private copies of what was run, named by sha256."""
        return self.home / "deliveries"

    @property
    def runs_folder(self) -> Path:
        """One work folder per run."""
        return self.home / "runs"

    @property
    def aggregates_folder(self) -> Path:
        """What `daygate spark-batch` writes."""
        return self.home / "aggregates"

    @property
    def site_folder(self) -> Path:
        """The published Data Docs site."""
        return self.home / "site"

    def event_file(self, day: date) -> Path:
        """Where the delivery of a day is generated or landed."""
        return self.events_folder / f"events_{day:%Y%m%d}.jsonl"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments first, then the environment, then the file."""
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file()))


#: Variables whose value may stand in a file instead, named by the variable with _FILE behind it.
SECRETS: Final = tuple(
    PREFIX + name.upper() for name, field in Settings.model_fields.items() if field.annotation == SecretStr | None
)


def config_file() -> Path:
    """Where the settings file is, or would be."""
    return Path(os.environ.get(_CONFIG_VARIABLE, "daygate.toml"))


def load(**overrides: Any) -> Settings:
    """Read the settings from arguments, the environment and `daygate.toml`.

    Raises:
        SettingsError: an unknown key or a value that does not fit; values are never repeated.
    """
    file = config_file()
    if _CONFIG_VARIABLE in os.environ and not file.is_file():
        raise SettingsError(f"{_CONFIG_VARIABLE} names {file}, which is not a file.")
    known = (
        {PREFIX + name.upper() for name in Settings.model_fields}
        | {secret + secret_files.SUFFIX for secret in SECRETS}
        | {_CONFIG_VARIABLE, failpoints.VARIABLE}
        | FLAG_VARIABLES
    )
    for name in os.environ:
        if name.startswith(PREFIX) and name.split("__")[0].upper() not in known:
            raise SettingsError(f"{name} is not a setting.", hint="The README lists all settings.")
    secrets = secret_files.read(SECRETS, os.environ)
    from_files = {variable.removeprefix(PREFIX).lower(): secret for variable, secret in secrets.items()}
    try:
        settings = Settings(**{**from_files, **overrides})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"Setting {place}: {first['msg']} (looked in: environment, {file}).", hint="The README lists all settings."
        ) from None
    except ValueError as error:
        raise SettingsError(f"{file}: {error}") from None
    url = secret_files.with_password(settings.database_url, settings.database_password)
    return settings.model_copy(update={"home": settings.home.absolute(), "database_url": url})
