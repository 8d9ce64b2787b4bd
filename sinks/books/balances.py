"""Balances as they were known: by event time up to one moment, as posted up to another."""

from dataclasses import dataclass
from datetime import date

import psycopg

from schemas.errors import Rejected
from schemas.times import Micros, to_datetime

# The last microsecond of a day where the merchant is; members have no time zone, their days are UTC.
_END_OF_DAY = """
SELECT (extract(epoch FROM (%(day)s::date + 1)::timestamp AT TIME ZONE coalesce(
    (SELECT timezone FROM merchants WHERE merchant_id = %(merchant)s), 'UTC')) * 1000000)::bigint - 1
"""

# Of the cashbacks and vouchers of these accounts every entry; of each entry the transfers that touch them.
_BALANCES = """
WITH mine AS (
    SELECT account_id, kind, livemode, asset FROM accounts
    WHERE (%(partner)s::text IS NULL OR partner_id = %(partner)s)
      AND member_id IS NOT DISTINCT FROM %(member)s AND merchant_id IS NOT DISTINCT FROM %(merchant)s
      AND (%(asset)s::text IS NULL OR asset = %(asset)s)
), known AS (
    SELECT entry_id FROM cashbacks JOIN entries USING (cashback_no)
    WHERE {account} IN (SELECT account_id FROM mine WHERE kind = %(kind)s::account_kind)
      AND event_at <= coalesce(%(on)s, 'infinity'::timestamptz)
      AND posted_at <= coalesce(%(known_at)s, 'infinity'::timestamptz)
    UNION ALL
    SELECT entry_id FROM voucher_movements
    WHERE wallet_account IN (SELECT account_id FROM mine)
      AND event_at <= coalesce(%(on)s, 'infinity'::timestamptz)
      AND posted_at <= coalesce(%(known_at)s, 'infinity'::timestamptz)
), moved AS (
    SELECT account_id, sum(amount)::bigint AS balance FROM (
        SELECT debit_account AS account_id, -amount AS amount FROM known JOIN transfers USING (entry_id)
        UNION ALL SELECT credit_account, amount FROM known JOIN transfers USING (entry_id)
    ) AS side GROUP BY account_id
)
SELECT livemode, asset, kind::text, sum(coalesce(balance, 0))::bigint
FROM mine LEFT JOIN moved USING (account_id)
GROUP BY livemode, asset, kind ORDER BY livemode DESC, asset, kind
"""


@dataclass(frozen=True)
class Balance:
    """What accounts of one kind hold, in minor units or points; a debit balance is negative."""

    livemode: bool
    asset: str
    account: str
    balance: int


@dataclass(frozen=True)
class Holder:
    """Whose balances: a member of a partner, or a merchant, with all partners or with one."""

    partner_id: str | None = None
    member_id: str | None = None
    merchant_id: str | None = None

    def __post_init__(self) -> None:
        if (self.member_id is None) == (self.merchant_id is None):
            raise Rejected("--member", "not one of a member and a merchant is named", "name exactly one")
        if self.member_id is not None and self.partner_id is None:
            raise Rejected(
                "--member",
                f"{self.member_id!r} may be of several partners",
                "name the partner with --partner",
            )


def balances_of(
    connection: psycopg.Connection,
    holder: Holder,
    *,
    asset: str | None = None,
    on: Micros | None = None,
    known_at: Micros | None = None,
) -> list[Balance]:
    """Live before test, by asset and account.

    `on`: what happened up to then (event time), `known_at`: as far as it was posted up to then; both
    inclusive, None: all of it. Raises `Rejected` when the ledger does not know the holder.
    """
    is_member = holder.member_id is not None
    query = _BALANCES.format(account="pending_account" if is_member else "funding_account")
    names = {
        "partner": holder.partner_id,
        "member": holder.member_id,
        "merchant": holder.merchant_id,
        "asset": asset,
        "kind": "member:pending" if is_member else "merchant:funding",
        "on": None if on is None else to_datetime(on),
        "known_at": None if known_at is None else to_datetime(known_at),
    }
    rows = connection.execute(query.encode(), names).fetchall()
    if not rows:
        raise Rejected(
            "--member" if is_member else "--merchant",
            f"the ledger has no account of {holder.member_id or holder.merchant_id!r}"
            + (f" with {holder.partner_id!r}" if holder.partner_id else "")
            + (f" in {asset}" if asset else ""),
            "copy the ids from `cashback credits`",
        )
    return [Balance(*row) for row in rows]


def end_of_day(connection: psycopg.Connection, day: date, merchant_id: str | None) -> Micros:
    """The last microsecond of `day`: where the merchant is, else in UTC."""
    row = connection.execute(_END_OF_DAY, {"day": day, "merchant": merchant_id}).fetchone()
    assert row is not None
    return int(row[0])
