"""Vouchers as they stand: found by id, listed, and the wallet they were paid from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import psycopg

from schemas.errors import Rejected
from schemas.money import amount_text
from schemas.times import Micros, to_datetime

_WALLET = """
SELECT account_id, balance FROM accounts JOIN balances USING (account_id)
WHERE kind = 'member:wallet' AND partner_id = %s AND member_id = %s AND asset = %s AND livemode = %s
"""
_SELECT = """
SELECT voucher_id, vouchers.livemode, partner_id, member_id, asset, price, amount, currency, request_key,
       (extract(epoch FROM issue.event_at) * 1000000)::bigint, issue.actor, issue.reason,
       (extract(epoch FROM void.event_at) * 1000000)::bigint, void.actor, void.reason
FROM vouchers
JOIN voucher_entries AS issue ON issue.voucher_no = vouchers.voucher_no AND issue.transition = 'issued'
LEFT JOIN voucher_entries AS void ON void.voucher_no = vouchers.voucher_no AND void.transition = 'voided'
"""
_THAT_FIT = """
WHERE (%(partner)s::text IS NULL OR partner_id = %(partner)s)
  AND (%(member)s::text IS NULL OR member_id = %(member)s)
  AND (%(is_void)s::boolean IS NULL OR (void.entry_id IS NOT NULL) = %(is_void)s)
  AND issue.event_at >= %(since)s
ORDER BY issue.event_at DESC, vouchers.voucher_no DESC LIMIT %(most)s
"""
_ONE = _SELECT + "WHERE voucher_id = %s"


class Owner(NamedTuple):
    """Whose wallet."""

    partner_id: str
    member_id: str
    asset: str
    livemode: bool


class Wallet(NamedTuple):
    """A wallet and what it holds, minor units or points."""

    account_id: int
    balance: int


@dataclass(frozen=True)
class Voucher:
    """A voucher as it stands; the last three are None while it is not void."""

    voucher_id: str
    livemode: bool
    partner_id: str
    member_id: str
    asset: str
    price: int
    amount: int
    currency: str
    key: str
    issued_at: Micros
    issued_by: str
    reason: str
    voided_at: Micros | None
    voided_by: str | None
    void_reason: str | None

    @property
    def owner(self) -> Owner:
        """Whose wallet paid."""
        return Owner(self.partner_id, self.member_id, self.asset, self.livemode)

    def __str__(self) -> str:
        worth = f"{amount_text(self.amount, self.currency)} {self.currency}"
        return f"{worth} for {amount_text(self.price, self.asset)} {self.asset} of {self.member_id}"


def find(connection: psycopg.Connection, voucher_id: str) -> Voucher:
    """One voucher. Raises `Rejected`."""
    row = connection.execute(_ONE.encode(), (voucher_id,)).fetchone()
    if row is None:
        raise Rejected("VOUCHER_ID", f"there is no {voucher_id!r}", "copy it from `cashback vouchers list`")
    return Voucher(*row)


def latest(
    connection: psycopg.Connection,
    *,
    most: int,
    partner_id: str | None = None,
    member_id: str | None = None,
    is_void: bool | None = None,
    since: Micros = 0,
) -> Iterator[Voucher]:
    """The last `most` vouchers that fit, the latest first."""
    names = {"partner": partner_id, "member": member_id, "is_void": is_void, "most": most}
    rows = connection.execute((_SELECT + _THAT_FIT).encode(), names | {"since": to_datetime(since)})
    return (Voucher(*row) for row in rows)


def wallet_of(connection: psycopg.Connection, owner: Owner) -> Wallet | None:
    """The wallet, or None where nothing ever cleared for it."""
    row = connection.execute(_WALLET, owner).fetchone()
    return Wallet(*row) if row else None
