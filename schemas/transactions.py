"""A payment as partners say it: one message for each thing that happened to a purchase."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX, ISO_4217
from schemas.times import EARLIEST, LATEST, Micros, from_iso, in_range, to_iso

AUTHORIZED = "AUTHORIZED"
SETTLED = "SETTLED"
VOIDED = "VOIDED"
REFUNDED = "REFUNDED"
DECLINED = "DECLINED"
KINDS = (AUTHORIZED, SETTLED, VOIDED, REFUNDED, DECLINED)
CHANNELS = ("ONLINE", "IN_STORE")

LENGTH_MAX = 128
"""Characters of an id."""


class Transaction(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One event of one purchase, valid by construction of `checked`; times in microseconds UTC."""

    partner_id: str
    external_id: str
    member_id: str
    merchant_id: str
    kind: str
    currency: str
    occurred_at: Micros
    channel: str
    amount_minor: int | None = None
    part_id: str | None = None
    store_id: str | None = None
    mcc: str | None = None
    employee_id: str | None = None
    receipt_id: str | None = None
    webhook_id: str | None = None
    livemode: bool = True

    @property
    def key(self) -> bytes:
        """Message key: all that one member does lies in one partition."""
        return f"{self.partner_id}:{self.member_id}".encode()


FIELDS = Transaction.__struct_fields__
_REQUIRED_IDS = ("partner_id", "external_id", "member_id", "merchant_id")
_OPTIONAL_IDS = ("part_id", "store_id", "mcc", "employee_id", "receipt_id", "webhook_id")
_REQUIRED = (*_REQUIRED_IDS, "kind", "currency", "occurred_at", "channel")
_AMOUNT_OPTIONAL = frozenset({AUTHORIZED, VOIDED, DECLINED})

_encode = msgspec.msgpack.Encoder().encode


def payload_hash(transaction: Transaction) -> bytes:
    """16 bytes that tell two contents apart.

    Fields at their default are left out: a null equals a missing field, a field added later changes no hash.
    """
    return sha256(_encode(transaction)).digest()[:16]


def checked(datum: Mapping[str, Any]) -> Transaction:
    """The transaction in a decoded Avro datum. Raises `Rejected` naming the first field that is wrong."""
    transaction = Transaction(**datum)
    _check(transaction)
    return transaction


def from_fields(fields: tuple[Any, ...], *, plain: bool) -> Transaction:
    """As `checked`, of the fields in the order of the Avro schema.

    `plain`: every string among them is known to be 1 to 128 printable ASCII characters. Then little is left
    to look at; what does not pass that glance may still be right on a closer look.
    """
    (
        partner_id, external_id, member_id, merchant_id, kind, part_id, amount, currency, occurred_at,
        channel, store_id, mcc, employee_id, receipt_id, webhook_id, livemode,
    ) = fields  # fmt: skip
    transaction = Transaction(
        partner_id, external_id, member_id, merchant_id, kind, currency, occurred_at, channel, amount,
        part_id, store_id, mcc, employee_id, receipt_id, webhook_id, livemode,
    )  # fmt: skip
    if not (
        plain
        and ":" not in partner_id
        and (kind in _AMOUNT_OPTIONAL if amount is None else 0 <= amount <= AMOUNT_MAX)
        and currency in ISO_4217
        and EARLIEST <= occurred_at < LATEST
    ):
        _check(transaction)
    return transaction


def _check(transaction: Transaction) -> None:
    """Looks at every field and says what is wrong with the first that is."""
    for field in (*_REQUIRED_IDS, *_OPTIONAL_IDS):
        value = getattr(transaction, field)
        if value is not None:
            check_id(field, value)
    check_partner(transaction.partner_id)
    amount = transaction.amount_minor
    if amount is None:
        if transaction.kind not in _AMOUNT_OPTIONAL:
            raise Rejected("amount_minor", f"missing on {transaction.kind}", "send the amount in minor units")
    elif not 0 <= amount <= AMOUNT_MAX:
        problem = f"{amount} is negative" if amount < 0 else f"{amount} is above {AMOUNT_MAX}"
        remedy = "send minor units; a refund is a positive amount of kind REFUNDED"
        raise Rejected("amount_minor", problem, remedy)
    if transaction.currency not in ISO_4217:
        problem = f"{transaction.currency!r} is not an ISO 4217 code"
        raise Rejected("currency", problem, "send three capitals, e.g. EUR")
    in_range(transaction.occurred_at, "occurred_at")


def from_json(line: object) -> Transaction:
    """The transaction in one JSON object (timestamps ISO 8601 with a zone, optional fields may be missing).

    Raises `Rejected` naming the first field that is wrong.
    """
    if not isinstance(line, dict):
        raise Rejected(
            "line", "not a JSON object", "write one object a line, with the fields of a Transaction"
        )
    for field in line:
        if field not in FIELDS:
            raise Rejected(str(field), "unknown field", f"use only {', '.join(FIELDS)}")
    for field in _REQUIRED:
        if line.get(field) is None:
            raise Rejected(field, "missing", "it is required on every transaction")
    datum = {field: value for field, value in line.items() if value is not None}
    _check_types(datum)
    datum["occurred_at"] = from_iso(datum["occurred_at"], "occurred_at")
    return checked(datum)


def to_json(transaction: Transaction) -> dict[str, Any]:
    """The JSON form of `from_json`; fields at their default are left out."""
    line: dict[str, Any] = msgspec.to_builtins(transaction)
    line["occurred_at"] = to_iso(transaction.occurred_at)
    return line


def to_datum(transaction: Transaction) -> dict[str, Any]:
    """The Avro datum of a transaction."""
    return msgspec.structs.asdict(transaction)


def _check_types(datum: dict[str, Any]) -> None:
    for field in (*_REQUIRED_IDS, *_OPTIONAL_IDS, "currency"):
        if field in datum and not isinstance(datum[field], str):
            raise Rejected(field, f"{datum[field]!r} is not a string", "quote it")
    if datum["kind"] not in KINDS:
        raise Rejected("kind", f"{datum['kind']!r} is not a kind", f"use one of {', '.join(KINDS)}")
    if datum["channel"] not in CHANNELS:
        raise Rejected(
            "channel", f"{datum['channel']!r} is not a channel", f"use one of {', '.join(CHANNELS)}"
        )
    amount = datum.get("amount_minor")
    if amount is not None and type(amount) is not int:
        raise Rejected("amount_minor", f"{amount!r} is not an integer", "send minor units: 19.99 EUR is 1999")
    if type(datum.get("livemode", True)) is not bool:
        raise Rejected("livemode", f"{datum['livemode']!r} is not a boolean", "send true or false")


def check_partner(partner_id: str) -> None:
    """Raises `Rejected` when the id of a partner has the colon that ends it in message keys."""
    if ":" in partner_id:
        raise Rejected("partner_id", f"{partner_id!r} has a colon", "use a partner id without ':'")


def check_id(field: str, value: str, length_max: int = LENGTH_MAX) -> None:
    """Raises `Rejected` naming `field` when `value` is not 1–`length_max` characters without controls."""
    if not value:
        raise Rejected(field, "empty", f"send 1 to {length_max} characters")
    if len(value) > length_max:
        raise Rejected(field, f"{len(value)} characters long", f"send 1 to {length_max} characters")
    for character in value:
        # Controls would break ids (joined by U+001F), PostgreSQL (NUL) and logs; surrogates are not UTF-8.
        if character < " " or character == "\x7f" or "\ud800" <= character <= "\udfff":
            raise Rejected(field, f"contains the control character U+{ord(character):04X}", "remove it")
