"""Reads what the sinks wrote: entries, balances, cases, webhooks."""

from typing import Any, LiteralString

import psycopg

ENTRIES = """
SELECT cashback_id, transition::text, event_id, payload_hash, event_at, reason, basket_minor,
       employee_id, receipt_id, webhook_id
FROM entries JOIN cashbacks USING (cashback_no)
ORDER BY cashback_id, step
"""
TRANSFERS = """
SELECT cashback_id, transition::text, leg, debit.kind::text, coalesce(debit.member_id, debit.merchant_id),
       credit.kind::text, coalesce(credit.member_id, credit.merchant_id), transfers.asset, transfers.amount
FROM transfers JOIN entries USING (entry_id) JOIN cashbacks USING (cashback_no)
JOIN accounts AS debit ON debit.account_id = debit_account
JOIN accounts AS credit ON credit.account_id = credit_account
ORDER BY cashback_id, step, leg
"""
ACCOUNTS = """
SELECT kind::text, CASE WHEN livemode THEN 'live' ELSE 'test' END,
       partner_id, member_id, merchant_id, asset, balance
FROM balances JOIN accounts USING (account_id)
ORDER BY kind, livemode, partner_id, member_id, merchant_id, asset
"""
CASHBACKS = """
SELECT cashback_id, livemode, partner_id, transaction_ref, transaction_id, member_id, merchant_id, program_id,
       program_version, sequence, asset, amount, commission_bps, commission, clear_at
FROM cashbacks JOIN purchases USING (purchase_no)
ORDER BY cashback_id
"""
MESSAGES = "SELECT event_id, body FROM webhook_messages ORDER BY event_id"
CASES = """
SELECT case_id, revision, opened_at, updated_at, cashback_id, transaction_id, shortfall, net_minor, cause,
       payload_hash
FROM reversal_cases ORDER BY case_id, revision
"""
POSITIONS = "SELECT topic, partition, next_offset FROM sink_positions"


class Book:
    """A session that only looks."""

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(database_url, autocommit=True)

    def rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self._connection.execute(query).fetchall()

    def whole(self) -> dict[str, list[tuple[Any, ...]]]:
        """Everything the ledger says, without numbers that depend on who came first."""
        queries: dict[str, LiteralString] = {
            "cashbacks": CASHBACKS,
            "entries": ENTRIES,
            "transfers": TRANSFERS,
            "accounts": ACCOUNTS,
            "messages": MESSAGES,
            "cases": CASES,
        }
        return {name: self.rows(query) for name, query in queries.items()}

    def close(self) -> None:
        """End the session."""
        self._connection.close()
