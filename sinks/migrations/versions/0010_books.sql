-- The books as accountants read them: movements by day, statements, the credit log.

-- When the row was written, not when its transaction began: once all transactions that write now have ended, nothing
-- is posted before now any more. Statements rely on it.
ALTER TABLE entries ALTER COLUMN posted_at SET DEFAULT clock_timestamp();

-- Ranges of pages and what lies in them: next to nothing to write, and a day, or one receipt, is found at once.
CREATE INDEX entries_by_time ON entries USING brin (event_at, posted_at) WITH (pages_per_range = 32);
CREATE INDEX entries_by_origin ON entries USING brin (
    employee_id text_bloom_ops, receipt_id text_bloom_ops, webhook_id text_bloom_ops
) WITH (pages_per_range = 32);
-- Few keys with many rows each, kept in few bytes: the cashbacks of a member, and of a merchant with a partner.
CREATE INDEX cashbacks_of_member ON cashbacks (pending_account);
CREATE INDEX cashbacks_of_merchant ON cashbacks (funding_account);

-- One row an entry of a cashback, with what its transfers moved. day is that of the merchant.
CREATE VIEW cashback_movements AS
    SELECT entries.entry_id, entries.cashback_no, entries.event_id, entries.transition, entries.event_at,
           entries.posted_at, owner.livemode, owner.partner_id, owner.merchant_id, cashbacks.asset,
           (entries.event_at AT TIME ZONE coalesce(merchants.timezone, 'UTC'))::date AS day,
           coalesce(moved.reward, 0) AS reward, coalesce(moved.commission, 0) AS commission
    FROM entries
    JOIN cashbacks USING (cashback_no)
    JOIN accounts AS owner ON owner.account_id = cashbacks.funding_account
    LEFT JOIN merchants ON merchants.merchant_id = owner.merchant_id
    CROSS JOIN LATERAL (
        SELECT sum(transfers.amount) FILTER (WHERE NOT side.is_commission) AS reward,
               sum(transfers.amount) FILTER (WHERE side.is_commission) AS commission
        FROM transfers CROSS JOIN LATERAL (
            SELECT commission_pending_account IN (debit_account, credit_account)
                OR commission_revenue_account IN (debit_account, credit_account) AS is_commission
        ) AS side
        WHERE transfers.entry_id = entries.entry_id
    ) AS moved;

-- What each merchant and each publisher (partner) was told of a day, one row an asset; never changed. A later
-- revision stands beside the earlier ones and says in `changed` which figures differ: {"created": [old, new]}.
-- The day is that of the merchant, on both sides, so that both add up to the same; that of a voucher is UTC.
-- earned: what cleared and is the members', less reversals, and for publishers less vouchers.
CREATE TABLE statements (
    statement_id  text COLLATE "C" PRIMARY KEY,
    side          text NOT NULL CHECK (side IN ('merchant', 'publisher')),
    party_id      text COLLATE "C" NOT NULL,
    livemode      boolean NOT NULL,
    asset         text COLLATE "C" NOT NULL,
    day           date NOT NULL,
    revision      integer NOT NULL CHECK (revision > 0),
    issued_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    known_at      timestamptz NOT NULL,
    entries       bigint NOT NULL,
    opening_pending            bigint NOT NULL,
    created                    bigint NOT NULL,
    cleared                    bigint NOT NULL,
    reverted                   bigint NOT NULL,
    closing_pending            bigint NOT NULL,
    opening_earned             bigint NOT NULL,
    reversed                   bigint NOT NULL,
    vouchers                   bigint NOT NULL,
    closing_earned             bigint NOT NULL,
    opening_commission_pending bigint NOT NULL,
    commission_created         bigint NOT NULL,
    commission_cleared         bigint NOT NULL,
    commission_reverted        bigint NOT NULL,
    closing_commission_pending bigint NOT NULL,
    opening_commission         bigint NOT NULL,
    commission_reversed        bigint NOT NULL,
    closing_commission         bigint NOT NULL,
    changed       jsonb,
    -- Of the entries that this day got since the revision before; 100 at most.
    late_events   text[] NOT NULL DEFAULT '{}',
    UNIQUE (side, party_id, livemode, asset, day, revision),
    CHECK ((revision = 1) = (changed IS NULL)),
    CHECK (side = 'publisher' OR vouchers = 0),
    CHECK (closing_pending = opening_pending + created - cleared - reverted),
    CHECK (closing_earned = opening_earned + cleared - reversed - vouchers),
    CHECK (closing_commission_pending
        = opening_commission_pending + commission_created - commission_cleared - commission_reverted),
    CHECK (closing_commission = opening_commission + commission_cleared - commission_reversed)
);
CREATE INDEX statements_of_day ON statements (day);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON statements
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE VIEW statements_now AS
    SELECT DISTINCT ON (side, party_id, livemode, asset, day) * FROM statements
    ORDER BY side, party_id, livemode, asset, day, revision DESC;

-- One row a credit (a cashback): what was bought, who gave it, how it stands. Newest first is by cashback_no, the
-- order of posting.
CREATE VIEW credit_log AS
    SELECT cashbacks.cashback_no, cashbacks.cashback_id,
           purchases.livemode, purchases.partner_id, purchases.merchant_id, purchases.member_id,
           purchases.transaction_ref, cashbacks.program_id, cashbacks.program_version, cashbacks.sequence,
           credited.basket_minor, credited.employee_id, credited.receipt_id, credited.webhook_id,
           cashbacks.amount, cashbacks.asset, cashbacks.commission, cashbacks.commission_bps,
           credited.event_at AS credited_at, credited.posted_at AS credited_posted_at,
           CASE last.transition
               WHEN 'created' THEN 'PENDING' WHEN 'cleared' THEN 'CLEARED' ELSE 'REVERTED'
           END AS state,
           last.transition, last.reason, last.event_at, last.posted_at, credited.silent,
           (credited.event_at AT TIME ZONE coalesce(merchants.timezone, 'UTC'))::date AS day,
           cashbacks.pending_account, cashbacks.funding_account
    FROM cashbacks
    JOIN purchases USING (purchase_no)
    LEFT JOIN merchants USING (merchant_id)
    JOIN entries AS credited ON credited.cashback_no = cashbacks.cashback_no AND credited.step = 1
    CROSS JOIN LATERAL (
        SELECT transition, reason, event_at, posted_at FROM entries
        WHERE entries.cashback_no = cashbacks.cashback_no ORDER BY step DESC LIMIT 1
    ) AS last;

-- Reconciliation as before, and by partner as well: one view under the other, so that both say the same.
--
-- Proof, must be 0: what each entry should have moved (from its cashback) against what its transfers moved between
-- the accounts that its transition allows, and all that they moved elsewhere; cashbacks whose creation is missing;
-- and, on the last day per asset, what the kept balances of the merchant's accounts, and of the members it
-- rewarded, differ from their transfers. pending is the balance at the end of the day, the other figures are the
-- day's. A reversal takes from the member's wallet, and what the wallet lacks from the receivable.
DROP VIEW reconciliation;
CREATE VIEW partner_reconciliation AS
WITH posted AS (
    SELECT purchases.livemode, coalesce(purchases.merchant_id, '(unknown)') AS merchant_id,
           coalesce(purchases.partner_id, '(unknown)') AS partner_id,
           coalesce(cashbacks.asset, moved.asset, '???') AS asset,
           (entries.event_at AT TIME ZONE coalesce(merchants.timezone, 'UTC'))::date AS day,
           entries.transition, moved.reward, moved.commission,
           CASE WHEN cashbacks.cashback_no IS NULL THEN greatest(1, moved.strayed)
                ELSE abs(cashbacks.amount - moved.reward) + abs(cashbacks.commission - moved.commission)
                    + moved.strayed
           END AS unproved
    FROM entries
    LEFT JOIN cashbacks USING (cashback_no)
    LEFT JOIN purchases USING (purchase_no)
    LEFT JOIN merchants USING (merchant_id)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(amount) FILTER (WHERE is_reward), 0) AS reward,
               coalesce(sum(amount) FILTER (WHERE is_commission), 0) AS commission,
               coalesce(sum(amount) FILTER (WHERE (is_reward OR is_commission) IS NOT TRUE), 0) AS strayed,
               min(asset) AS asset
        FROM (
            SELECT transfers.amount, transfers.asset,
                   transfers.asset = cashbacks.asset AND CASE entries.transition
                       WHEN 'created' THEN debit_account = funding_account AND credit_account = pending_account
                       WHEN 'cleared' THEN debit_account = pending_account AND credit_account = wallet_account
                       WHEN 'reverted' THEN debit_account = pending_account AND credit_account = funding_account
                       ELSE credit_account = funding_account AND (debit_account = wallet_account OR EXISTS (
                           SELECT FROM accounts AS receivable
                           WHERE receivable.account_id = debit_account AND kind = 'member:receivable'
                             AND (receivable.partner_id, receivable.member_id, receivable.livemode)
                               = (purchases.partner_id, purchases.member_id, purchases.livemode)))
                   END AS is_reward,
                   transfers.asset = cashbacks.asset AND CASE entries.transition
                       WHEN 'created' THEN debit_account = funding_account
                           AND credit_account = commission_pending_account
                       WHEN 'cleared' THEN debit_account = commission_pending_account
                           AND credit_account = commission_revenue_account
                       WHEN 'reverted' THEN debit_account = commission_pending_account
                           AND credit_account = funding_account
                       ELSE debit_account = commission_revenue_account AND credit_account = funding_account
                   END AS is_commission
            FROM transfers WHERE transfers.entry_id = entries.entry_id
        ) AS leg
    ) AS moved
), days AS (
    SELECT livemode, merchant_id, partner_id, asset, day,
           coalesce(sum(reward) FILTER (WHERE transition = 'created'), 0)::bigint AS created,
           coalesce(sum(reward) FILTER (WHERE transition = 'cleared'), 0)::bigint AS cleared,
           coalesce(sum(reward) FILTER (WHERE transition = 'reverted'), 0)::bigint AS reverted,
           coalesce(sum(reward) FILTER (WHERE transition = 'reversed'), 0)::bigint AS reversed,
           coalesce(sum(commission) FILTER (WHERE transition = 'cleared'), 0)::bigint
               - coalesce(sum(commission) FILTER (WHERE transition = 'reversed'), 0)::bigint AS commission,
           sum(unproved)::bigint AS unproved,
           row_number() OVER (PARTITION BY livemode, merchant_id, partner_id, asset ORDER BY day DESC) = 1 AS last_day
    FROM posted GROUP BY livemode, merchant_id, partner_id, asset, day
), drifts AS MATERIALIZED (
    SELECT merchant_id, member_id, partner_id, livemode, asset,
           greatest(1, abs(coalesce(kept, 0) - proved)) AS drift
    FROM account_proofs WHERE kept IS DISTINCT FROM proved
), merchant_drifts AS (
    SELECT livemode, merchant_id, partner_id, asset, sum(drift) AS drift FROM (
        SELECT livemode, merchant_id, partner_id, asset, drift FROM drifts WHERE merchant_id IS NOT NULL
        UNION ALL
        SELECT drifts.livemode, rewarded.merchant_id, drifts.partner_id, drifts.asset, drifts.drift
        FROM drifts CROSS JOIN LATERAL (
            SELECT DISTINCT merchant_id FROM purchases
            WHERE (purchases.partner_id, purchases.member_id, purchases.livemode)
                = (drifts.partner_id, drifts.member_id, drifts.livemode)
        ) AS rewarded WHERE drifts.merchant_id IS NULL
    ) AS drifted GROUP BY livemode, merchant_id, partner_id, asset
), uncreated AS (
    SELECT purchases.livemode, purchases.merchant_id, purchases.partner_id, cashbacks.asset,
           sum(cashbacks.amount) AS amount
    FROM cashbacks JOIN purchases USING (purchase_no)
    WHERE NOT EXISTS (
        SELECT FROM entries WHERE entries.cashback_no = cashbacks.cashback_no AND transition = 'created'
    ) GROUP BY purchases.livemode, purchases.merchant_id, purchases.partner_id, cashbacks.asset
), faults AS (
    SELECT livemode, merchant_id, partner_id, asset, sum(amount) AS amount
    FROM (TABLE merchant_drifts UNION ALL TABLE uncreated)
        AS fault (livemode, merchant_id, partner_id, asset, amount)
    GROUP BY livemode, merchant_id, partner_id, asset
)
-- FULL: who has not one entry left still shows, with no day.
SELECT livemode, merchant_id, partner_id, asset, days.day,
       coalesce(days.created, 0) AS created, coalesce(days.cleared, 0) AS cleared,
       coalesce(days.reverted, 0) AS reverted, coalesce(days.reversed, 0) AS reversed,
       coalesce(sum(days.created - days.cleared - days.reverted)
           OVER (PARTITION BY livemode, merchant_id, partner_id, asset ORDER BY days.day), 0)::bigint AS pending,
       coalesce(days.commission, 0) AS commission,
       (coalesce(days.unproved, 0)
           + CASE WHEN coalesce(days.last_day, true) THEN coalesce(faults.amount, 0) ELSE 0 END)::bigint AS proof
FROM days FULL JOIN faults USING (livemode, merchant_id, partner_id, asset);

CREATE VIEW reconciliation AS
    SELECT livemode, merchant_id, asset, day,
           sum(created)::bigint AS created, sum(cleared)::bigint AS cleared,
           sum(reverted)::bigint AS reverted, sum(reversed)::bigint AS reversed,
           (sum(sum(created - cleared - reverted))
               OVER (PARTITION BY livemode, merchant_id, asset ORDER BY day))::bigint AS pending,
           sum(commission)::bigint AS commission, sum(proof)::bigint AS proof
    FROM partner_reconciliation GROUP BY livemode, merchant_id, asset, day;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT ON cashback_movements, statements, statements_now, credit_log, partner_reconciliation,
            reconciliation TO cashback_writer;
    END IF;
    -- The default of 0008 covers only what the same owner makes.
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_reader') THEN
        GRANT SELECT ON cashback_movements, statements, statements_now, credit_log, partner_reconciliation,
            reconciliation TO cashback_reader;
    END IF;
END $$;
