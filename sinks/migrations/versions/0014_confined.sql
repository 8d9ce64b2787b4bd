-- Functions that run with their owner's rights look into our schema and nowhere else. Without pg_temp at the end of
-- its path a function finds the caller's temporary tables first: a writer's own "balances" would take the movements
-- of a wallet, its own "audit_head" would fork the chain.
DO $$
DECLARE of_owner text;
BEGIN
    FOREACH of_owner IN ARRAY ARRAY['open_balances', 'has_parent', 'has_pair', 'move_balances', 'chain_audit',
                                    'lock_balances'] LOOP
        EXECUTE format('ALTER FUNCTION %I SET search_path = %I, pg_temp', of_owner, current_schema());
    END LOOP;
END $$;

-- Where webhooks go, and with which secrets, is neither the dispatcher's to change nor the writer's to know. The writer
-- looks whether numbers of accounts go on where the accounts end.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_dispatcher') THEN
        REVOKE UPDATE ON webhook_endpoints FROM cashback_dispatcher;
        GRANT UPDATE (failing_since, paused_until, disabled_at, disabled_reason) ON webhook_endpoints
            TO cashback_dispatcher;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        REVOKE SELECT ON webhook_endpoints FROM cashback_writer;
        GRANT SELECT (endpoint_id, partner_id, livemode, event_types, disabled_at) ON webhook_endpoints
            TO cashback_writer;
        EXECUTE format('GRANT SELECT ON SEQUENCE %s TO cashback_writer',
                       pg_get_serial_sequence('accounts', 'account_id'));
    END IF;
END $$;
