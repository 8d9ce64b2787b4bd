"""Joins matching and reward: what every program says to a purchase, at first and while its amount is open.

A decision is the word of the judging. What refunds do to a reward later is told by events, not by decisions.
"""

from schemas.times import Micros
from schemas.transactions import Transaction
from streams import matching, pending
from streams.matching import AMOUNT_REASONS
from streams.program import Catalogue, Program
from streams.purchase import Pair, Purchase, Reason
from streams.reward import earned


def judge(purchase: Purchase, transaction: Transaction, catalogue: Catalogue) -> bool:
    """Judges a purchase by the first event that has an amount, one pair a program that names it.

    Returns whether that is news: what AMOUNT_REQUIRED was said of may turn out to be said by nobody.
    """
    at = transaction.occurred_at
    before = purchase.pairs
    purchase.purchased_at = at
    purchase.pairs = []
    eligible: list[tuple[Pair, Program]] = []
    gross = purchase.gross
    for program, in_force in catalogue.naming(transaction.partner_id, purchase.merchant_id, at):
        pair = Pair(program.program_id, program.version, Reason.REWARDED)
        purchase.pairs.append(pair)
        reason: Reason | None = Reason.TRANSACTION_VOID if purchase.void else None
        reason = reason or matching.mismatch(program, in_force, transaction)
        if reason is None:
            reason = matching.amount_mismatch(program, gross)
            pair.floating = reason is not None
        if reason is None:
            eligible.append((pair, program))
        else:
            pair.reason = reason
    _choose(purchase, eligible)
    return purchase.pairs != before


def require_amount(purchase: Purchase, transaction: Transaction, catalogue: Catalogue) -> bool:
    """Notes that every program that names the purchase waits for its first amount; whether that is news."""
    reason = Reason.TRANSACTION_VOID if purchase.void else Reason.AMOUNT_REQUIRED
    naming = catalogue.naming(transaction.partner_id, purchase.merchant_id, transaction.occurred_at)
    before = purchase.pairs
    purchase.pairs = [Pair(program.program_id, program.version, reason) for program, _ in naming]
    return purchase.pairs != before


def waits(purchase: Purchase) -> bool:
    """Whether any pair waits for the amount to change."""
    for pair in purchase.pairs:  # noqa: SIM110 - any() costs three times as much for the usual one
        if pair.reason in AMOUNT_REASONS:
            return True
    return False


def judge_again(purchase: Purchase, catalogue: Catalogue, clock: Micros) -> bool:
    """Judges the waiting pairs again by a changed gross or net; whether any of them changed.

    None waits any more once anything of the purchase cleared.
    """
    waiting = [pair for pair in purchase.pairs if pair.reason in AMOUNT_REASONS]
    if not waiting or purchase.anything_cleared:
        return False
    before = [pair.reason for pair in waiting]
    taken = any(
        pair.sequence and not catalogue.get(pair.program_id, pair.version).stackable
        for pair in purchase.pairs
    )
    eligible: list[tuple[Pair, Program]] = []
    for pair in waiting:
        program = catalogue.get(pair.program_id, pair.version)
        if (taken and not program.stackable) or pending.is_expired(purchase, program, clock):
            continue
        reason = _amount_reason(purchase, pair, program)
        if reason is None:
            eligible.append((pair, program))
        else:
            pair.reason = reason
    _choose(purchase, eligible)
    return before != [pair.reason for pair in waiting]


def _choose(purchase: Purchase, eligible: list[tuple[Pair, Program]]) -> None:
    rivals = [program for _, program in eligible if not program.stackable]
    # Most purchases have one: it need not be ranked.
    best = matching.winner(rivals, purchase.gross) if len(rivals) > 1 else rivals[0] if rivals else None
    for pair, program in eligible:
        if program.stackable or program is best:
            _reward(purchase, pair, program)
        elif best is not None:
            pair.reason = Reason.OUTRANKED
            pair.outranked_by = best.program_id


def _reward(purchase: Purchase, pair: Pair, program: Program) -> None:
    """Rewards a chosen pair on what is left of the purchase; without a reward it waits."""
    pair.amount = reward_now(purchase, pair, program)
    if pair.amount:
        pair.reason = Reason.REWARDED
    else:
        pair.reason = Reason.REWARD_ZERO if purchase.net else Reason.FULLY_REFUNDED


def reward_now(purchase: Purchase, pair: Pair, program: Program) -> int:
    """What a chosen pair earns in all on the purchase as it stands."""
    if purchase.void or (pair.floating and matching.amount_mismatch(program, purchase.gross)):
        return 0
    return earned(program, purchase.net, purchase.gross)


def _amount_reason(purchase: Purchase, pair: Pair, program: Program) -> Reason | None:
    if purchase.void:
        return Reason.TRANSACTION_VOID
    return matching.amount_mismatch(program, purchase.gross) if pair.floating else None
