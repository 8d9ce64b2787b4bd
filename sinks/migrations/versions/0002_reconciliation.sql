-- Reconciliation in one query: per merchant, asset and day of the merchant.

CREATE TABLE merchants (
    merchant_id text COLLATE "C" PRIMARY KEY,
    -- An unknown zone makes the check itself fail.
    timezone    text NOT NULL DEFAULT 'UTC' CHECK (timestamptz '2000-01-01 00:00Z' AT TIME ZONE timezone IS NOT NULL)
);

-- What the transfers of each account say, against the balance that is kept. Only transfers of entries count,
-- so a transfer that lost its entry shows too. Both in minor units; kept is NULL where the balance is missing.
CREATE VIEW account_proofs AS
    SELECT accounts.account_id, accounts.kind, accounts.livemode, accounts.partner_id, accounts.merchant_id,
           accounts.member_id, accounts.asset,
           balances.balance AS kept,
           coalesce(proved.amount, 0) AS proved
    FROM accounts
    LEFT JOIN balances USING (account_id)
    LEFT JOIN (
        SELECT account_id, sum(amount) AS amount FROM (
            SELECT debit_account AS account_id, -amount AS amount FROM transfers JOIN entries USING (entry_id)
            UNION ALL SELECT credit_account, amount FROM transfers JOIN entries USING (entry_id)
        ) AS side GROUP BY account_id
    ) AS proved USING (account_id);

-- Proof, must be 0: what each entry should have moved (from its cashback) against what its transfers moved and
-- between which accounts; cashbacks whose creation is missing; and, on a merchant's last day per asset, what
-- the kept balances of its accounts, and of the members it rewarded, differ from their transfers.
-- pending is the balance at the end of the day, the other figures are the day's.
CREATE VIEW reconciliation AS
WITH moved AS (
    SELECT transfers.entry_id,
           sum(transfers.amount) FILTER (WHERE leg = 1) AS reward,
           sum(transfers.amount) FILTER (WHERE leg = 2) AS commission,
           count(*) FILTER (WHERE leg NOT IN (1, 2)) AS others,
           min(debit_account) FILTER (WHERE leg = 1) AS reward_debit,
           min(credit_account) FILTER (WHERE leg = 1) AS reward_credit,
           min(debit_account) FILTER (WHERE leg = 2) AS commission_debit,
           min(credit_account) FILTER (WHERE leg = 2) AS commission_credit,
           min(asset) AS asset
    FROM transfers GROUP BY transfers.entry_id
), posted AS (
    SELECT purchases.livemode, coalesce(purchases.merchant_id, '(unknown)') AS merchant_id,
           coalesce(cashbacks.asset, moved.asset, '???') AS asset,
           (entries.event_at AT TIME ZONE coalesce(merchants.timezone, 'UTC'))::date AS day,
           entries.transition,
           coalesce(moved.reward, 0) AS reward, coalesce(moved.commission, 0) AS commission,
           CASE
               WHEN cashbacks.cashback_no IS NULL OR moved.others > 0 OR moved.asset <> cashbacks.asset
                   THEN greatest(1, coalesce(moved.reward, 0) + coalesce(moved.commission, 0))
               WHEN (moved.reward_debit, moved.reward_credit) IS DISTINCT FROM CASE entries.transition
                       WHEN 'created' THEN ROW (funding_account, pending_account)
                       WHEN 'cleared' THEN ROW (pending_account, wallet_account)
                       ELSE ROW (pending_account, funding_account) END
                   OR cashbacks.commission > 0
                   AND (moved.commission_debit, moved.commission_credit) IS DISTINCT FROM CASE entries.transition
                       WHEN 'created' THEN ROW (funding_account, commission_pending_account)
                       WHEN 'cleared' THEN ROW (commission_pending_account, commission_revenue_account)
                       ELSE ROW (commission_pending_account, funding_account) END
                   THEN cashbacks.amount + cashbacks.commission
               ELSE abs(cashbacks.amount - coalesce(moved.reward, 0))
                   + abs(cashbacks.commission - coalesce(moved.commission, 0))
           END AS unproved
    FROM entries
    LEFT JOIN moved USING (entry_id)
    LEFT JOIN cashbacks USING (cashback_no)
    LEFT JOIN purchases USING (purchase_no)
    LEFT JOIN merchants USING (merchant_id)
), days AS (
    SELECT livemode, merchant_id, asset, day,
           coalesce(sum(reward) FILTER (WHERE transition = 'created'), 0)::bigint AS created,
           coalesce(sum(reward) FILTER (WHERE transition = 'cleared'), 0)::bigint AS cleared,
           coalesce(sum(reward) FILTER (WHERE transition = 'reverted'), 0)::bigint AS reverted,
           coalesce(sum(reward) FILTER (WHERE transition = 'reversed'), 0)::bigint AS reversed,
           coalesce(sum(commission) FILTER (WHERE transition = 'cleared'), 0)::bigint
               - coalesce(sum(commission) FILTER (WHERE transition = 'reversed'), 0)::bigint AS commission,
           sum(unproved)::bigint AS unproved,
           row_number() OVER (PARTITION BY livemode, merchant_id, asset ORDER BY day DESC) = 1 AS last_day
    FROM posted GROUP BY livemode, merchant_id, asset, day
), drifts AS MATERIALIZED (
    SELECT account_id, merchant_id, livemode, asset, greatest(1, abs(coalesce(kept, 0) - proved)) AS drift
    FROM account_proofs WHERE kept IS DISTINCT FROM proved
), merchant_drifts AS (
    SELECT livemode, merchant_id, asset, sum(drift) AS drift FROM (
        SELECT livemode, merchant_id, asset, drift FROM drifts WHERE merchant_id IS NOT NULL
        UNION ALL
        SELECT drifts.livemode, rewarded.merchant_id, drifts.asset, drifts.drift
        FROM drifts CROSS JOIN LATERAL (
            SELECT DISTINCT purchases.merchant_id FROM cashbacks JOIN purchases USING (purchase_no)
            WHERE drifts.account_id IN (cashbacks.pending_account, cashbacks.wallet_account)
        ) AS rewarded WHERE drifts.merchant_id IS NULL
    ) AS drifted GROUP BY livemode, merchant_id, asset
), uncreated AS (
    SELECT purchases.livemode, purchases.merchant_id, cashbacks.asset, sum(cashbacks.amount) AS amount
    FROM cashbacks JOIN purchases USING (purchase_no)
    WHERE NOT EXISTS (
        SELECT FROM entries WHERE entries.cashback_no = cashbacks.cashback_no AND transition = 'created'
    ) GROUP BY purchases.livemode, purchases.merchant_id, cashbacks.asset
), faults AS (
    SELECT livemode, merchant_id, asset, sum(amount) AS amount
    FROM (TABLE merchant_drifts UNION ALL TABLE uncreated) AS fault (livemode, merchant_id, asset, amount)
    GROUP BY livemode, merchant_id, asset
)
-- FULL: a merchant of whom not one entry is left still shows, with no day.
SELECT livemode, merchant_id, asset, days.day,
       coalesce(days.created, 0) AS created, coalesce(days.cleared, 0) AS cleared,
       coalesce(days.reverted, 0) AS reverted, coalesce(days.reversed, 0) AS reversed,
       coalesce(sum(days.created - days.cleared - days.reverted)
           OVER (PARTITION BY livemode, merchant_id, asset ORDER BY days.day), 0)::bigint AS pending,
       coalesce(days.commission, 0) AS commission,
       (coalesce(days.unproved, 0)
           + CASE WHEN coalesce(days.last_day, true) THEN coalesce(faults.amount, 0) ELSE 0 END)::bigint AS proof
FROM days FULL JOIN faults USING (livemode, merchant_id, asset);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'cashback_writer') THEN
        GRANT SELECT ON merchants, account_proofs, reconciliation TO cashback_writer;
    END IF;
END $$;
