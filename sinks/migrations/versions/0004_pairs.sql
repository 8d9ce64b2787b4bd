-- A transfer's pair of accounts, checked once a statement as its entry is: each distinct pair once, not each row.
-- Pairs are append-only, so nothing has to be watched from their side.

ALTER TABLE transfers DROP CONSTRAINT transfers_debit_account_credit_account_asset_fkey;

CREATE FUNCTION has_pair() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
    SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
BEGIN
    IF EXISTS (SELECT FROM (SELECT DISTINCT debit_account, credit_account, asset FROM added) AS pair
        WHERE NOT EXISTS (SELECT FROM account_pairs WHERE account_pairs.debit_account = pair.debit_account
            AND account_pairs.credit_account = pair.credit_account AND account_pairs.asset = pair.asset)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'a transfer names a pair of accounts that was not opened';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER has_pair AFTER INSERT ON transfers
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION has_pair();
