"""The wallets that a batch takes reversed rewards from: what is in them, and who stands in for what is not.

A wallet is locked from the first look until the batch is committed, so that a voucher issued at the same
moment waits, and then finds what is left. What a wallet lacks the member owes: it comes from the account
`member:receivable`, opened when it is first needed.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import psycopg

from sinks.ledger.accounts import open_pairs

_LOCK = "SELECT account_id, balance FROM lock_balances(%s::bigint[])"
_OPEN_RECEIVABLES = """
INSERT INTO accounts (kind, livemode, partner_id, member_id, asset)
SELECT 'member:receivable', livemode, partner_id, member_id, asset FROM accounts
WHERE account_id = ANY (%s) ORDER BY account_id ON CONFLICT DO NOTHING
"""
_RECEIVABLES = """
SELECT wallets.account_id, receivable.account_id
FROM accounts AS wallets CROSS JOIN LATERAL (
    SELECT account_id FROM accounts
    WHERE accounts.partner_id = wallets.partner_id AND accounts.member_id = wallets.member_id
      AND accounts.merchant_id IS NULL AND accounts.asset = wallets.asset
      AND accounts.kind = 'member:receivable' AND accounts.livemode = wallets.livemode
    OFFSET 0
) AS receivable
WHERE wallets.account_id = ANY (%s)
"""


class Claim(NamedTuple):
    """What a batch may take back: the accounts of a cashback, and its amount."""

    wallet: int
    funding: int
    commission_revenue: int
    asset: str
    amount: int


class Wallets:
    """Balances of the locked wallets, kept up with what the batch adds and takes."""

    def __init__(self, connection: psycopg.Connection, claims: Iterable[Claim]) -> None:
        claims = list(claims)
        self._left: dict[int, int] = {}
        self._receivables: dict[int, int] = {}
        if not claims:
            return
        wanted = sorted({claim.wallet for claim in claims})
        self._left = dict(connection.execute(_LOCK, (wanted,)).fetchall())
        wishes: Counter[int] = Counter()
        for claim in claims:
            wishes[claim.wallet] += claim.amount
        if short := [wallet for wallet in wanted if self._left[wallet] < wishes[wallet]]:
            connection.execute(_OPEN_RECEIVABLES, (short,))
            self._receivables = dict(connection.execute(_RECEIVABLES, (short,)).fetchall())
        open_pairs(connection, self._pairs(claims))

    def _pairs(self, claims: Iterable[Claim]) -> set[tuple[int, int, str]]:
        pairs = set()
        for claim in claims:
            pairs.add((claim.wallet, claim.funding, claim.asset))
            pairs.add((claim.commission_revenue, claim.funding, claim.asset))
            if (owed := self._receivables.get(claim.wallet)) is not None:
                pairs.add((owed, claim.funding, claim.asset))
        return pairs

    def add(self, wallet: int, amount: int) -> None:
        """Something cleared into a wallet."""
        if wallet in self._left:
            self._left[wallet] += amount

    def take(self, wallet: int, amount: int) -> int:
        """Takes what is there, at most `amount`; returns it."""
        taken = min(self._left[wallet], amount)
        self._left[wallet] -= taken
        return taken

    def receivable(self, wallet: int) -> int:
        """The account that stands in for a wallet that lacked something."""
        return self._receivables[wallet]
