"""The events a recomputation calls for, in the form of `cashback simulate --events` and in its order."""

from bisect import bisect_left
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
    source = {"source": {"type": "campaign", "campaign_id": cashback.program_id}}
    return head | {"amount": cashback.amount, "currency": cashback.currency} | purchase | source


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
    keyed = [
        (_place(result, cashback, transition, at), event(cashback, transition, at))
        for cashback in result.cashbacks.values()
        for transition, at in cashback.transitions()
    ]
    return [line for _, line in sorted(keyed, key=lambda pair: pair[0])]


def _place(result: Recomputation, cashback: Cashback, transition: str, at: int) -> tuple[Any, ...]:
    """Record, phase (0 due before it, 1 by it, 2 due after it), then the order inside of the phase."""
    who = (cashback.partner_id, cashback.member_id, cashback.transaction_ref, cashback.program_id)
    if transition == "created":
        return cashback.born_at_place, 1, 0, cashback.program_id, 1, ()
    after = cashback.ended_after_place
    assert after is not None
    if transition == "reverted" and cashback.reason != "AUTH_EXPIRED":
        return after, 1, 0, cashback.program_id, 0, ()
    if at <= result.clocks[after]:
        return after, 2, at, "", 0, who
    return bisect_left(result.clocks, at), 0, at, "", 0, who
