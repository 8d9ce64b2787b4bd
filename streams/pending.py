"""Stage: a reward's life from pending to cleared or reverted.

Pure: what should be pending goes in, the transitions that make it so come out.
"""

import msgspec

from schemas.times import Micros
from schemas.transactions import DECLINED, REFUNDED, VOIDED
from streams.program import Program
from streams.purchase import Cleared, Pair, Purchase

AUTH_EXPIRED = "AUTH_EXPIRED"
REVOKED = "REVOKED"
REVERSED = "REVERSED"
_REASONS = {REFUNDED: "REFUNDED", VOIDED: "VOIDED", DECLINED: "DECLINED", REVOKED: "REVOKED"}


class Word(msgspec.Struct, frozen=True, array_like=True):
    """What is known of the event behind a change that no transaction brings itself."""

    kind: str
    occurred_at: Micros
    employee_id: str | None = None
    receipt_id: str | None = None
    webhook_id: str | None = None


class Created(msgspec.Struct, frozen=True):
    """A cashback of `amount` is pending from `at` on; `clear_at`: where no hold decides when it clears."""

    sequence: int
    amount: int
    at: Micros
    clear_at: Micros | None = None


class ClearedNow(msgspec.Struct, frozen=True):
    """A cashback cleared at `at`."""

    sequence: int
    at: Micros


class By(msgspec.Struct, frozen=True):
    """Who decided something, alone or as two, and why."""

    actor: str
    note: str
    second_actor: str | None = None


class Reverted(msgspec.Struct, frozen=True):
    """A cashback was taken back at `at`: while it was pending or, decided `by` somebody, after it cleared."""

    sequence: int
    reason: str
    at: Micros
    by: By | None = None


Transition = Created | ClearedNow | Reverted


def adjust(pair: Pair, desired: int, kind: str, at: Micros) -> list[Transition]:
    """Makes `desired` the pending amount of a pair because an event of `kind` happened at `at`.

    A cashback never changes its amount: the old one is reverted, one of the next sequence created.
    """
    if pair.pending == desired:
        return []
    transitions: list[Transition] = []
    if pair.pending:
        transitions.append(Reverted(pair.sequence, _REASONS.get(kind, "RECOMPUTED"), at))
    if desired:
        pair.sequence += 1
        pair.created_at = at
        transitions.append(Created(pair.sequence, desired, at))
    pair.pending = desired
    return transitions


def clears_at(purchase: Purchase, pair: Pair, program: Program) -> Micros:
    """When a pending reward of a settled purchase clears."""
    anchor = purchase.settled_at if program.hold_from_settled else purchase.purchased_at
    return max(purchase.settled_at, anchor + program.hold, pair.created_at)


def expires_at(purchase: Purchase, program: Program) -> Micros:
    """When an unsettled purchase loses its reward."""
    return purchase.purchased_at + program.auth_expiry


def is_expired(purchase: Purchase, program: Program, clock: Micros) -> bool:
    """Whether a purchase waited too long to be settled."""
    return not purchase.settled_at and expires_at(purchase, program) <= clock


def resolves_at(purchase: Purchase, pair: Pair, program: Program) -> Micros:
    """When a pending reward resolves by itself: clears once settled, expires while it is not."""
    return clears_at(purchase, pair, program) if purchase.settled_at else expires_at(purchase, program)


def fire(purchase: Purchase, pair: Pair, due: Micros) -> Transition:
    """Resolves the pending reward of a pair that is due."""
    amount, pair.pending = pair.pending, 0
    if not purchase.settled_at:
        return Reverted(pair.sequence, AUTH_EXPIRED, due)
    pair.cleared.append(Cleared(pair.sequence, amount))
    return ClearedNow(pair.sequence, due)
