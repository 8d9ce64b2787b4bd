-- Who may do what. The owner is whoever migrates; the others are roles without a login, taken by SET ROLE.
--   cashback_writer      the ledger and places sinks, vouchers, rates: SELECT and INSERT (since 0001)
--   cashback_dispatcher  the webhook dispatcher: queue and endpoints, the delivery log by INSERT only
--   cashback_reader      whoever looks: SELECT, but no secret

-- Roles are of the whole server and may be there already, or not be ours to make: then the owner does it all.
DO $$
DECLARE wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['cashback_dispatcher', 'cashback_reader'] LOOP
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE NOTICE 'role % was not made: ask the administrator for it', wanted;
        END;
    END LOOP;
END $$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_dispatcher') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO cashback_dispatcher', current_schema());
        GRANT SELECT, UPDATE ON webhook_endpoints TO cashback_dispatcher;
        GRANT SELECT, UPDATE, DELETE ON webhook_queue TO cashback_dispatcher;
        GRANT SELECT, INSERT ON webhook_attempts TO cashback_dispatcher;
        GRANT SELECT, INSERT, UPDATE, DELETE ON webhook_dispatchers TO cashback_dispatcher;
        GRANT SELECT ON webhook_messages TO cashback_dispatcher;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO cashback_reader', current_schema());
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO cashback_reader', current_schema());
        -- Tables and views of later migrations too; one that holds a secret must revoke it.
        EXECUTE format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO cashback_reader',
                       current_schema());
        REVOKE SELECT ON webhook_endpoints FROM cashback_reader;
        GRANT SELECT (endpoint_id, partner_id, livemode, url, event_types, created_at, failing_since, paused_until,
                      disabled_at, disabled_reason) ON webhook_endpoints TO cashback_reader;
    END IF;
END $$;
