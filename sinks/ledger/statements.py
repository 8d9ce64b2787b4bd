"""The SQL of one ledger batch, in the order it runs.

A staged row gets its number when it is copied in: the number becomes the id of its entry and, for a
creation, of the cashback and (if it is the first to name it) of the purchase. So no statement waits for ids
of another.

The writer's session has nested loops off, because the statistics of the staging table are always wrong;
where a big table must be looked into row by row, a lateral subquery kept apart by OFFSET 0 leaves no other
way.
"""

from sinks.ledger.staging import COLUMNS

_SPECIAL_TYPES = {"event_at": "timestamptz", "clear_at": "timestamptz"}
_ACCOUNTS = ("funding", "commission_pending", "commission_revenue", "pending", "wallet")
_STAGED = [
    *((name, _SPECIAL_TYPES.get(name, kind)) for name, kind in COLUMNS),
    *((f"{name}_account", "int8") for name in _ACCOUNTS),
]
_C = {"text": ' COLLATE "C"'}
_DEFINED = ", ".join(f"{name} {kind}{_C.get(kind, '')}" for name, kind in _STAGED)

SESSION = f"""
SET temp_buffers = '64MB';
SET work_mem = '64MB';
SET enable_nestloop = off;
SET enable_seqscan = off;
CREATE TEMPORARY TABLE staged (entry_id bigint NOT NULL DEFAULT nextval('entry_ids'), {_DEFINED})
    ON COMMIT DELETE ROWS;
"""

COPY = f"COPY staged ({', '.join(name for name, _ in _STAGED)}) FROM STDIN (FORMAT BINARY)"
COPY_TYPES = [*(kind for _, kind in COLUMNS), *("int8" for _ in _ACCOUNTS)]

BIND_PURCHASES = """
INSERT INTO purchases
    (purchase_no, livemode, partner_id, transaction_ref, transaction_id, member_id, merchant_id)
SELECT entry_id, livemode, partner_id, transaction_ref, transaction_id, member_id, merchant_id
FROM staged WHERE step = 1 ORDER BY entry_id
ON CONFLICT DO NOTHING
"""

# Messages are kept as soon as the partner has an endpoint, queued for those that want them now. Of history
# nobody is told, not even later.
_TELL = """
told AS (
    INSERT INTO webhook_messages (entry_id, event_id, body)
    SELECT entry_id, event_id, body FROM {posted} JOIN staged USING (entry_id)
    WHERE NOT staged.silent
      AND (partner_id, livemode) IN (SELECT partner_id, livemode FROM webhook_endpoints)
), queued AS (
    INSERT INTO webhook_queue (endpoint_id, cashback_no, step, entry_id)
    SELECT endpoint_id, cashback_no, step, entry_id
    FROM {posted} JOIN staged USING (entry_id)
    JOIN webhook_endpoints USING (partner_id, livemode)
    WHERE NOT staged.silent AND disabled_at IS NULL AND 'cashback.' || staged.transition = ANY (event_types)
)
"""

POST_CREATED = f"""
WITH made AS (
    INSERT INTO cashbacks (
        cashback_no, cashback_id, purchase_no, program_id, program_version, sequence, asset, amount,
        commission_bps, commission, clear_at, funding_account, pending_account, wallet_account,
        commission_pending_account, commission_revenue_account)
    SELECT entry_id, cashback_id, bound.purchase_no, program_id, program_version, sequence, asset, amount,
        commission_bps, commission, clear_at, funding_account, pending_account, wallet_account,
        commission_pending_account, commission_revenue_account
    FROM staged CROSS JOIN LATERAL (
        SELECT purchase_no, transaction_id, member_id FROM purchases
        WHERE purchases.partner_id = staged.partner_id AND purchases.transaction_ref = staged.transaction_ref
          AND purchases.livemode = staged.livemode
        OFFSET 0
    ) AS bound
    WHERE step = 1 AND bound.transaction_id = staged.transaction_id AND bound.member_id = staged.member_id
    ORDER BY entry_id
    ON CONFLICT (cashback_id) DO NOTHING
    RETURNING cashback_no AS entry_id, cashback_no, asset, amount, commission,
        funding_account, pending_account, commission_pending_account
), entered AS (
    INSERT INTO entries (entry_id, cashback_no, transition, step, event_id, event_at, payload_hash,
        basket_minor, employee_id, receipt_id, webhook_id, silent)
    SELECT entry_id, cashback_no, 'created', 1, event_id, event_at, payload_hash,
        basket_minor, employee_id, receipt_id, webhook_id, silent
    FROM made JOIN staged USING (entry_id) ORDER BY entry_id
), moved AS (
    INSERT INTO transfers (entry_id, leg, debit_account, credit_account, asset, amount)
    SELECT entry_id, leg, funding_account, credit_account, asset, leg_amount
    FROM made CROSS JOIN LATERAL (VALUES
        (1, pending_account, amount),
        (2, commission_pending_account, commission)
    ) AS side (leg, credit_account, leg_amount)
    WHERE leg_amount > 0
), {_TELL.format(posted="made")}
SELECT count(*) FROM made
"""  # noqa: S608 - put together from constants

POST_RESOLVED = f"""
WITH found AS MATERIALIZED (
    SELECT entry_id, known.*
    FROM staged CROSS JOIN LATERAL (
        SELECT cashback_no, purchase_no, asset, amount, commission, funding_account, pending_account,
            wallet_account, commission_pending_account, commission_revenue_account
        FROM cashbacks WHERE cashbacks.cashback_id = staged.cashback_id
        OFFSET 0
    ) AS known
    CROSS JOIN LATERAL (
        SELECT transaction_id, partner_id, livemode FROM purchases
        WHERE purchases.purchase_no = known.purchase_no
        OFFSET 0
    ) AS bound
    WHERE step = 2 AND bound.transaction_id = staged.transaction_id
      AND bound.partner_id = staged.partner_id AND bound.livemode = staged.livemode
), entered AS (
    INSERT INTO entries (entry_id, cashback_no, transition, step, event_id, event_at, payload_hash, reason,
        silent)
    SELECT entry_id, cashback_no, transition::transition, step, event_id, event_at, payload_hash, reason,
        silent
    FROM found JOIN staged USING (entry_id) ORDER BY entry_id
    ON CONFLICT (cashback_no, step) DO NOTHING
    RETURNING entry_id, cashback_no, transition = 'cleared' AS is_cleared
), moved AS (
    INSERT INTO transfers (entry_id, leg, debit_account, credit_account, asset, amount)
    SELECT entry_id, leg, debit_account, credit_account, asset, leg_amount
    FROM entered JOIN found USING (entry_id) CROSS JOIN LATERAL (VALUES
        (1, pending_account, CASE WHEN is_cleared THEN wallet_account ELSE funding_account END, amount),
        (2, commission_pending_account,
            CASE WHEN is_cleared THEN commission_revenue_account ELSE funding_account END, commission)
    ) AS side (leg, debit_account, credit_account, leg_amount)
    WHERE leg_amount > 0
), {_TELL.format(posted="entered")}
SELECT count(*) FROM entered
"""  # noqa: S608 - put together from constants

# Why a staged row was not posted; NULL: it was posted before with the same content.
LEFT_OVER = """
SELECT line, CASE
    WHEN entries.payload_hash = staged.payload_hash AND entries.transition::text = staged.transition THEN NULL
    WHEN entries.transition::text = staged.transition THEN 'conflict'
    WHEN step = 1 THEN 'reference_taken'
    WHEN known.cashback_no IS NULL THEN 'created_missing'
    WHEN entries.entry_id IS NOT NULL THEN 'resolved_otherwise'
    ELSE 'conflict'
END
FROM staged
LEFT JOIN LATERAL (
    SELECT cashback_no FROM cashbacks WHERE cashbacks.cashback_id = staged.cashback_id OFFSET 0
) AS known ON true
LEFT JOIN LATERAL (
    SELECT entry_id, transition, payload_hash FROM entries
    WHERE entries.cashback_no = known.cashback_no AND entries.step = staged.step OFFSET 0
) AS entries ON true
WHERE entries.entry_id IS DISTINCT FROM staged.entry_id
"""

DETAILS = {
    "conflict": "an event with this id and other content was posted before; what came first stands",
    "reference_taken": "another member's purchase has this (livemode, partner_id, transaction_ref)",
    "created_missing": "the cashback it resolves was never created here",
    "resolved_otherwise": "the cashback was resolved before by the other transition",
}

QUARANTINE = """
INSERT INTO ledger_quarantine (topic, partition, record_offset, reason, detail, record_key, record_value)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

POST_CASE = """
INSERT INTO reversal_cases (case_id, revision, opened_at, updated_at, cashback_id, transaction_id,
    transaction_ref, partner_id, member_id, merchant_id, program_id, program_version, sequence, livemode,
    amount, asset, shortfall, net_minor, cause, payload_hash)
VALUES (%(case_id)s, %(revision)s,
    timestamptz 'epoch' + %(opened_at)s * interval '1 microsecond',
    timestamptz 'epoch' + %(updated_at)s * interval '1 microsecond',
    %(cashback_transaction_id)s, %(transaction_id)s, %(transaction_ref)s, %(partner_id)s, %(member_id)s,
    %(merchant_id)s, %(program_id)s, %(program_version)s, %(sequence)s, %(livemode)s, %(amount)s,
    %(currency)s, %(shortfall)s, %(net_minor)s, %(cause)s, %(payload_hash)s)
ON CONFLICT (case_id, revision) DO NOTHING
"""
CASE_HASH = "SELECT payload_hash FROM reversal_cases WHERE case_id = %(case_id)s AND revision = %(revision)s"
