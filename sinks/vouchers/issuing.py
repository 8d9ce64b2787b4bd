"""Vouchers are issued for a price from a member's wallet, voided once, never amended.

The wallet's balance is moved by the trigger of the transfer, under the lock of its row, never below 0: of two
who spend the same money, the second waits and is then refused.
"""

import uuid
from dataclasses import asdict, dataclass

import psycopg

from schemas import ids
from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX, CURRENCIES, POINTS, amount_text
from schemas.times import to_iso
from schemas.transactions import check_id
from sinks.audit import check_words, record
from sinks.vouchers.records import Owner, Voucher, find, wallet_of

ASSETS = CURRENCIES | {POINTS}

_OPEN = """
INSERT INTO accounts (kind, livemode, partner_id, member_id, asset)
VALUES ('voucher:issued', %(livemode)s, %(partner_id)s, %(member_id)s, %(asset)s) ON CONFLICT DO NOTHING
"""
_ISSUED = """
SELECT account_id FROM accounts WHERE kind = 'voucher:issued' AND partner_id = %(partner_id)s
  AND member_id = %(member_id)s AND asset = %(asset)s AND livemode = %(livemode)s
"""
_PAIRS = """
INSERT INTO account_pairs (debit_account, credit_account, asset)
VALUES (%(wallet)s, %(issued)s, %(asset)s), (%(issued)s, %(wallet)s, %(asset)s) ON CONFLICT DO NOTHING
"""
_ADD = """
INSERT INTO vouchers (voucher_no, voucher_id, livemode, partner_id, member_id, asset, price, amount, currency,
    request_key, wallet_account, issued_account)
VALUES (nextval('entry_ids'), %(voucher_id)s, %(livemode)s, %(partner_id)s, %(member_id)s, %(asset)s,
    %(price)s, %(amount)s, %(currency)s, %(key)s, %(wallet)s, %(issued)s)
ON CONFLICT DO NOTHING RETURNING voucher_no
"""
_ENTER_ISSUED = """
INSERT INTO voucher_entries (entry_id, voucher_no, transition, actor, reason)
VALUES (%(number)s, %(number)s, 'issued', %(actor)s, %(reason)s)
"""
_ENTER_VOIDED = """
INSERT INTO voucher_entries (voucher_no, transition, actor, reason) VALUES (%s, 'voided', %s, %s)
ON CONFLICT DO NOTHING RETURNING entry_id
"""
_MOVE = """
INSERT INTO transfers (entry_id, leg, debit_account, credit_account, asset, amount)
VALUES (%s, 1, %s, %s, %s, %s)
"""
_ACCOUNTS = "SELECT voucher_no, wallet_account, issued_account FROM vouchers WHERE voucher_id = %s"


@dataclass(frozen=True)
class Order:
    """What is to be issued: worth `amount` of `currency` to the member, for `price` of the wallet's `asset`.

    Amounts in minor units or points. `key`: the same one again gives the same voucher; None: a new one.
    """

    partner_id: str
    member_id: str
    asset: str
    price: int
    amount: int
    currency: str
    livemode: bool = True
    key: str | None = None

    @property
    def owner(self) -> Owner:
        """Whose wallet pays."""
        return Owner(self.partner_id, self.member_id, self.asset, self.livemode)


@dataclass(frozen=True)
class Issued:
    """A voucher, and whether an earlier request with this key had issued it."""

    voucher: Voucher
    repeated: bool


def issue(connection: psycopg.Connection, order: Order, *, actor: str, reason: str) -> Issued:
    """Take the price from the wallet and issue the voucher, in one transaction; audited.

    Raises `Rejected` naming the field: no such wallet, too little in it, the key used for something else.
    """
    check_words(actor=actor, reason=reason)
    _check(order)
    key = order.key if order.key is not None else uuid.uuid4().hex
    voucher_id = ids.voucher_id(order.livemode, order.partner_id, key)
    try:
        with connection.transaction():
            number = _add(connection, order, key, voucher_id)
            if number is not None:
                _enter(connection, number, order, voucher_id, actor, reason)
    except psycopg.errors.CheckViolation as error:
        if error.diag.constraint_name != "balance_not_overdrawn":
            raise
        raise _too_little(connection, order) from None
    voucher = find(connection, voucher_id)
    if number is None and not _is_of(voucher, order):
        raise Rejected(
            "key",
            f"{key!r} has issued another voucher, {voucher_id}: {voucher}",
            "take a new key for a new one",
        )
    return Issued(voucher, repeated=number is None)


def void(connection: psycopg.Connection, voucher_id: str, *, actor: str, reason: str) -> Voucher:
    """Give the price back to the wallet by a correcting transfer, once; audited.

    Raises `Rejected` when there is no such voucher, or it is void already.
    """
    check_words(actor=actor, reason=reason)
    voucher = find(connection, voucher_id)
    with connection.transaction():
        row = connection.execute(_ACCOUNTS, (voucher_id,)).fetchone()
        assert row is not None
        number, wallet, issued = row
        entered = connection.execute(_ENTER_VOIDED, (number, actor, reason)).fetchone()
        if entered is not None:
            _move(connection, entered[0], issued, wallet, voucher.asset, voucher.price)
            details = {"price": voucher.price, "asset": voucher.asset}
            record(
                connection,
                actor=actor,
                action="voucher.void",
                subject=voucher_id,
                reason=reason,
                details=details,
            )
    voucher = find(connection, voucher_id)
    if entered is None:
        raise Rejected(
            "VOUCHER_ID",
            f"{voucher_id} was voided {to_iso(voucher.voided_at or 0)} by {voucher.voided_by}",
            "nothing is left to void",
        )
    return voucher


def _add(connection: psycopg.Connection, order: Order, key: str, voucher_id: str) -> int | None:
    """The number of the new voucher, or None where the key has issued one before."""
    wallet = wallet_of(connection, order.owner)
    if wallet is None:
        raise Rejected(
            "member",
            f"{order.partner_id} has no {order.member_id!r} with a wallet in {order.asset}",
            "nothing ever cleared there; check partner, member, asset and mode",
        )
    names = {**asdict(order), "key": key, "voucher_id": voucher_id, "wallet": wallet.account_id}
    connection.execute(_OPEN, names)
    row = connection.execute(_ISSUED, names).fetchone()
    assert row is not None
    names["issued"] = row[0]
    connection.execute(_PAIRS, names)
    added = connection.execute(_ADD, names).fetchone()
    return added[0] if added else None


def _enter(
    connection: psycopg.Connection, number: int, order: Order, voucher_id: str, actor: str, reason: str
) -> None:
    row = connection.execute(_ACCOUNTS, (voucher_id,)).fetchone()
    assert row is not None
    connection.execute(_ENTER_ISSUED, {"number": number, "actor": actor, "reason": reason})
    _move(connection, number, row[1], row[2], order.asset, order.price)
    record(
        connection,
        actor=actor,
        action="voucher.issue",
        subject=voucher_id,
        reason=reason,
        details=asdict(order),
    )


def _move(
    connection: psycopg.Connection, entry: int, debit: int, credit: int, asset: str, amount: int
) -> None:
    if amount:
        connection.execute(_MOVE, (entry, debit, credit, asset, amount))


def _is_of(voucher: Voucher, order: Order) -> bool:
    ordered = (order.owner, order.price, order.amount, order.currency)
    return ordered == (voucher.owner, voucher.price, voucher.amount, voucher.currency)


def _check(order: Order) -> None:
    check_id("partner", order.partner_id)
    check_id("member", order.member_id)
    if order.key is not None:
        check_id("key", order.key)
    for field, asset in (("asset", order.asset), ("currency", order.currency)):
        if asset not in ASSETS:
            raise Rejected(field, f"{asset!r} is unknown", f"use {', '.join(sorted(ASSETS))} (XXX: points)")
    for field, value, least in (("price", order.price, 0), ("amount", order.amount, 1)):
        if not least <= value <= AMOUNT_MAX:
            raise Rejected(
                field, f"{value} is not from {least} to {AMOUNT_MAX}", "give minor units, or points"
            )


def _too_little(connection: psycopg.Connection, order: Order) -> Rejected:
    wallet = wallet_of(connection, order.owner)
    holds = amount_text(wallet.balance if wallet else 0, order.asset)
    price = f"{amount_text(order.price, order.asset)} {order.asset}"
    return Rejected("price", f"{price} is more than the {holds} in the wallet", "ask for less")
