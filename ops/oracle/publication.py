"""The events a recomputation calls for, in the form of `cashback simulate --events` and in its order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ops.oracle.result import Cashback, Recomputation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def iso(at: int) -> str:
    """ISO 8601 with Z; a fraction only if not zero, no trailing zeros."""
    text = (_EPOCH + timedelta(microseconds=at)).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def webhook(cashback: Cashback, transition: str, at: int) -> dict[str, Any]:
    """The body a publisher receives."""
    head = {
        "event_id": cashback.event_id(transition),
        "timestamp": iso(at),
        "type": f"cashback.{transition}",
        "cashback_transaction_id": cashback.cashback_transaction_id,
    }
    purchase = {"transaction_id": cashback.transaction_id, "transaction_ref": cashback.transaction_ref}
    if transition != "created":
        return head | purchase
    amount = {"amount": cashback.amount, "currency": cashback.currency}
    return head | amount | purchase | {"source": dict(cashback.source)}


def event(cashback: Cashback, transition: str, at: int) -> dict[str, Any]:
    """A line of `cashback simulate --events`."""
    return webhook(cashback, transition, at) | {
        "partner_id": cashback.partner_id,
        "member_id": cashback.member_id,
        "program_id": cashback.program_id,
        "program_version": cashback.program_version,
        "sequence": cashback.sequence,
        "livemode": cashback.livemode,
    }


def events(result: Recomputation) -> Iterator[dict[str, Any]]:
    """All events, by cashback; the order between cashbacks means nothing."""
    for cashback in result.cashbacks.values():
        for transition, at in cashback.transitions():
            yield event(cashback, transition, at)


def in_log_order(result: Recomputation) -> list[dict[str, Any]]:
    """All events as a single log that is one partition must bring them (contract.md §4, "time")."""
    return [event(result.cashbacks[name], transition, at) for name, transition, at in result.log]
