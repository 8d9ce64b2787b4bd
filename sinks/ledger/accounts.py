"""Accounts on first use, and a bounded memory of those already open."""

from collections.abc import Iterable

import psycopg

from sinks.ledger.staging import Owners

REMEMBERED_MAX = 200_000

_OPEN = """
INSERT INTO accounts (kind, livemode, partner_id, merchant_id, member_id, asset)
SELECT kind, livemode, partner_id, merchant_id, member_id, asset
FROM unnest(%(livemode)s::boolean[], %(partner)s::text[], %(merchant)s::text[], %(member)s::text[],
            %(asset)s::text[]) AS wanted (livemode, partner_id, merchant_id, member_id, asset)
CROSS JOIN unnest(%(kinds)s::account_kind[]) AS kind
ORDER BY partner_id, member_id, merchant_id, asset, kind, livemode
ON CONFLICT DO NOTHING
"""
# OFFSET 0 keeps the subquery apart: one look into the unique index a wanted account, whatever the size.
_FIND = """
SELECT wanted.livemode, wanted.partner_id, wanted.owner, wanted.asset,
       array_agg(found.account_id ORDER BY kind)
FROM unnest(%(livemode)s::boolean[], %(partner)s::text[], %(owner)s::text[], %(asset)s::text[])
         AS wanted (livemode, partner_id, owner, asset)
CROSS JOIN unnest(%(kinds)s::account_kind[]) AS kind
CROSS JOIN LATERAL (
    SELECT account_id FROM accounts
    WHERE accounts.partner_id = wanted.partner_id
      AND accounts.{owner} = wanted.owner AND accounts.{other} IS NULL
      AND accounts.asset = wanted.asset AND accounts.kind = kind.kind AND accounts.livemode = wanted.livemode
    OFFSET 0
) AS found
GROUP BY 1, 2, 3, 4
"""
_PAIR = """
INSERT INTO account_pairs (debit_account, credit_account, asset)
SELECT * FROM unnest(%(debit)s::bigint[], %(credit)s::bigint[], %(asset)s::text[]) AS wanted
ORDER BY 1, 2 ON CONFLICT DO NOTHING
"""
# In the order of the enum account_kind, so that array_agg returns them in this order.
_MERCHANT_KINDS = ["merchant:funding", "commission:pending", "commission:revenue"]
_MEMBER_KINDS = ["member:pending", "member:wallet"]

_Owner = tuple[bool, str, str, str]
Accounts = tuple[int, int, int, int, int]
"""Account ids: funding, commission pending, commission revenue, member pending, member wallet."""


class AccountBook:
    """Finds the accounts of a cashback and opens those nobody used before."""

    def __init__(self) -> None:
        self._known: dict[Owners, Accounts] = {}

    def forget(self) -> None:
        """Drop the memory: after a rolled-back transaction it names accounts that do not exist."""
        self._known.clear()

    def resolve(self, connection: psycopg.Connection, wanted: Iterable[Owners]) -> dict[Owners, Accounts]:
        """Accounts for each of `wanted`, opened inside the running transaction where missing."""
        if len(self._known) > REMEMBERED_MAX:
            self.forget()
        missing = {owners for owners in wanted if owners not in self._known}
        if missing:
            self._open(connection, sorted(missing))
        return self._known

    def _open(self, connection: psycopg.Connection, missing: list[Owners]) -> None:
        by_merchant = sorted(
            {(live, partner, merchant, asset) for live, partner, merchant, _, asset in missing}
        )
        by_member = sorted({(live, partner, member, asset) for live, partner, _, member, asset in missing})
        merchants = _found(connection, by_merchant, _MERCHANT_KINDS, "merchant_id", "member_id")
        members = _found(connection, by_member, _MEMBER_KINDS, "member_id", "merchant_id")
        opened: dict[Owners, Accounts] = {}
        for owners in missing:
            live, partner, merchant, member, asset = owners
            funding, commission_pending, revenue = merchants[live, partner, merchant, asset]
            pending, wallet = members[live, partner, member, asset]
            opened[owners] = (funding, commission_pending, revenue, pending, wallet)
        _pair(connection, opened)
        self._known.update(opened)


def _found(
    connection: psycopg.Connection, owners: list[_Owner], kinds: list[str], owner: str, other: str
) -> dict[_Owner, list[int]]:
    nothing: list[str | None] = [None] * len(owners)
    names: list[str | None] = [each[2] for each in owners]
    columns: dict[str, object] = {
        "kinds": kinds,
        "livemode": [each[0] for each in owners],
        "partner": [each[1] for each in owners],
        "owner": names,
        "merchant": names if owner == "merchant_id" else nothing,
        "member": names if owner == "member_id" else nothing,
        "asset": [each[3] for each in owners],
    }
    connection.execute(_OPEN, columns)
    rows = connection.execute(_FIND.format(owner=owner, other=other).encode(), columns)
    return {(live, partner, name, asset): ids for live, partner, name, asset, ids in rows}


def open_pairs(connection: psycopg.Connection, pairs: Iterable[tuple[int, int, str]]) -> None:
    """Let transfers go from debit to credit account in an asset; what is open already stays so."""
    debit, credit, assets = zip(*sorted(pairs), strict=True)
    connection.execute(_PAIR, {"debit": list(debit), "credit": list(credit), "asset": list(assets)})


def _pair(connection: psycopg.Connection, opened: dict[Owners, Accounts]) -> None:
    pairs = set()
    for (*_, asset), (funding, commission_pending, revenue, pending, wallet) in opened.items():
        pairs |= {(funding, pending, asset), (pending, funding, asset), (pending, wallet, asset)}
        pairs |= {(funding, commission_pending, asset), (commission_pending, funding, asset)}
        pairs.add((commission_pending, revenue, asset))
    open_pairs(connection, pairs)
