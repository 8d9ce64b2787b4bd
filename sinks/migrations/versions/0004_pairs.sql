-- A transfer's pair of accounts, checked once a statement as its entry is: each distinct pair once, not each row.
-- Pairs are append-only, so nothing has to be watched from their side.

ALTER TABLE transfers DROP CONSTRAINT transfers_debit_account_credit_account_asset_fkey;

CREATE OR REPLACE FUNCTION has_parent() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
    SET enable_nestloop = on SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $$
DECLARE orphans boolean;
BEGIN
    CASE TG_TABLE_NAME
    WHEN 'cashbacks' THEN
        orphans := EXISTS (SELECT FROM added WHERE NOT EXISTS (
            SELECT FROM purchases WHERE purchases.purchase_no = added.purchase_no));
    WHEN 'entries' THEN
        orphans := EXISTS (SELECT FROM added WHERE NOT EXISTS (
            SELECT FROM cashbacks WHERE cashbacks.cashback_no = added.cashback_no));
    WHEN 'transfers' THEN
        orphans := EXISTS (SELECT FROM added WHERE NOT EXISTS (
                SELECT FROM entries WHERE entries.entry_id = added.entry_id))
            OR EXISTS (SELECT FROM (SELECT DISTINCT debit_account, credit_account, asset FROM added) AS pair
                WHERE NOT EXISTS (SELECT FROM account_pairs WHERE account_pairs.debit_account = pair.debit_account
                    AND account_pairs.credit_account = pair.credit_account AND account_pairs.asset = pair.asset));
    END CASE;
    IF orphans THEN
        RAISE foreign_key_violation USING MESSAGE = format('a row of %s names a parent that does not exist', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;
