"""Stage: is this event new, a repetition, or something else under a known identity?"""

import msgspec

from schemas.transactions import AUTHORIZED, SETTLED, Transaction, payload_hash
from streams.purchase import KIND_CODES, Purchase


class Fresh(msgspec.Struct, frozen=True):
    """Not seen before."""

    payload_hash: bytes


class Duplicate(msgspec.Struct, frozen=True):
    """Seen before with the same content: counted, nothing else happens."""


class Conflict(msgspec.Struct, frozen=True):
    """Contradicts what arrived first, which stands; `problem` says how."""

    problem: str


DUPLICATE = Duplicate()


def judge_identity(purchase: Purchase, transaction: Transaction) -> Fresh | Duplicate | Conflict:
    """Compares an event with what is known of its purchase."""
    digest = payload_hash(transaction)
    code = KIND_CODES[transaction.kind]
    for kind, part_id, first in purchase.seen:
        if kind == code and part_id == transaction.part_id:
            if first == digest:
                return DUPLICATE
            return Conflict(f"payload hash {digest.hex()} under an identity that came first as {first.hex()}")
    if purchase.merchant_id and (
        purchase.merchant_id != transaction.merchant_id or purchase.currency != transaction.currency
    ):
        return Conflict(
            f"merchant {transaction.merchant_id}, currency {transaction.currency}, but the purchase is "
            f"at {purchase.merchant_id} in {purchase.currency}"
        )
    return Fresh(digest)


def remember(purchase: Purchase, transaction: Transaction, digest: bytes) -> None:
    """Notes the identity of an accepted event."""
    purchase.seen.append((KIND_CODES[transaction.kind], transaction.part_id, digest))


def opens(transaction: Transaction) -> bool:
    """Whether the event can be a purchase's first; the others wait for one that can."""
    return transaction.kind in (AUTHORIZED, SETTLED)
