"""What publishers receive: the JSON bodies of cashback.created, .cleared and .reverted.

The form is fixed field for field, in order; nothing is ever added to it.
"""

from typing import Any

import msgspec

from schemas.times import Micros, to_iso

EVENT_TYPES = {
    "CashbackCreated": "cashback.created",
    "CashbackCleared": "cashback.cleared",
    "CashbackReverted": "cashback.reverted",
}

_SOURCE_TYPES = {"loyalty_program_redemption": "loyalty-program-redemption"}
_SOURCE_FIELDS = (
    *("campaign_id", "clip_id", "airdrop_id", "variant_id", "creative_id"),
    *("loyalty_program_id", "redemption_id", "external_id"),
)
_encode = msgspec.json.Encoder().encode


class _Resolution(msgspec.Struct, frozen=True, gc=False):
    event_id: str
    timestamp: str
    type: str
    cashback_transaction_id: str
    transaction_id: str
    transaction_ref: str


class _Creation(msgspec.Struct, frozen=True, gc=False):
    event_id: str
    timestamp: str
    type: str
    cashback_transaction_id: str
    amount: int
    currency: str
    transaction_id: str
    transaction_ref: str
    source: dict[str, Any]


def webhook_body(record: str, datum: dict[str, Any]) -> bytes:
    """UTF-8 JSON of one event as publishers receive it; `datum` is the Avro datum, times in microseconds."""
    return _encode(_said(record, datum))


def webhook_object(record: str, datum: dict[str, Any]) -> dict[str, Any]:
    """The body before encoding; `datum` as in `webhook_body`."""
    said: dict[str, Any] = msgspec.to_builtins(_said(record, datum))
    return said


def creation_body(
    *,
    event_id: str,
    at: Micros,
    cashback_id: str,
    amount: int,
    currency: str,
    transaction_id: str,
    reference: str,
    source: dict[str, Any],
) -> bytes:
    """As `webhook_body` of a CashbackCreated."""
    moment, kind = to_iso(at), EVENT_TYPES["CashbackCreated"]
    told = _source(source)
    return _encode(
        _Creation(event_id, moment, kind, cashback_id, amount, currency, transaction_id, reference, told)
    )


def resolution_body(
    record: str, *, event_id: str, at: Micros, cashback_id: str, transaction_id: str, reference: str
) -> bytes:
    """As `webhook_body` of a CashbackCleared or CashbackReverted."""
    return _encode(
        _Resolution(event_id, to_iso(at), EVENT_TYPES[record], cashback_id, transaction_id, reference)
    )


def _said(record: str, datum: dict[str, Any]) -> _Creation | _Resolution:
    event_id, moment, kind = datum["event_id"], to_iso(datum["timestamp"]), EVENT_TYPES[record]
    cashback_id = datum["cashback_transaction_id"]
    purchase = (datum["transaction_id"], datum["transaction_ref"])
    if record != "CashbackCreated":
        return _Resolution(event_id, moment, kind, cashback_id, *purchase)
    credited = (datum["amount"], datum["currency"])
    return _Creation(event_id, moment, kind, cashback_id, *credited, *purchase, _source(datum["source"]))


def _source(source: dict[str, Any]) -> dict[str, Any]:
    kind = source["type"]
    fields = {name: source[name] for name in _SOURCE_FIELDS if source.get(name) is not None}
    return {"type": _SOURCE_TYPES.get(kind, kind), **fields}
