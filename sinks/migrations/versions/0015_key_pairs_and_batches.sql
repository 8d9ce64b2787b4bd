-- Endpoints whose receivers verify with a public key, and endpoints that take several events a request.

ALTER TABLE webhook_endpoints
    -- Of the newest of `secrets`, if that is a key pair: receivers may ask for it again.
    ADD COLUMN public_key text,
    -- So many events a request at most, as {"events":[…]}; NULL: one, as it is.
    ADD COLUMN batch_max smallint CHECK (batch_max > 0);

-- The id of the request, where it is not that of its event.
ALTER TABLE webhook_attempts ADD COLUMN batch_id text COLLATE "C";

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        GRANT SELECT (public_key, batch_max) ON webhook_endpoints TO cashback_reader;
    END IF;
END $$;
