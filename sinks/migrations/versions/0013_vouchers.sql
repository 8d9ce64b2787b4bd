-- Vouchers: what members spend their wallets on. Their entries stand beside those of cashbacks and move money by the
-- same transfers, under the same triggers.

CREATE TABLE vouchers (
    voucher_no  bigint PRIMARY KEY,  -- the entry that issued it
    voucher_id  text COLLATE "C" NOT NULL UNIQUE,
    livemode    boolean NOT NULL,
    partner_id  text COLLATE "C" NOT NULL,
    member_id   text COLLATE "C" NOT NULL,
    -- What the wallet gave for it, as the caller said.
    asset       text COLLATE "C" NOT NULL,
    price       bigint NOT NULL CHECK (price >= 0),
    -- What it is worth where it is spent. No transfer: that is between the member and the shop.
    amount      bigint NOT NULL CHECK (amount > 0),
    currency    text COLLATE "C" NOT NULL CHECK (currency IN ('EUR', 'USD', 'GBP', 'CAD', 'XXX')),
    request_key text COLLATE "C" NOT NULL,
    wallet_account bigint NOT NULL,
    issued_account bigint NOT NULL,
    FOREIGN KEY (wallet_account, issued_account, asset) REFERENCES account_pairs,
    UNIQUE (partner_id, request_key, livemode)
);
CREATE INDEX vouchers_of_member ON vouchers (wallet_account);

CREATE TYPE voucher_transition AS ENUM ('issued', 'voided');
-- Numbered with the entries of cashbacks, so that a transfer belongs to one of either.
CREATE TABLE voucher_entries (
    entry_id   bigint PRIMARY KEY DEFAULT nextval('entry_ids'),
    voucher_no bigint NOT NULL REFERENCES vouchers,
    transition voucher_transition NOT NULL,
    event_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    posted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor      text NOT NULL CHECK (actor <> ''),
    reason     text NOT NULL CHECK (reason <> ''),
    UNIQUE (voucher_no, transition)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vouchers
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON voucher_entries
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- As before, but a transfer may belong to a voucher's entry. The second look is for those without a cashback's.
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
            SELECT FROM entries WHERE entries.entry_id = added.entry_id));
        IF orphans THEN
            orphans := EXISTS (SELECT FROM added WHERE NOT EXISTS (
                SELECT FROM entries WHERE entries.entry_id = added.entry_id
            ) AND NOT EXISTS (SELECT FROM voucher_entries WHERE voucher_entries.entry_id = added.entry_id));
        END IF;
    END CASE;
    IF orphans THEN
        RAISE foreign_key_violation USING MESSAGE = format('a row of %s names a parent that does not exist', TG_TABLE_NAME);
    END IF;
    RETURN NULL;
END $$;

CREATE VIEW all_entries AS
    SELECT entry_id FROM entries UNION ALL SELECT entry_id FROM voucher_entries;

CREATE OR REPLACE VIEW account_proofs AS
    SELECT accounts.account_id, accounts.kind, accounts.livemode, accounts.partner_id, accounts.merchant_id,
           accounts.member_id, accounts.asset,
           balances.balance AS kept,
           coalesce(proved.amount, 0) AS proved
    FROM accounts
    LEFT JOIN balances USING (account_id)
    LEFT JOIN (
        SELECT account_id, sum(amount) AS amount FROM (
            SELECT debit_account AS account_id, -amount AS amount FROM transfers JOIN all_entries USING (entry_id)
            UNION ALL SELECT credit_account, amount FROM transfers JOIN all_entries USING (entry_id)
        ) AS side GROUP BY account_id
    ) AS proved USING (account_id);

-- One row an entry of a voucher: what left the wallet (back into it: below 0), on which day (UTC). `unproved` must be
-- 0: what its transfers differ from the price, and all that they moved between other accounts.
CREATE VIEW voucher_movements AS
    SELECT voucher_entries.entry_id, vouchers.voucher_no, vouchers.voucher_id, voucher_entries.transition,
           voucher_entries.event_at, voucher_entries.posted_at, vouchers.livemode, vouchers.partner_id,
           vouchers.member_id, vouchers.asset, vouchers.wallet_account,
           (voucher_entries.event_at AT TIME ZONE 'UTC')::date AS day,
           CASE voucher_entries.transition WHEN 'issued' THEN moved.due ELSE -moved.due END AS amount,
           abs(vouchers.price - moved.due) + moved.strayed AS unproved
    FROM voucher_entries JOIN vouchers USING (voucher_no)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount) FILTER (WHERE is_due), 0)::bigint AS due,
               coalesce(sum(amount) FILTER (WHERE NOT is_due), 0)::bigint AS strayed
        FROM (
            SELECT transfers.amount, transfers.asset = vouchers.asset AND (debit_account, credit_account)
                = CASE voucher_entries.transition
                      WHEN 'issued' THEN ROW (wallet_account, issued_account)
                      ELSE ROW (issued_account, wallet_account) END AS is_due
            FROM transfers WHERE transfers.entry_id = voucher_entries.entry_id
        ) AS leg
    ) AS moved;

DO $$
DECLARE reader text;
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT, INSERT ON vouchers, voucher_entries TO cashback_writer;
    END IF;
    FOR reader IN SELECT rolname FROM pg_roles WHERE rolname IN ('cashback_writer', 'cashback_reader') LOOP
        EXECUTE format('GRANT SELECT ON vouchers, voucher_entries, all_entries, voucher_movements TO %I', reader);
    END LOOP;
END $$;
