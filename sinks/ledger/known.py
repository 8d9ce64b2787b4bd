"""What the database knows already of the cashbacks and purchases that a batch names."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import psycopg

Reference: TypeAlias = tuple[bool, str, str]
"""livemode, partner_id, transaction_ref: what a purchase is bound to."""

_ANY_REFERENCE = """
SELECT wanted.livemode, wanted.partner_id, wanted.transaction_ref, bound.*
FROM unnest(%b::boolean[], %b::text[], %b::text[]) AS wanted (livemode, partner_id, transaction_ref)
CROSS JOIN LATERAL (
    SELECT purchase_no, transaction_id, member_id FROM purchases
    WHERE purchases.partner_id = wanted.partner_id AND purchases.transaction_ref = wanted.transaction_ref
      AND purchases.livemode = wanted.livemode
    OFFSET 0
) AS bound
"""
# OFFSET 0 keeps the subqueries apart: one look into an index a row, whatever the statistics say.
_ANY_CASHBACK = """
SELECT wanted.cashback_id, wanted.step, posted.transition::text, posted.payload_hash,
    known.cashback_no, known.asset, known.amount, known.commission, known.funding_account,
    known.commission_pending_account, known.commission_revenue_account, known.pending_account,
    known.wallet_account, bound.transaction_id, bound.partner_id, bound.livemode
FROM unnest(%b::text[], %b::smallint[]) AS wanted (cashback_id, step)
CROSS JOIN LATERAL (
    SELECT * FROM cashbacks WHERE cashbacks.cashback_id = wanted.cashback_id OFFSET 0
) AS known
CROSS JOIN LATERAL (
    SELECT transaction_id, partner_id, livemode FROM purchases
    WHERE purchases.purchase_no = known.purchase_no OFFSET 0
) AS bound
LEFT JOIN LATERAL (
    SELECT transition, payload_hash FROM entries
    WHERE entries.cashback_no = known.cashback_no AND entries.step = wanted.step OFFSET 0
) AS posted ON true
"""
_ENDPOINTS = """
SELECT partner_id, livemode, endpoint_id, event_types, disabled_at IS NULL FROM webhook_endpoints
WHERE partner_id = ANY (%s) ORDER BY endpoint_id
"""
_NUMBERS = "SELECT nextval('entry_ids') FROM generate_series(1, %s)"


class Purchase(NamedTuple):
    """Who first used a reference, and owns it for ever."""

    purchase_no: int
    transaction_id: str
    member_id: str


class Cashback(NamedTuple):
    """A cashback that was created, with what later entries of it need. `asset`: three letters."""

    cashback_no: int
    asset: str
    amount: int
    commission: int
    funding: int
    commission_pending: int
    commission_revenue: int
    pending: int
    wallet: int
    transaction_id: str
    partner_id: str
    livemode: bool


class Posted(NamedTuple):
    """An entry of a cashback, found by its step."""

    transition: str
    payload_hash: bytes


Audience: TypeAlias = dict[tuple[str, bool], list[tuple[int, frozenset[str]]]]
"""Endpoints and the transitions they want, by partner and mode; a partner without any is not in it."""


class Known:
    """Read from the database for one batch, then kept up with what the batch adds."""

    def __init__(self) -> None:
        self.purchases: dict[Reference, Purchase] = {}
        self.cashbacks: dict[str, Cashback] = {}
        self.entries: dict[tuple[str, int], Posted] = {}

    def find_purchases(self, connection: psycopg.Connection, references: Iterable[Reference]) -> None:
        """Learn whose these references are."""
        if wanted := sorted(set(references)):
            rows = connection.execute(_ANY_REFERENCE, _columns(wanted), binary=True)
            for live, partner, reference, *bound in rows.fetchall():
                self.purchases[live, partner, reference] = Purchase._make(bound)

    def find_cashbacks(self, connection: psycopg.Connection, steps: Iterable[tuple[str, int]]) -> None:
        """Learn of these cashbacks, and whether they have an entry of that step."""
        if wanted := sorted(set(steps)):
            rows = connection.execute(_ANY_CASHBACK, _columns(wanted), binary=True)
            for cashback_id, step, transition, payload_hash, *cashback in rows.fetchall():
                self.cashbacks[cashback_id] = Cashback._make(cashback)
                if transition is not None:
                    self.entries[cashback_id, step] = Posted(transition, payload_hash)


def audience(connection: psycopg.Connection, partners: Iterable[str]) -> Audience:
    """Who is to be told of these partners' entries. `endpoints.enable` waits until the transaction ends."""
    heard: Audience = {}
    rows = connection.execute(_ENDPOINTS, (sorted(set(partners)),))
    for partner, live, endpoint_id, event_types, enabled in rows.fetchall():
        heard.setdefault((partner, live), []).append(
            (endpoint_id, frozenset(each.removeprefix("cashback.") for each in event_types if enabled))
        )
    return heard


def numbers(connection: psycopg.Connection, count: int) -> list[int]:
    """New numbers for entries and what they create, ascending."""
    return [number for (number,) in connection.execute(_NUMBERS, (count,), binary=True).fetchall()]


def _columns(rows: Sequence[tuple[object, ...]]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
