"""Rows of the ledger's tables in the binary form that COPY reads.

COPY fills whole pages and plans nothing, which costs PostgreSQL a fifth less than INSERT … SELECT from a
staging table, with all triggers. What an event says is laid out when it is read, as the tail of a row; what
the ledger adds (numbers, accounts, commission) is its head. All of it fits the columns in `COPIES` and
`TRANSFERS`, in their order.
"""

from collections.abc import Iterable
from functools import lru_cache
from struct import Struct
from typing import TypeAlias

from schemas.times import Micros

COPIES = {
    "purchases": (
        "purchases (purchase_no, livemode, partner_id, transaction_ref, transaction_id, member_id, "
        "merchant_id)"
    ),
    "cashbacks": (
        "cashbacks (cashback_no, purchase_no, commission_bps, commission, funding_account, "
        "commission_pending_account, commission_revenue_account, pending_account, wallet_account, "
        "cashback_id, program_id, program_version, sequence, asset, amount, clear_at)"
    ),
    "entries": (
        "entries (entry_id, cashback_no, transition, step, event_id, event_at, payload_hash, silent, reason, "
        "basket_minor, employee_id, receipt_id, webhook_id)"
    ),
    "reversals": (
        "entries (entry_id, cashback_no, transition, step, event_id, event_at, payload_hash, silent, reason, "
        "case_id, actor, second_actor, note)"
    ),
    "webhook_messages": "webhook_messages (entry_id, event_id, body)",
    "webhook_queue": "webhook_queue (endpoint_id, cashback_no, step, entry_id)",
}
"""The tables with the columns that are copied into, but for the last one. Parents come first."""

TRANSFERS = "transfers (entry_id, leg, debit_account, credit_account, asset, amount)"
"""The last one: from its triggers on a batch holds the balances of its accounts."""

Leg: TypeAlias = tuple[int, int, int]
"""Debit account, credit account, amount."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_PG_EPOCH_MICROS = 946_684_800_000_000  # PostgreSQL counts microseconds from 2000-01-01

_length = Struct("!i").pack
_int2, _int4, _int8 = Struct("!ih").pack, Struct("!ii").pack, Struct("!iq").pack
_BOOLEANS = (b"\0\0\0\x01\0", b"\0\0\0\x01\x01")
# A row begins with how many columns it has, a value with how many bytes.
_purchase = Struct("!hiq").pack
_cashback = Struct("!hiqiqiiiqiqiqiqiqiq").pack
_entry = Struct("!hiqiq").pack
_transfer = Struct("!hiqihiqiqi3siq").pack
_message = Struct("!hiq").pack
_queued = Struct("!hiqiqihiq").pack


def text(value: str | None) -> bytes:
    """A text, or NULL."""
    return NULL if value is None else blob(value.encode())


repeated_text = lru_cache(10_000)(text)
"""The same, for texts that come again and again."""


def blob(value: bytes) -> bytes:
    """Bytes."""
    return _length(len(value)) + value


def int2(value: int) -> bytes:
    """A smallint."""
    return _int2(2, value)


def int4(value: int) -> bytes:
    """An integer."""
    return _int4(4, value)


def int8(value: int | None) -> bytes:
    """A bigint, or NULL."""
    return NULL if value is None else _int8(8, value)


def boolean(value: bool) -> bytes:
    """True or false."""
    return _BOOLEANS[value]


def instant(at: Micros | None) -> bytes:
    """A timestamptz, or NULL. Its binary form is the integer PostgreSQL keeps."""
    return NULL if at is None else _int8(8, at - _PG_EPOCH_MICROS)


def purchase(number: int, tail: bytes) -> bytes:
    """A row of `purchases`."""
    return _purchase(7, 8, number) + tail


def cashback(
    number: int,
    purchase_no: int,
    *,
    commission_bps: int,
    commission: int,
    accounts: tuple[int, int, int, int, int],
    tail: bytes,
) -> bytes:
    """A row of `cashbacks`; `accounts` in the order of `accounts.Accounts`."""
    funding, commission_pending, revenue, pending, wallet = accounts
    return (
        _cashback(
            *(16, 8, number, 8, purchase_no, 4, commission_bps, 8, commission),
            *(8, funding, 8, commission_pending, 8, revenue, 8, pending, 8, wallet),
        )
        + tail
    )


def entry(entry_id: int, cashback_no: int, tail: bytes) -> bytes:
    """A row of `entries`, of a reversal too: its tail tells who where others tell of the credit."""
    return _entry(13, 8, entry_id, 8, cashback_no) + tail


def transfers(entry_id: int, asset: bytes, legs: Iterable[Leg]) -> list[bytes]:
    """Rows of `transfers`, numbered from 1; none of nothing. Every asset has three letters."""
    return [
        _transfer(6, 8, entry_id, 2, leg, 8, debit, 8, credit, 3, asset, 8, amount)
        for leg, (debit, credit, amount) in enumerate(legs, 1)
        if amount
    ]


def message(entry_id: int, tail: bytes) -> bytes:
    """A row of `webhook_messages`."""
    return _message(3, 8, entry_id) + tail


def queued(endpoint_id: int, cashback_no: int, step: int, entry_id: int) -> bytes:
    """A row of `webhook_queue`."""
    return _queued(4, 8, endpoint_id, 8, cashback_no, 2, step, 8, entry_id)
