"""Stage: which of the programs that name a purchase reward it, and why the others do not."""

from collections.abc import Iterable

from schemas.money import POINTS
from schemas.transactions import Transaction
from streams.program import TYPE_RANKS, Program
from streams.purchase import Reason
from streams.reward import reward_on

AMOUNT_REASONS = frozenset(
    {Reason.BELOW_MIN_SPEND, Reason.ABOVE_MAX_SPEND, Reason.REWARD_ZERO, Reason.FULLY_REFUNDED}
)
"""A pair that failed only by one of these waits for the amount to change."""


def mismatch(program: Program, in_force: bool, transaction: Transaction) -> Reason | None:
    """The first filter a purchase fails, judged by its judging event; None when it passes all."""
    at = transaction.occurred_at
    if program.store_ids is not None and transaction.store_id not in program.store_ids:
        return Reason.STORE_MISMATCH
    if program.mccs is not None and transaction.mcc not in program.mccs:
        return Reason.MCC_MISMATCH
    if program.channels is not None and transaction.channel not in program.channels:
        return Reason.CHANNEL_MISMATCH
    if transaction.currency != program.currency:
        return Reason.CURRENCY_MISMATCH
    if not in_force or at < program.valid_from or (program.valid_to is not None and at >= program.valid_to):
        return Reason.OUTSIDE_VALIDITY
    if program.window is not None and not program.window.holds(at):
        return Reason.OUTSIDE_SCHEDULE
    return None


def amount_mismatch(program: Program, gross: int) -> Reason | None:
    """Why a purchase of `gross` minor units does not qualify by its amount; None when it does."""
    if gross < program.min_spend:
        return Reason.BELOW_MIN_SPEND
    if program.max_spend is not None and gross > program.max_spend:
        return Reason.ABOVE_MAX_SPEND
    if reward_on(program, gross) == 0:
        return Reason.REWARD_ZERO
    return None


def winner(eligible: Iterable[Program], gross: int) -> Program:
    """The one program that rewards a purchase of `gross`, of at least one that do not stack."""
    return min(
        eligible,
        key=lambda program: (
            -TYPE_RANKS[program.type],
            -program.priority,
            program.asset == POINTS,
            -reward_on(program, gross),
            program.valid_from,
            program.program_id,
        ),
    )
