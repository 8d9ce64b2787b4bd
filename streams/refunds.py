"""Stage: refunds, voids and declines: parked until their purchase is known, cases after clearing."""

from schemas.parked import ParkedDecision
from schemas.quarantine import REQUEUED
from schemas.times import Micros
from schemas.transactions import DECLINED, KINDS, REFUNDED, VOIDED, Transaction
from streams.conflicts import NotParked
from streams.purchase import KIND_CODES, CaseState, Cleared, Pair, Parked, Purchase, record_fact

TAKES_BACK = frozenset({REFUNDED, VOIDED, DECLINED})
"""Kinds that never raise a reward, and open a reversal case where one cleared."""


def park(
    purchase: Purchase,
    transaction: Transaction,
    clock: Micros,
    value: bytes,
    offset: int,
    seen_at: Micros | None = None,
) -> None:
    """Keeps an event whose purchase is unknown; `value` are the bytes it came in.

    One that was requeued waits anew, and was first seen at `seen_at`.
    """
    first_at = clock if seen_at is None else min(seen_at, clock)
    purchase.parked.append(
        Parked(
            kind=KIND_CODES[transaction.kind],
            part_id=transaction.part_id,
            merchant_id=transaction.merchant_id,
            currency=transaction.currency,
            amount=transaction.amount_minor or 0,
            arrived_at=first_at,
            value=value,
            offset=offset,
            anew_at=clock if first_at < clock else 0,
        )
    )


def join(purchase: Purchase) -> list[Parked]:
    """Applies what was parked to its purchase, now known; returns what contradicts it and leaves no trace."""
    strangers = []
    for parked in purchase.parked:
        if parked.merchant_id == purchase.merchant_id and parked.currency == purchase.currency:
            record_fact(purchase, KINDS[parked.kind], parked.amount, 0)
        else:
            strangers.append(parked)
            _forget(purchase, parked)
    purchase.parked = []
    return strangers


def overdue(purchase: Purchase, now: Micros, patience: Micros) -> list[Parked]:
    """Takes out the parked events that waited for `patience`, forgotten as if they never came."""
    late = [parked for parked in purchase.parked if parked.waits_since + patience <= now]
    for parked in late:
        take_out(purchase, parked)
    return late


def take_out(purchase: Purchase, parked: Parked) -> None:
    """Takes out one parked event, forgotten as if it never came."""
    purchase.parked.remove(parked)
    _forget(purchase, parked)


def decided_on(purchase: Purchase, decision: ParkedDecision) -> Parked | None:
    """The parked event that a decision is about; None when it is a repetition, and there is nothing to do.

    A decision is about what waited when it was made: one that is not later than the waiting was said before.
    Raises `NotParked` when the purchase has come, or when nothing is there that could wait anew.
    """
    of = f"{decision.kind} of {decision.external_id}"
    if purchase.merchant_id:
        problem = f"the {of} does not wait: its purchase is known"
        raise NotParked("external_id", problem, "see with `cashback why` whether it has joined")
    identity = (KIND_CODES[decision.kind], decision.part_id)
    found = next((each for each in purchase.parked if (each.kind, each.part_id) == identity), None)
    if found is None and decision.action == REQUEUED:
        problem = f"no {of} waits that could wait anew"
        raise NotParked("kind", problem, "look for it with `cashback quarantine list`")
    return None if found is None or decision.decided_at <= found.waits_since else found


def count_over_refund(purchase: Purchase) -> bool:
    """Whether a judged purchase is now, for the first time, refunded by more than was bought."""
    if purchase.over_refunded or not purchase.purchased_at or purchase.refunded <= purchase.gross:
        return False
    purchase.over_refunded = True
    return True


def revise_cases(pair: Pair, reward: int, kind: str, at: Micros) -> list[Cleared]:
    """The cleared cashbacks whose reversal case opens or changes, now that the pair earns `reward` in all.

    What is too much is looked for in the latest cashback first. Only a refund, void or decline opens a case,
    for the first time or because more is too much than was declined; a later capture may make one good again.
    """
    if not pair.cleared:
        return []
    # What an operator got back stays earned and lost: nothing else of the purchase pays for it, or gains.
    counted = [cleared for cleared in pair.cleared if not cleared.is_reversed or cleared.claimed]
    excess = max(0, sum([cleared.amount for cleared in counted]) - reward)
    revised = []
    for cleared in reversed(counted):
        shortfall = min(excess, cleared.amount)
        excess -= shortfall
        if cleared.claimed:
            cleared.shortfall = shortfall
            continue
        if cleared.state is CaseState.DECLINED:
            if shortfall <= cleared.shortfall or kind not in TAKES_BACK:
                continue
            cleared.state, cleared.opened_at = CaseState.OPEN, at
        elif shortfall == cleared.shortfall or (not cleared.revision and kind not in TAKES_BACK):
            continue
        cleared.shortfall = shortfall
        cleared.revision += 1
        cleared.opened_at = cleared.opened_at or at
        revised.append(cleared)
    return revised


def _forget(purchase: Purchase, parked: Parked) -> None:
    purchase.seen = [seen for seen in purchase.seen if (seen[0], seen[1]) != (parked.kind, parked.part_id)]
