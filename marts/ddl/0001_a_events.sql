-- Events are kept in versions: each run loads its day into a partition of its own, and the ledger says which
-- run of a day is the current one. A reader's snapshot therefore shows the old day or the new day, in this
-- table and in the marts alike. (Attaching and dropping partitions alone would not: a snapshot does not cover DDL.)
--
-- Column types follow schemas/event_schema.json: string -> text, integer -> bigint, number -> numeric,
-- date-time -> timestamptz, the order's details -> jsonb. Vocabulary is the gate's business, not the table's.

CREATE TABLE daygate.event_versions (
    day            date   NOT NULL,
    -- pipeline_run_log.fence of the run that loaded the version
    fence          bigint NOT NULL,
    line_no        bigint NOT NULL,
    event_id       text COLLATE "C" NOT NULL,
    event_type     text,
    user_id        text,
    session_id     text,
    "timestamp"    timestamptz,
    platform       text,
    device_type    text,
    os             text,
    browser        text,
    page_url       text,
    page_type      text,
    referrer       text,
    element_id     text,
    element_type   text,
    "position"     bigint,
    product_id     text,
    category_id    text,
    quantity       bigint,
    unit_price     numeric,
    order_id       text,
    total_amount   numeric,
    payment_method text,
    extra_data     jsonb,
    search_query   text,
    result_count   bigint,
    -- checks of severity warning that the line failed; NULL when none
    flags          text[]
) PARTITION BY RANGE (day, fence);

COMMENT ON TABLE daygate.event_versions IS
    'Every loaded version of every day, one partition per run (primary key there: event_id). Read raw_events.';
