-- The outbox keeps books: what became of each alert, and what its sender needs to go on (docs/alerts.md).

ALTER TABLE daygate.alert_outbox
    -- slack: Slack took it. log: there is no Slack, its text went to the log. summary: one message told it among others.
    -- merged: the day's last message says as much. before: sent before there were books. dead: given up.
    -- NULL while it waits.
    ADD COLUMN outcome     text CHECK (outcome IN ('slack', 'log', 'summary', 'merged', 'before', 'dead')),
    ADD COLUMN given_up_at timestamptz,
    -- how the last try ended: a status or the type of an error, never an address
    ADD COLUMN last_error  text,
    -- what Slack calls the message; later ones about the same bad day answer to it
    ADD COLUMN slack_ts    text,
    ADD CONSTRAINT alert_outbox_given_up CHECK ((given_up_at IS NOT NULL) = (outcome IS NOT DISTINCT FROM 'dead'));

UPDATE daygate.alert_outbox SET sent_at = created_at, outcome = 'before' WHERE sent_at IS NULL;

DROP INDEX daygate.alert_outbox_due;
CREATE INDEX alert_outbox_waiting ON daygate.alert_outbox (id) WHERE sent_at IS NULL;
CREATE INDEX alert_outbox_day ON daygate.alert_outbox (day, id);
CREATE INDEX alert_outbox_sent ON daygate.alert_outbox (sent_at) WHERE outcome = 'slack';
