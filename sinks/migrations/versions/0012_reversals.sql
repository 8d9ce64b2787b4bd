-- Reversals: who took a cleared cashback back and why, how their cases stand, and approvals that wait for a second.

ALTER TABLE entries
    ADD COLUMN case_id      text COLLATE "C",
    ADD COLUMN actor        text,
    ADD COLUMN second_actor text,
    ADD COLUMN note         text,
    ADD CONSTRAINT reversed_by_somebody CHECK (transition <> 'reversed' OR (
        case_id IS NOT NULL AND actor IS NOT NULL AND reason IS NOT NULL AND note IS NOT NULL));

ALTER TABLE reversal_cases
    ADD COLUMN state        text NOT NULL DEFAULT 'OPEN',
    ADD COLUMN actor        text,
    ADD COLUMN second_actor text,
    ADD COLUMN note         text;

-- An open case of which nothing is too much any more leaves nothing to decide.
CREATE OR REPLACE VIEW reversal_cases_now AS
    SELECT DISTINCT ON (case_id)
           case_id, revision, opened_at, updated_at, cashback_id, transaction_id, transaction_ref, partner_id, member_id,
           merchant_id, program_id, program_version, sequence, livemode, amount, asset, shortfall, net_minor, cause,
           payload_hash, posted_at,
           CASE WHEN state = 'OPEN' AND shortfall = 0 THEN 'MADE_GOOD' ELSE state END AS state,
           actor, second_actor, note
    FROM reversal_cases ORDER BY case_id, revision DESC;

-- Where two must approve: what the first said, of one revision of a case. It counts for no other.
CREATE TABLE reversal_approvals (
    case_id     text COLLATE "C" NOT NULL,
    revision    integer NOT NULL,
    -- Folded, so that case and blanks around do not make two people of one.
    person      text NOT NULL,
    actor       text NOT NULL,
    reason      text NOT NULL,
    approved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (case_id, revision, person)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON reversal_approvals
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- What a reversal takes from a wallet depends on what is in it: nobody may spend of it meanwhile. In the order in
-- which balances are always locked. The caller's transaction holds the rows until it ends.
CREATE FUNCTION lock_balances(wanted bigint[]) RETURNS TABLE (account_id bigint, balance bigint)
    LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT account_id, balance FROM balances WHERE account_id = ANY (wanted) ORDER BY account_id FOR UPDATE
$$;
REVOKE EXECUTE ON FUNCTION lock_balances FROM PUBLIC;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT EXECUTE ON FUNCTION lock_balances TO cashback_writer;
        GRANT SELECT, INSERT ON reversal_approvals TO cashback_writer;
    END IF;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        GRANT SELECT ON reversal_approvals TO cashback_reader;
    END IF;
END $$;
