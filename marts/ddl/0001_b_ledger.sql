-- The ledger: one row per attempt at a day, and what hangs on it.

CREATE SEQUENCE daygate.run_fence;

CREATE TABLE daygate.pipeline_run_log (
    run_id           text PRIMARY KEY,
    day              date        NOT NULL,
    attempt          integer     NOT NULL CHECK (attempt > 0),
    trigger          text        NOT NULL,
    engine           text        NOT NULL,
    -- higher with every claim; a publish under an older fence is refused
    fence            bigint      NOT NULL UNIQUE,
    status           text        NOT NULL CHECK (status IN ('running', 'published', 'blocked', 'failed')),
    verdict          text        CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    is_current       boolean     NOT NULL DEFAULT false CHECK (NOT is_current OR (status = 'published' AND verdict = 'PASS')),
    lease_until      timestamptz NOT NULL,
    heartbeat_at     timestamptz NOT NULL DEFAULT now(),
    started_at       timestamptz NOT NULL DEFAULT now(),
    finished_at      timestamptz,
    -- when a later run of the day took its place; its events are dropped once no reader can need them
    superseded_at    timestamptz,
    delivery_name    text,
    delivery_sha256  text,
    delivery_bytes   bigint,
    contract_sha256  text,
    lines            bigint      NOT NULL DEFAULT 0,
    loaded           bigint      NOT NULL DEFAULT 0,
    quarantined      bigint      NOT NULL DEFAULT 0,
    unique_users     bigint      NOT NULL DEFAULT 0,
    sessions         bigint      NOT NULL DEFAULT 0,
    purchases        bigint      NOT NULL DEFAULT 0,
    -- won
    revenue          numeric     NOT NULL DEFAULT 0,
    -- seconds per step
    timings          jsonb       NOT NULL DEFAULT '{}',
    error            text,
    report           jsonb,
    CHECK ((status = 'running') = (finished_at IS NULL)),
    UNIQUE (day, fence)
);

CREATE UNIQUE INDEX pipeline_run_log_current ON daygate.pipeline_run_log (day) WHERE is_current;
CREATE UNIQUE INDEX pipeline_run_log_running ON daygate.pipeline_run_log (day) WHERE status = 'running';

CREATE TABLE daygate.quality_check_log (
    run_id         text    NOT NULL REFERENCES daygate.pipeline_run_log,
    check_id       text    NOT NULL,
    day            date    NOT NULL,
    check_type     text    NOT NULL,
    verdict        text    NOT NULL CHECK (verdict IN ('PASS', 'FAIL', 'INCONCLUSIVE')),
    severity       text    NOT NULL CHECK (severity IN ('critical', 'warning')),
    evaluated_rows bigint  NOT NULL,
    failed_rows    bigint  NOT NULL,
    -- share 0..1, NULL when the check looked at no lines
    pass_rate      double precision,
    threshold      double precision NOT NULL,
    worst_rule     text,
    -- rules with their counts, and why the check could not be judged
    detail         jsonb   NOT NULL,
    PRIMARY KEY (run_id, check_id)
);

CREATE INDEX quality_check_log_day ON daygate.quality_check_log (day, check_id);

CREATE TABLE daygate.quarantine_events (
    run_id      text   NOT NULL REFERENCES daygate.pipeline_run_log,
    line_no     bigint NOT NULL,
    day         date   NOT NULL,
    event_id    text,
    byte_offset bigint NOT NULL,
    byte_length bigint NOT NULL,
    -- the line's bytes exactly as they came; NULL above 16 MiB, then only in the archived delivery
    raw         bytea,
    -- [{"check", "rule", "field", "reason"}]
    reasons     jsonb  NOT NULL CHECK (jsonb_typeof(reasons) = 'array' AND jsonb_array_length(reasons) > 0),
    PRIMARY KEY (run_id, line_no)
);

CREATE TABLE daygate.alert_outbox (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dedupe_key  text        NOT NULL UNIQUE,
    kind        text        NOT NULL,
    day         date        NOT NULL,
    run_id      text        REFERENCES daygate.pipeline_run_log,
    facts       jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    attempts    integer     NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    sent_at     timestamptz
);

CREATE INDEX alert_outbox_due ON daygate.alert_outbox (next_try_at) WHERE sent_at IS NULL;

-- What everybody reads: the events of each day's current run.
CREATE VIEW daygate.raw_events AS
SELECT e.day, e.event_id, e.event_type, e.user_id, e.session_id, e."timestamp", e.platform, e.device_type, e.os,
       e.browser, e.page_url, e.page_type, e.referrer, e.element_id, e.element_type, e."position", e.product_id,
       e.category_id, e.quantity, e.unit_price, e.order_id, e.total_amount, e.payment_method, e.extra_data,
       e.search_query, e.result_count, e.line_no, e.flags, r.run_id, r.finished_at AS loaded_at
FROM daygate.event_versions AS e
JOIN daygate.pipeline_run_log AS r ON r.day = e.day AND r.fence = e.fence
WHERE r.is_current;
