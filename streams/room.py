"""The bounds of one purchase: nothing a sender does grows its row past what topics take."""

from schemas.errors import Rejected
from schemas.money import AMOUNT_MAX
from schemas.transactions import AUTHORIZED, DECLINED, SETTLED, VOIDED, Transaction
from streams import dedup
from streams.program import Catalogue
from streams.purchase import Purchase

EVENTS_MAX = 1_000
"""Accepted events a purchase: what comes after is rejected, so that one row stays small."""
PARKED_MAX = 100
"""Events that wait for one unknown purchase, each with its bytes."""
LAST_WORDS_MAX = 10
"""Voids and declines that are still taken beyond either bound."""
PROGRAMS_MAX = 1_500
"""Programs that may name a purchase: its row has a word of each, with ids of up to 512 bytes."""
CLEARED_MAX = 10_000
"""Cleared cashbacks of a purchase, those of all programs together."""


def check(purchase: Purchase, transaction: Transaction, catalogue: Catalogue) -> None:
    """Raises `Rejected` when there is no room for an event that was never seen."""
    _check_events(purchase, transaction)
    _check_amount(purchase, transaction)
    if dedup.opens(transaction) and not purchase.purchased_at:
        _check_programs(transaction, catalogue)


def _check_events(purchase: Purchase, transaction: Transaction) -> None:
    room = LAST_WORDS_MAX if transaction.kind in (VOIDED, DECLINED) else 0
    if len(purchase.seen) >= EVENTS_MAX + room:
        problem = f"more than {EVENTS_MAX} events of one purchase"
        raise Rejected("external_id", problem, "use a new external_id")
    if len(purchase.parked) >= PARKED_MAX + room and not dedup.opens(transaction):
        problem = f"more than {PARKED_MAX} events wait for a purchase that never came"
        raise Rejected("external_id", problem, "send the purchase first")
    if len(purchase.pairs) * EVENTS_MAX > CLEARED_MAX and dedup.opens(transaction):
        cleared = sum(len(pair.cleared) for pair in purchase.pairs)
        if cleared >= CLEARED_MAX:
            problem = f"{cleared} cashbacks of one purchase cleared"
            raise Rejected("external_id", problem, "use a new external_id")


def _check_amount(purchase: Purchase, transaction: Transaction) -> None:
    kind, so_far = transaction.kind, 0
    if kind == SETTLED:
        so_far = purchase.captured
    elif kind == AUTHORIZED:
        so_far = purchase.authorized
    if so_far + (transaction.amount_minor or 0) > AMOUNT_MAX:
        problem = f"brings the purchase above {AMOUNT_MAX}"
        raise Rejected("amount_minor", problem, "send minor units of one purchase")


def _check_programs(transaction: Transaction, catalogue: Catalogue) -> None:
    partner_id, merchant_id = transaction.partner_id, transaction.merchant_id
    if catalogue.most_naming(partner_id, merchant_id) <= PROGRAMS_MAX:
        return
    many = len(catalogue.naming(partner_id, merchant_id, transaction.occurred_at))
    if many > PROGRAMS_MAX:
        problem = f"{many} programs name a purchase at {merchant_id}, above {PROGRAMS_MAX}"
        remedy = "publish versions of those that ended which name another merchant, then requeue this"
        raise Rejected("merchant_id", problem, remedy)
