-- Endpoints with a rate and secrets that end; deliveries that somebody asked for again; looking into the log.

ALTER TABLE webhook_endpoints
    ADD COLUMN per_second_max integer CHECK (per_second_max > 0),
    -- The second secret signs until then.
    ADD COLUMN old_secret_until timestamptz;
UPDATE webhook_endpoints SET old_secret_until = now() + interval '24 hours' WHERE cardinality(secrets) = 2;
ALTER TABLE webhook_endpoints
    ADD CHECK ((cardinality(secrets) = 2) = (old_secret_until IS NOT NULL));

-- The act in the audit log that asked for it again.
ALTER TABLE webhook_queue ADD COLUMN replay bigint;
ALTER TABLE webhook_attempts ADD COLUMN replay bigint;

-- Small, and next to nothing to keep: a filter of ids for each range of pages, and the times of one.
CREATE INDEX entries_by_event ON entries
    USING brin (event_id text_bloom_ops (n_distinct_per_range = 4000)) WITH (autosummarize = on);
CREATE INDEX webhook_attempts_by_time ON webhook_attempts USING brin (started_at) WITH (autosummarize = on);
-- Few rows, if all is well.
CREATE INDEX webhook_attempts_failed ON webhook_attempts (endpoint_id, started_at)
    WHERE outcome IN ('failed', 'gave_up');

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        GRANT SELECT (per_second_max, old_secret_until) ON webhook_endpoints TO cashback_reader;
    END IF;
END $$;
