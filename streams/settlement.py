"""From what was decided to what is pending, cleared or reverted, and the account of what it takes."""

from collections import Counter
from typing import Any, Protocol

from schemas.times import Micros
from streams import announce, judging, pending, refunds, reversals
from streams.announce import Cause
from streams.judging import Judge
from streams.pending import By
from streams.program import Catalogue, Program
from streams.purchase import Cleared, Pair, Parked, Purchase, PurchaseId, Reason

Datum = dict[str, Any]


class Outcomes(Protocol):
    """Where what was decided goes."""

    def event(self, who: PurchaseId, record: str, datum: Datum) -> None: ...
    def decision(self, who: PurchaseId, datum: Datum) -> None: ...
    def case(self, who: PurchaseId, datum: Datum) -> None: ...
    def unparked(self, who: PurchaseId, parked: Parked, reason: str, message: str) -> None: ...


class Settlement:
    """Settles the purchases of a partition; transitions are counted by record."""

    def __init__(self, catalogue: Catalogue, judge: Judge, outcomes: Outcomes, counts: Counter[str]) -> None:
        self._catalogue = catalogue
        self._judge = judge
        self._outcomes = outcomes
        self._counts = counts

    def decide(self, who: PurchaseId, purchase: Purchase, cause: Cause) -> None:
        """Publishes what was decided, once no pair waits for its budget to be decided at all."""
        for pair in purchase.pairs:
            if pair.stake is not None and pair.stake.waits and _is_undecided(pair):
                return
        figures = self._judge.figures(who, purchase)
        self._outcomes.decision(who, announce.decision(who, purchase, cause.occurred_at, figures))

    def settle(
        self,
        who: PurchaseId,
        purchase: Purchase,
        cause: Cause,
        clock: Micros,
        *,
        is_judged_now: bool,
        may_raise: bool,
    ) -> None:
        """Makes what should be pending so, pair by pair, and revises reversal cases.

        `may_raise`: the event changed the purchase, so that cap and budget are asked for more.
        """
        may_raise = may_raise and cause.kind not in refunds.TAKES_BACK
        for pair in purchase.pairs:
            if not pair.sequence and pair.reason is not Reason.REWARDED:
                continue
            program = self._catalogue.get(pair.program_id, pair.version)
            if not is_judged_now and pending.is_expired(purchase, program, clock):
                continue
            stake = pair.stake
            if stake is not None and program.is_loyalty and not stake.redeemed:
                continue
            reward = pair.amount if is_judged_now else judging.reward_now(purchase, pair, program)
            wanted = max(0, reward - pair.cleared_sum)
            if stake is not None and not is_judged_now:
                wanted = self._allowed(who, pair, program, wanted, cause, may_raise=may_raise)
            if pair.pending != wanted:
                self.make_pending(who, purchase, pair, program, wanted, cause)
            if not pair.cleared:
                continue
            for cleared in refunds.revise_cases(pair, reward, cause.kind, cause.occurred_at):
                self.publish_case(who, purchase, pair, program, cleared, cause)

    def serve(self, who: PurchaseId, purchase: Purchase, pair: Pair, cause: Cause) -> None:
        """Decides a pair that waited for its budget; `cause` is what led to it then."""
        program = self._catalogue.get(pair.program_id, pair.version)
        assert pair.stake is not None
        pair.stake.waits = False
        if not _is_undecided(pair):
            wanted = max(0, judging.reward_now(purchase, pair, program) - pair.cleared_sum)
            wanted = self._allowed(who, pair, program, wanted, cause, may_raise=True)
            self.make_pending(who, purchase, pair, program, wanted, cause)
        else:
            self._judge.resolve(who, purchase, pair, program, cause)
            self.decide(who, purchase, cause)
            for chosen in purchase.pairs:
                if chosen.reason is Reason.REWARDED and (chosen is pair or not chosen.sequence):
                    terms = self._catalogue.get(chosen.program_id, chosen.version)
                    self.make_pending(who, purchase, chosen, terms, chosen.amount, cause)

    def make_pending(
        self, who: PurchaseId, purchase: Purchase, pair: Pair, program: Program, wanted: int, cause: Cause
    ) -> None:
        """Makes `wanted` the pending amount of a pair, and keeps the account of what it holds."""
        if pair.pending == wanted:
            return
        had = pair.pending + pair.cleared_sum
        for change in pending.adjust(pair, wanted, cause.kind, cause.occurred_at):
            self._emit(who, *announce.transition(who, purchase, pair, program, change, cause))
        if pair.stake is not None:
            self._account(who, pair, program, had)

    def resolve_due(
        self, who: PurchaseId, purchase: Purchase, pair: Pair, program: Program, due_at: Micros
    ) -> None:
        """Clears or expires what is pending of a pair."""
        had, is_first = pair.pending + pair.cleared_sum, not pair.cleared
        change = pending.fire(purchase, pair, due_at)
        self._emit(who, *announce.transition(who, purchase, pair, program, change, None))
        if pair.stake is not None:
            self._account(who, pair, program, had)
            if pair.stake.redeemed and is_first:
                self._judge.cards.keep(who, program)

    def publish_case(
        self,
        who: PurchaseId,
        purchase: Purchase,
        pair: Pair,
        program: Program,
        cleared: Cleared,
        cause: Cause,
        by: By | None = None,
    ) -> None:
        """Publishes a reversal case as it stands after `cause`, with whose word that was."""
        self._outcomes.case(who, announce.reversal_case(who, purchase, pair, program, cleared, cause, by))

    def reverse(
        self,
        who: PurchaseId,
        purchase: Purchase,
        pair: Pair,
        program: Program,
        cleared: Cleared,
        cause: Cause,
        by: By,
    ) -> None:
        """Takes the cashback of an approved case back, and gives anew what of it is still earned.

        Limit, cap and budget see only the difference: what comes back and goes again is theirs all the time.
        """
        had = pair.pending + pair.cleared_sum + cleared.amount  # the case is closed: it counts no more
        for change in reversals.reverse(pair, cleared, by, cause.occurred_at):
            self._emit(who, *announce.transition(who, purchase, pair, program, change, cause))
        if pair.stake is not None:
            self._account(who, pair, program, had)

    def _allowed(
        self, who: PurchaseId, pair: Pair, program: Program, wanted: int, cause: Cause, *, may_raise: bool
    ) -> int:
        """What may be pending of what is wanted, by entitlement, limit, cap and budget."""
        assert pair.stake is not None
        if pair.stake.revoked:
            return 0
        more = wanted - pair.pending
        if more <= 0 or not may_raise or pair.stake.waits:
            return min(wanted, pair.pending)
        allowances = self._judge.allowances
        is_alive = pair.pending or pair.cleared_sum
        if not is_alive and allowances.refusal(who, pair, program) is not None:
            return 0
        if allowances.must_wait(who, pair, program, more, cause):
            return pair.pending
        return pair.pending + allowances.cut(who, pair, program, more)

    def _account(self, who: PurchaseId, pair: Pair, program: Program, had: int) -> None:
        """Notes what a pair earns now where it earned `had`; without anything a redemption is undone."""
        assert pair.stake is not None
        self._judge.allowances.moved(who, pair, program, had)
        # What a redemption used that once cleared never comes back, also when the cashback is reversed.
        if pair.stake.redeemed and not pair.pending and not pair.cleared:
            self._judge.cards.undo(who, program, pair.stake)

    def _emit(self, who: PurchaseId, record: str, datum: Datum) -> None:
        self._counts[record] += 1
        self._outcomes.event(who, record, datum)


def _is_undecided(pair: Pair) -> bool:
    """Of a pair that waits: whether it never earned, or is to redeem anew; else it only may earn more."""
    is_redeeming = pair.stake is not None and pair.stake.redeemed
    return not pair.sequence or (is_redeeming and not pair.pending and not pair.cleared)
