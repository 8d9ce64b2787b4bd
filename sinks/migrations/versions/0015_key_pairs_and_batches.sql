-- Endpoints whose receivers verify with a public key, and endpoints that take several events a request.

ALTER TABLE webhook_endpoints
    -- Follows from the newest of `secrets`, which readers may not see: so that it can be shown again.
    ADD COLUMN public_key text,
    -- So many events a request at most, as {"events":[…]}; NULL: one, as it is.
    ADD COLUMN batch_max smallint CHECK (batch_max > 0);

-- Answers that may mean that a receiver cannot take what came: what is sent again comes in smaller batches.
ALTER TABLE webhook_queue ADD COLUMN refusals smallint NOT NULL DEFAULT 0;

-- The `webhook-id` of the request, if it carried a batch; NULL: that of the event.
ALTER TABLE webhook_attempts ADD COLUMN batch_id text COLLATE "C";

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        GRANT SELECT (public_key, batch_max) ON webhook_endpoints TO cashback_reader;
    END IF;
END $$;
