"""Stage: refunds, voids and declines: parked until their purchase is known, cases after clearing."""

from schemas.times import Micros
from schemas.transactions import DECLINED, KINDS, REFUNDED, VOIDED, Transaction
from streams.purchase import KIND_CODES, CaseState, Cleared, Pair, Parked, Purchase, record_fact

TAKES_BACK = frozenset({REFUNDED, VOIDED, DECLINED})
"""Kinds that never raise a reward, and open a reversal case where one cleared."""


def park(purchase: Purchase, transaction: Transaction, clock: Micros, value: bytes, offset: int) -> None:
    """Keeps an event whose purchase is unknown; `value` are the bytes it came in."""
    purchase.parked.append(
        Parked(
            kind=KIND_CODES[transaction.kind],
            part_id=transaction.part_id,
            merchant_id=transaction.merchant_id,
            currency=transaction.currency,
            amount=transaction.amount_minor or 0,
            arrived_at=clock,
            value=value,
            offset=offset,
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
    late = [parked for parked in purchase.parked if parked.arrived_at + patience <= now]
    for parked in late:
        purchase.parked.remove(parked)
        _forget(purchase, parked)
    return late


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
