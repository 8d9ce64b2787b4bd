"""What publishers receive: the JSON bodies of cashback.created, .cleared and .reverted.

The form is fixed field for field, in order; nothing is ever added to it.
"""

from typing import Any

import msgspec

from schemas.times import to_iso

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


def webhook_body(record: str, datum: dict[str, Any]) -> bytes:
    """UTF-8 JSON of one event as publishers receive it."""
    return _encode(webhook_object(record, datum))


def webhook_object(record: str, datum: dict[str, Any]) -> dict[str, Any]:
    """The body before encoding; `datum` is the Avro datum with times in microseconds."""
    if record != "CashbackCreated":
        return {
            "event_id": datum["event_id"],
            "timestamp": to_iso(datum["timestamp"]),
            "type": EVENT_TYPES[record],
            "cashback_transaction_id": datum["cashback_transaction_id"],
            "transaction_id": datum["transaction_id"],
            "transaction_ref": datum["transaction_ref"],
        }
    return {
        "event_id": datum["event_id"],
        "timestamp": to_iso(datum["timestamp"]),
        "type": "cashback.created",
        "cashback_transaction_id": datum["cashback_transaction_id"],
        "amount": datum["amount"],
        "currency": datum["currency"],
        "transaction_id": datum["transaction_id"],
        "transaction_ref": datum["transaction_ref"],
        "source": _source(datum["source"]),
    }


def _source(source: dict[str, Any]) -> dict[str, Any]:
    kind = source["type"]
    fields = {name: source[name] for name in _SOURCE_FIELDS if source.get(name) is not None}
    return {"type": _SOURCE_TYPES.get(kind, kind), **fields}
