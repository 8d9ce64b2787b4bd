"""The SQL of one ledger batch that is not a COPY (`rows`) or a question (`known`)."""

# Statistics of tables that were empty a moment ago are wrong; a look into an index never is.
SESSION = """
SET work_mem = '64MB';
SET enable_seqscan = off;
"""

QUARANTINE = """
INSERT INTO ledger_quarantine (topic, partition, record_offset, reason, detail, record_key, record_value)
VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""

POST_CASE = """
INSERT INTO reversal_cases (case_id, revision, opened_at, updated_at, cashback_id, transaction_id,
    transaction_ref, partner_id, member_id, merchant_id, program_id, program_version, sequence, livemode,
    amount, asset, shortfall, net_minor, cause, payload_hash, state, actor, second_actor, note)
VALUES (%(case_id)s, %(revision)s,
    timestamptz 'epoch' + %(opened_at)s * interval '1 microsecond',
    timestamptz 'epoch' + %(updated_at)s * interval '1 microsecond',
    %(cashback_transaction_id)s, %(transaction_id)s, %(transaction_ref)s, %(partner_id)s, %(member_id)s,
    %(merchant_id)s, %(program_id)s, %(program_version)s, %(sequence)s, %(livemode)s, %(amount)s,
    %(currency)s, %(shortfall)s, %(net_minor)s, %(cause)s, %(payload_hash)s, %(state)s, %(actor)s,
    %(second_actor)s, %(note)s)
ON CONFLICT (case_id, revision) DO NOTHING
"""
CASE_HASH = "SELECT payload_hash FROM reversal_cases WHERE case_id = %(case_id)s AND revision = %(revision)s"
