"""Payments as tests write them."""

from typing import Any

from schemas.entitlements import Entitlement
from schemas.entitlements import from_json as entitlement_from_json
from schemas.transactions import Transaction, from_json


def line(**changes: Any) -> dict[str, Any]:
    """A good line of a file of transactions, with `changes`; None leaves a field out."""
    fields: dict[str, Any] = {
        "partner_id": "publisher",
        "external_id": "order-1",
        "member_id": "ann",
        "merchant_id": "grocer",
        "kind": "AUTHORIZED",
        "amount_minor": 1999,
        "currency": "EUR",
        "occurred_at": "2017-03-01T10:00:00Z",
        "channel": "IN_STORE",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def payment(**changes: Any) -> Transaction:
    """The transaction of such a line."""
    return from_json(line(**changes))


def clip_line(**changes: Any) -> dict[str, Any]:
    """A good line of a file of entitlements, with `changes`."""
    fields = {
        "kind": "CLIPPED",
        "partner_id": "publisher",
        "member_id": "ann",
        "clip_id": "clip-1",
        "program_id": "deal",
        "granted_at": "2017-03-01T09:00:00Z",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def clip(**changes: Any) -> Entitlement:
    """The entitlement of such a line."""
    return entitlement_from_json(clip_line(**changes))
