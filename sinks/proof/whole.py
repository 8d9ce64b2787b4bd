"""The whole proof, of one moment: every balance, every entry, every volume against the transfers."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

_ACCOUNTS = "SELECT count(*) FROM accounts"
_DRIFTS = """
SELECT account_id, kind::text, CASE WHEN livemode THEN 'live' ELSE 'test' END, partner_id,
       coalesce(merchant_id, member_id), asset, kept, proved::bigint
FROM account_proofs WHERE kept IS DISTINCT FROM proved ORDER BY account_id
"""
_IMBALANCES = """
SELECT CASE WHEN livemode THEN 'live' ELSE 'test' END, asset, sum(balance)::bigint
FROM balances JOIN accounts USING (account_id) GROUP BY livemode, asset HAVING sum(balance) <> 0
ORDER BY livemode DESC, asset
"""
_ORPHANS = """
SELECT entry_id, leg, amount, asset FROM transfers
WHERE NOT EXISTS (SELECT FROM entries WHERE entries.entry_id = transfers.entry_id)
  AND NOT EXISTS (SELECT FROM voucher_entries WHERE voucher_entries.entry_id = transfers.entry_id)
ORDER BY entry_id, leg
"""
_UNPROVED = """
SELECT merchant_id, partner_id, CASE WHEN livemode THEN 'live' ELSE 'test' END, asset, day, proof
FROM partner_reconciliation WHERE proof <> 0 ORDER BY merchant_id, partner_id, asset, day
"""
_VOUCHERS = (
    "SELECT voucher_id, transition::text, unproved FROM voucher_movements WHERE unproved <> 0 ORDER BY 1, 2"
)
_VOLUMES = """
SELECT funding_account, coalesce(kept.cleared, 0)::bigint, coalesce(proved.cleared, 0)::bigint
FROM (SELECT funding_account, sum(cleared) AS cleared FROM merchant_volumes GROUP BY 1) AS kept
FULL JOIN (
    SELECT funding_account, sum(amount) AS cleared FROM cashbacks JOIN entries USING (cashback_no)
    WHERE transition = 'cleared' GROUP BY 1
) AS proved USING (funding_account)
WHERE kept.cleared IS DISTINCT FROM proved.cleared ORDER BY 1
"""


@dataclass(frozen=True)
class Fault:
    """Something that does not agree: what kind of thing, which one, and what is wrong, in words."""

    subject: str
    name: str
    problem: str

    def __str__(self) -> str:
        return f"{self.subject} {self.name}: {self.problem}"


@dataclass(frozen=True)
class Proof:
    """How many accounts there are, and everything that does not agree."""

    accounts: int
    faults: tuple[Fault, ...]


def prove(connection: psycopg.Connection) -> Proof:
    """Everything from the first transfer on; `connection` sees one moment. Seconds a million entries."""
    row = connection.execute(_ACCOUNTS).fetchone()
    assert row is not None
    return Proof(row[0], tuple(_faults(connection)))


def _faults(connection: psycopg.Connection) -> Iterator[Fault]:
    for account, kind, mode, partner, owner, asset, kept, proved in connection.execute(_DRIFTS).fetchall():
        name = f"{account} ({kind}, {mode}, {partner}, {owner}, {asset})"
        holds = "has no balance" if kept is None else f"holds {kept}"
        yield Fault("account", name, f"{holds}, its transfers come to {proved}")
    for mode, asset, total in connection.execute(_IMBALANCES).fetchall():
        yield Fault("asset", f"{asset}, {mode}", f"all balances come to {total}, not to 0")
    for entry, leg, amount, asset in connection.execute(_ORPHANS).fetchall():
        yield Fault("transfer", f"{entry}/{leg}", f"moves {amount} {asset} and belongs to no entry")
    for merchant, partner, mode, asset, day, proof in connection.execute(_UNPROVED).fetchall():
        name = f"{merchant} with {partner}, {mode}, {asset}, {day or 'no day'}"
        yield Fault("merchant", name, f"the proof of its entries is {proof}, not 0")
    for voucher, transition, unproved in connection.execute(_VOUCHERS).fetchall():
        yield Fault(
            "voucher", f"{voucher} {transition}", f"its transfers differ from its price by {unproved}"
        )
    for account, kept, proved in connection.execute(_VOLUMES).fetchall():
        yield Fault("volume", f"of account {account}", f"is {kept}, its clearings come to {proved}")
