"""Joins matching and reward: what every program says to a purchase, at first and while its amount is open.

A decision is the word of the judging. What refunds do to a reward later is told by events, not by decisions.
"""

from schemas.times import Micros
from schemas.transactions import Transaction
from streams import loyalty, matching, pending
from streams.allowances import Allowances, Figures
from streams.announce import Cause
from streams.budgets import Budgets
from streams.entitlements import Found
from streams.loyalty import Cards
from streams.matching import AMOUNT_REASONS
from streams.program import Catalogue, Program
from streams.purchase import Pair, Purchase, PurchaseId, Reason, Stake
from streams.regulars import Regulars
from streams.reward import bracket_of, earned
from streams.rows import Rows
from streams.usage import local_day

_GROSS_REASONS = frozenset({Reason.BELOW_MIN_SPEND, Reason.ABOVE_MAX_SPEND})
Word = tuple[Reason, int, str | None]


class Judge:
    """Judges the purchases of a partition, by its programs and by what its members have and had."""

    def __init__(self, rows: Rows, catalogue: Catalogue, budgets: Budgets) -> None:
        self.allowances = Allowances(rows, budgets)
        self.cards = Cards(rows)
        self.regulars = Regulars(rows)
        self._catalogue = catalogue

    def judge(self, who: PurchaseId, purchase: Purchase, transaction: Transaction, clock: Micros) -> bool:
        """Judges a purchase by the first event that has an amount, one pair a program that names it.

        Returns whether that is news: what AMOUNT_REQUIRED was said of may turn out to be said by nobody.
        """
        at = transaction.occurred_at
        before = purchase.pairs
        purchase.purchased_at = at
        purchase.pairs = []
        eligible: list[tuple[Pair, Program]] = []
        gross, counted = purchase.gross, self._catalogue.counted
        for program, in_force in self._catalogue.naming(transaction.partner_id, purchase.merchant_id, at):
            pair = Pair(program.program_id, program.version, Reason.REWARDED)
            purchase.pairs.append(pair)
            reason: Reason | None = Reason.TRANSACTION_VOID if purchase.void else None
            reason = reason or matching.mismatch(program, in_force, transaction)
            if reason is None and not program.is_plain:
                reason = self._not_for_member(who, pair, program, at)
            if reason is None and (program.has_budget or program.program_id in counted):
                pair.stake = pair.stake or Stake()
                pair.stake.day = local_day(program, at)
            if reason is None and program.is_loyalty:
                pair.stake = pair.stake or Stake()
                pair.reason = self._first_stamp(who, purchase, pair, program, transaction, clock)
                continue
            if reason is None:
                reason = matching.amount_mismatch(program, gross)
                pair.floating = reason is not None
            if reason is None and pair.stake is not None:
                reason = self.allowances.refusal(who, pair, program)
            if reason is None:
                eligible.append((pair, program))
            else:
                pair.reason = reason
        self._choose(who, purchase, eligible, transaction)
        return purchase.pairs != before

    def figures(self, who: PurchaseId, purchase: Purchase) -> dict[str, Figures]:
        """By program_id, the figures behind what was decided; nothing for plain campaigns without brackets.

        To be asked before what was decided is booked.
        """
        told: dict[str, Figures] = {}
        laddered = self._catalogue.laddered
        for pair in purchase.pairs:
            if pair.stake is None and pair.program_id not in laddered:
                continue
            program = self._catalogue.get(pair.program_id, pair.version)
            figures = told[pair.program_id] = self.allowances.figures(who, pair, program)
            if pair.reason is Reason.REWARDED:
                figures["reward_minor"] = reward_now(purchase, pair, program)
            if len(program.rungs) > 1 and purchase.gross > 0:
                figures["bracket"] = bracket_of(program, purchase.gross)
            if program.is_loyalty and pair.stake is not None:
                figures["stamps"] = self.cards.stamps(who, program, pair.stake, purchase.net)
                figures["threshold"] = program.threshold_count or program.threshold_total
        return told

    def require_amount(self, purchase: Purchase, transaction: Transaction) -> bool:
        """Notes that every program that names it waits for its first amount; whether that is news."""
        reason = Reason.TRANSACTION_VOID if purchase.void else Reason.AMOUNT_REQUIRED
        naming = self._catalogue.naming(transaction.partner_id, purchase.merchant_id, transaction.occurred_at)
        before = purchase.pairs
        purchase.pairs = [Pair(program.program_id, program.version, reason) for program, _ in naming]
        return purchase.pairs != before

    def judge_again(self, who: PurchaseId, purchase: Purchase, cause: Cause, clock: Micros) -> bool:
        """Judges the waiting pairs again by a changed gross or net; whether any of them changed.

        None waits any more once anything of the purchase cleared. Stamps are given and taken at any time.
        """
        before = [_word(pair) for pair in purchase.pairs]
        has_cleared = purchase.anything_cleared
        taken = False
        waiting: list[tuple[Pair, Program]] = []
        for pair in purchase.pairs:
            program = self._catalogue.get(pair.program_id, pair.version)
            if program.is_loyalty:
                if pair.stake is not None:
                    self._stamp_again(who, purchase, pair, program, cause, clock)
            elif pair.reason in AMOUNT_REASONS:
                waiting.append((pair, program))
            elif program.is_rival and (pair.sequence or (pair.stake is not None and pair.stake.waits)):
                taken = True
        if waiting and not has_cleared:
            self._wait_no_more(who, purchase, waiting, taken, cause, clock)
        return before != [_word(pair) for pair in purchase.pairs]

    def _wait_no_more(
        self,
        who: PurchaseId,
        purchase: Purchase,
        waiting: list[tuple[Pair, Program]],
        taken: bool,
        cause: Cause,
        clock: Micros,
    ) -> None:
        eligible: list[tuple[Pair, Program]] = []
        for pair, program in waiting:
            if (taken and not program.stackable) or pending.is_expired(purchase, program, clock):
                continue
            reason = _amount_reason(purchase, pair, program) or self.allowances.refusal(who, pair, program)
            if reason is None:
                eligible.append((pair, program))
            else:
                pair.reason = reason
        self._choose(who, purchase, eligible, cause)

    def resolve(
        self, who: PurchaseId, purchase: Purchase, pair: Pair, program: Program, cause: Cause
    ) -> None:
        """Decides a pair that waited for a lease of its budget, now that more, or nothing more, is at hand.

        When it may not earn after all, those it outranked are chosen from anew. It may go on waiting.
        """
        reason = Reason.TRANSACTION_VOID if purchase.void else self.allowances.refusal(who, pair, program)
        if reason is None:
            self._reward(who, purchase, pair, program, cause)
        else:
            pair.reason = reason
            self._choose_other(who, purchase, pair, cause)
        if program.is_loyalty and pair.reason is not Reason.REWARDED:
            assert pair.stake is not None
            self.cards.undo(who, program, pair.stake, own=purchase.net if pair.stake.qualified else 0)

    def _choose_other(self, who: PurchaseId, purchase: Purchase, loser: Pair, cause: Cause) -> None:
        """Chooses among those that were outranked by one that may not earn after all."""
        rivals: list[tuple[Pair, Program]] = []
        for pair in purchase.pairs:
            if pair.reason is not Reason.OUTRANKED or pair.outranked_by != loser.program_id:
                continue
            program = self._catalogue.get(pair.program_id, pair.version)
            pair.outranked_by = None
            refused = self.allowances.refusal(who, pair, program)
            if refused is None:
                rivals.append((pair, program))
            else:
                pair.reason = refused
        self._choose(who, purchase, rivals, cause)

    def _not_for_member(self, who: PurchaseId, pair: Pair, program: Program, at: Micros) -> Reason | None:
        """Why a purchase that passes the filters is not rewarded for whose it is."""
        if program.entitles_by:
            found = self.allowances.entitlements.find(who, program, at)
            if not isinstance(found, Found):
                return found
            pair.stake = Stake(found.id, found.variant_id, found.creative_id)
        if program.new_members_only and self.regulars.knows(who, program.merchant_ids):
            return Reason.NOT_NEW_MEMBER
        return None

    def _choose(
        self, who: PurchaseId, purchase: Purchase, eligible: list[tuple[Pair, Program]], cause: Cause
    ) -> None:
        rivals = [program for _, program in eligible if not program.stackable]
        # Most purchases have one: it need not be ranked.
        best = matching.winner(rivals, purchase.gross) if len(rivals) > 1 else rivals[0] if rivals else None
        for pair, program in eligible:
            if program.stackable or program is best:
                self._reward(who, purchase, pair, program, cause)
            elif best is not None:
                pair.reason = Reason.OUTRANKED
                pair.outranked_by = best.program_id

    def _reward(
        self, who: PurchaseId, purchase: Purchase, pair: Pair, program: Program, cause: Cause
    ) -> None:
        """Rewards a chosen pair on what is left of the purchase; without a reward it waits."""
        reward = reward_now(purchase, pair, program)
        pair.amount = reward
        if not reward:
            pair.reason = Reason.REWARD_ZERO if purchase.net else Reason.FULLY_REFUNDED
            return
        pair.reason = Reason.REWARDED
        if pair.stake is not None:
            must_wait = self.allowances.must_wait(who, pair, program, reward, cause)
            pair.amount = 0 if must_wait else self.allowances.cut(who, pair, program, reward)

    def _first_stamp(
        self,
        who: PurchaseId,
        purchase: Purchase,
        pair: Pair,
        program: Program,
        cause: Cause,
        clock: Micros,
    ) -> Reason:
        stamped = self._stamp(who, purchase, pair, program, cause, clock)
        return stamped or _gross_reason(purchase, program) or Reason.THRESHOLD_NOT_REACHED

    def _stamp_again(
        self,
        who: PurchaseId,
        purchase: Purchase,
        pair: Pair,
        program: Program,
        cause: Cause,
        clock: Micros,
    ) -> None:
        stamped = self._stamp(who, purchase, pair, program, cause, clock)
        if stamped is not None:
            pair.reason = stamped
            pair.amount = pair.amount if stamped is Reason.REWARDED else 0
        elif pair.reason in _GROSS_REASONS and not (
            purchase.anything_cleared or pending.is_expired(purchase, program, clock)
        ):
            pair.reason = (
                Reason.TRANSACTION_VOID
                if purchase.void
                else _gross_reason(purchase, program) or Reason.THRESHOLD_NOT_REACHED
            )

    def _stamp(
        self,
        who: PurchaseId,
        purchase: Purchase,
        pair: Pair,
        program: Program,
        cause: Cause,
        clock: Micros,
    ) -> Reason | None:
        """Gives or takes the stamp of a purchase; what came of it if one was given."""
        card = self.cards.follow(who, purchase, pair, program, clock)
        if card is None:
            return None
        if not loyalty.reached(card, program):
            return Reason.THRESHOLD_NOT_REACHED
        refused = self.allowances.refusal(who, pair, program)
        if refused is not None:
            return refused
        self._reward(who, purchase, pair, program, cause)
        if pair.reason is Reason.REWARDED:
            assert pair.stake is not None
            self.cards.redeem(who, program, pair.stake, card)
        return pair.reason


def is_open(purchase: Purchase) -> bool:
    """Whether an event may change what was decided: a pair waits for its amount, or has more at stake."""
    for pair in purchase.pairs:  # noqa: SIM110 - any() costs three times as much for the usual one
        if pair.reason in AMOUNT_REASONS or pair.stake is not None:
            return True
    return False


def reward_now(purchase: Purchase, pair: Pair, program: Program) -> int:
    """What a chosen pair earns in all on the purchase as it stands, before cap and budget."""
    if purchase.void or (pair.floating and matching.amount_mismatch(program, purchase.gross)):
        return 0
    return earned(program, purchase.net, purchase.gross)


def _word(pair: Pair) -> Word:
    return pair.reason, pair.amount, pair.outranked_by


def _gross_reason(purchase: Purchase, program: Program) -> Reason | None:
    reason = matching.amount_mismatch(program, purchase.gross)
    return reason if reason in _GROSS_REASONS else None


def _amount_reason(purchase: Purchase, pair: Pair, program: Program) -> Reason | None:
    if purchase.void:
        return Reason.TRANSACTION_VOID
    return matching.amount_mismatch(program, purchase.gross) if pair.floating else None
