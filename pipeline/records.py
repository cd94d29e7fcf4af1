"""The frozen records that stages hand to each other; no behaviour beyond simple derived figures."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final, Literal

Severity = Literal["critical", "warning"]
Engine = Literal["pandas", "spark"]
#: What a person may ask for; auto decides by the size of the delivery.
EngineChoice = Literal["auto", "pandas", "spark"]
#: How a failed run failed; decides when the service tries its day again (marts/ddl/0003_a_failure.sql).
Failure = Literal["transient", "permanent", "interrupted", "died"]


class Verdict(StrEnum):
    """What the gate says of a day, and what one check says. Only PASS opens the gate."""

    PASS = "PASS"  # noqa: S105  # a verdict
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """A file as it came, known by its sha256."""

    #: Plain JSON Lines to read from: the file itself, or the decompressed private copy.
    path: Path
    #: The name it came under; hostile text.
    name: str
    #: Of the bytes as they came (before decompression).
    sha256: str
    #: Size of `path` in bytes.
    size: int
    #: Device, inode, size, mtime and ctime of `path` when it was hashed; None when nobody looked.
    identity: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Staged:
    """A delivery as typed columns: every non-blank line is exactly one row, in Parquet parts by line_no."""

    delivery: Delivery
    day: date
    parts: tuple[Path, ...]
    #: Rows over all parts; blank lines are not rows.
    lines: int
    blank_lines: int
    #: Lines with at least one key the contract does not declare.
    lines_with_unknown_keys: int
    #: Who staged it, and judges and loads it.
    engine: Engine = "pandas"


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleResult:
    """One condition inside a check, counted."""

    id: str
    field: str | None
    evaluated_rows: int
    failed_rows: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One failing line as shown to people. `event_id` is hostile text; `reason` is ours and holds no value."""

    line: int
    event_id: str | None
    rule: str
    field: str | None
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckResult:
    """What one of the seven checks found."""

    id: str
    type: str
    verdict: Verdict
    severity: Severity
    evaluated_rows: int
    failed_rows: int
    #: Share of good lines among the evaluated ones, 0..1; None when the check looked at no lines.
    pass_rate: float | None
    threshold: float
    rules: tuple[RuleResult, ...] = ()
    samples: tuple[Sample, ...] = ()
    #: Why it could not be judged; no values from events.
    error: str | None = None

    @property
    def worst_rule(self) -> RuleResult | None:
        """The rule with the most failing lines; None when no line failed."""
        worst = max(self.rules, key=lambda rule: rule.failed_rows, default=None)
        return worst if worst is not None and worst.failed_rows else None


#: The value of a `Commonality` that stands for every one the contract does not know.
OUTSIDE: Final = "(not in the contract)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Commonality:
    """A value that stands out among the failing lines of a check."""

    #: A field of the contract, or `hour` (0 to 23, Asia/Seoul).
    dimension: str
    #: A value the contract lists, a code of its shape, an hour; `OUTSIDE` for everything else.
    value: str
    #: Share, 0..1, of the failing lines that have the field; then of all lines that have it.
    failing_share: float
    overall_share: float
    #: Failing lines with the value.
    failing_lines: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """Since when a check fails, how it usually is, and what its failing lines have in common."""

    check_id: str
    #: Of the unbroken row of bad days that ends with this day; days without an answer do not break it.
    first_bad_day: date
    #: The last day before on which the check passed; None when there is none within a year.
    last_good_day: date | None
    #: Median over the last 28 passed days; None when there is none.
    usual_pass_rate: float | None
    #: None when the check looked at no lines.
    pass_rate: float | None
    #: The most telling first, one a dimension.
    commonalities: tuple[Commonality, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class VolumeFinding:
    """A figure of the day that left its usual band."""

    #: events, users, orders, revenue (won), or arrived (hours after the day's end).
    metric: str
    value: float
    low: float
    median: float
    high: float
    #: Passed days of the same weekday that the band is made of.
    days: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """What a reader of the day should know beside the verdict."""

    changes: tuple[Change, ...] = ()
    volume: tuple[VolumeFinding, ...] = ()
    #: The figures that were compared, by metric, as delivered; later days are compared with them.
    measured: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """The gate's whole answer about one staged delivery."""

    verdict: Verdict
    checks: tuple[CheckResult, ...]
    #: Lines the checks evaluated; equals `Staged.lines` or the verdict is INCONCLUSIVE.
    lines: int
    #: Lines with at least one reason from a critical check: they go to quarantine.
    failing_lines: int
    #: Parquet of all failing (line_no int64, check, rule, field, reason: text), no cap, sorted by line_no: one file,
    #: or a folder of several (`pipeline.failing` reads both).
    failing: Path
    #: Why the verdict is INCONCLUSIVE; no values from events.
    problems: tuple[str, ...] = ()
    #: What the suite holds beside the seven: guards, and expectations that a user added. Name, severity, verdict.
    added: tuple[CheckResult, ...] = ()
    #: Folder with the rendered Data Docs page (index.html and assets); None when rendering failed.
    page: Path | None = None
    findings: Findings = field(default_factory=Findings)
    #: Lines per hour of the day; empty for a check outside the ledger.
    hours: tuple[int, ...] = ()

    @property
    def good_lines(self) -> int:
        """Lines that a PASS would load."""
        return self.lines - self.failing_lines

    @property
    def told(self) -> tuple[CheckResult, ...]:
        """What people are told of: the seven, and whatever else did not pass."""
        return (*self.checks, *(one for one in self.added if one.verdict is not Verdict.PASS))

    @property
    def broken(self) -> tuple[CheckResult, ...]:
        """What did not pass."""
        return tuple(one for one in self.told if one.verdict is not Verdict.PASS)

    @property
    def critical_checks(self) -> frozenset[str]:
        """Ids of the checks whose failing lines are quarantined."""
        return frozenset(check.id for check in self.checks if check.severity == "critical")


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One attempt at a day, as claimed in the ledger."""

    run_id: str
    day: date
    attempt: int
    trigger: str
    #: Bumped at each claim; a publish under an older fence is refused.
    fence: int
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """A person's decision to publish the good lines of a day that the gate blocked with FAIL."""

    #: The blocked run that is overridden.
    run_id: str
    #: Who decided; a name as it was typed, and the login of the operating system.
    by: str
    #: Why; text as it was typed.
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """Something a person must hear of; rows of `alert_outbox`."""

    kind: Literal["gate_failed", "step_failed", "still_bad", "day_completed", "recovered", "day_released", "late"]
    day: date
    #: One message per key, however often it is written.
    dedupe_key: str
    #: JSON-ready facts the formatter turns into text; event values already masked.
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class DaySummary:
    """A run as the ledger tells it: what `run`, `status` and report.json show."""

    run_id: str
    day: date
    attempt: int
    trigger: str
    engine: Engine
    #: running, published, blocked or failed.
    status: str
    verdict: Verdict | None
    delivery_sha256: str | None
    lines: int
    loaded: int
    quarantined: int
    unique_users: int
    sessions: int
    purchases: int
    #: Won, exact, as text.
    revenue: str
    #: Seconds per step.
    timings: dict[str, float]
    started_at: datetime
    finished_at: datetime | None
    is_current: bool
    error: str | None = None
    #: Equal bytes under an equal contract need no second run.
    contract_sha256: str | None = None
    #: The name it came under (hostile text), and its size as plain JSON Lines.
    delivery_name: str | None = None
    delivery_bytes: int | None = None
    #: Set when a person published the good lines of a day that failed: who, why, and the blocked run.
    released_by: str | None = None
    release_reason: str | None = None
    released_run: str | None = None
    #: Set when the run failed.
    failure: Failure | None = None

    @property
    def outcome(self) -> str:
        """What became of the run in one word: its status, or released."""
        return self.status if self.released_by is None else "released"
