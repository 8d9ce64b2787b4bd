"""Reconciliation: one query on one view."""

from dataclasses import dataclass
from datetime import date

import psycopg

_QUERY = """
SELECT merchant_id, livemode, asset, day, created, cleared, reverted, reversed, pending, commission, proof
FROM reconciliation ORDER BY merchant_id, livemode DESC, asset, day
"""


@dataclass(frozen=True)
class Line:
    """One merchant, asset and day (of the merchant's time zone); amounts in minor units or points.

    `pending` is what was pending at the end of the day; the other amounts moved on it. `proof` must be 0:
    it is what the transfers and the kept balances differ from what the cashbacks say. No `day`: not one
    entry is left of a merchant who has cashbacks, so the proof is not 0 either.
    """

    merchant_id: str
    livemode: bool
    asset: str
    day: date | None
    created: int
    cleared: int
    reverted: int
    reversed: int
    pending: int
    commission: int
    proof: int


def reconcile(database_url: str) -> list[Line]:
    """Every line, by merchant, live before test, asset and day."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        return [Line(*row) for row in connection.execute(_QUERY)]
