"""Joins matching, reward and pending: what every program says to a purchase, first and whenever it changes."""

from schemas.transactions import Transaction
from streams import matching, pending
from streams.matching import AMOUNT_REASONS
from streams.program import Catalogue, Program
from streams.purchase import Pair, Purchase, Reason
from streams.reward import earned
from schemas.times import Micros


def judge(purchase: Purchase, transaction: Transaction, catalogue: Catalogue) -> None:
    """Judges a purchase by the first event that has an amount: one pair a program that names it."""
    at = transaction.occurred_at
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


def require_amount(purchase: Purchase, transaction: Transaction, catalogue: Catalogue) -> None:
    """Notes that every program that names the purchase waits for its first amount."""
    reason = Reason.TRANSACTION_VOID if purchase.void else Reason.AMOUNT_REQUIRED
    naming = catalogue.naming(transaction.partner_id, purchase.merchant_id, transaction.occurred_at)
    purchase.pairs = [Pair(program.program_id, program.version, reason) for program, _ in naming]


def judge_again(purchase: Purchase, catalogue: Catalogue, clock: Micros) -> None:
    """Brings every pair up to a changed gross or net: the waiting ones by their amount, the others by their reward."""
    programs = {id(pair): catalogue.get(pair.program_id, pair.version) for pair in purchase.pairs}
    taken = any(pair.sequence and not programs[id(pair)].stackable for pair in purchase.pairs)
    cleared = purchase.anything_cleared
    eligible: list[tuple[Pair, Program]] = []
    for pair in purchase.pairs:
        program = programs[id(pair)]
        if pending.is_expired(purchase, program, clock):
            continue
        if pair.sequence:
            _restate(purchase, pair, program)
        elif pair.reason in AMOUNT_REASONS and not cleared and (program.stackable or not taken):
            reason = _amount_reason(purchase, pair, program)
            if reason is None:
                eligible.append((pair, program))
            else:
                pair.reason = reason
    _choose(purchase, eligible)


def _choose(purchase: Purchase, eligible: list[tuple[Pair, Program]]) -> None:
    rivals = [program for _, program in eligible if not program.stackable]
    best = matching.winner(rivals, purchase.gross) if rivals else None
    for pair, program in eligible:
        if program.stackable or program is best:
            _restate(purchase, pair, program)
        elif best is not None:
            pair.reason = Reason.OUTRANKED
            pair.outranked_by = best.program_id


def _restate(purchase: Purchase, pair: Pair, program: Program) -> None:
    """Sets reason and amount of a pair that was chosen, from the purchase as it stands."""
    reward = reward_now(purchase, pair, program)
    if pair.cleared:
        # what cleared stays earned until an accounting user decides otherwise
        pair.reason, pair.amount = Reason.REWARDED, max(reward, pair.cleared_sum)
    elif reward:
        pair.reason, pair.amount = Reason.REWARDED, reward
    else:
        refused = _amount_reason(purchase, pair, program)
        empty = Reason.FULLY_REFUNDED if purchase.net == 0 else Reason.REWARD_ZERO
        pair.reason, pair.amount = refused or empty, 0


def reward_now(purchase: Purchase, pair: Pair, program: Program) -> int:
    """What a chosen pair earns in all on the purchase as it stands."""
    if purchase.void or (pair.floating and matching.amount_mismatch(program, purchase.gross)):
        return 0
    return earned(program, purchase.net, purchase.gross)


def _amount_reason(purchase: Purchase, pair: Pair, program: Program) -> Reason | None:
    if purchase.void:
        return Reason.TRANSACTION_VOID
    return matching.amount_mismatch(program, purchase.gross) if pair.floating else None
