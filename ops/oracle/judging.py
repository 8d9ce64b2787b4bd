"""What programs say to a purchase: at judging, when the amount changes, when a stamp is given."""

from collections.abc import Sequence

from ops.oracle import lives, loyalty, verdicts
from ops.oracle.bounds import Bounds
from ops.oracle.entitlements import Grant
from ops.oracle.following import Following
from ops.oracle.lives import Bought, Pair
from ops.oracle.standings import Standing
from ops.oracle.telling import Telling
from ops.oracle.terms import Terms, TermsBook
from ops.oracle.verdicts import WAITING, Verdict


class Judging:
    """Decides, tells it, and creates what is rewarded. Without `budgets`, as if no program had one."""

    def __init__(
        self, book: TermsBook, bounds: Bounds, telling: Telling, following: Following, *, budgets: bool
    ) -> None:
        self._book = book
        self._bounds = bounds
        self._telling = telling
        self._following = following
        self._budgets = budgets

    def judge(self, bought: Bought) -> None:
        """Every program that names the purchase, by its judging event."""
        now = bought.now
        naming = self._book.naming(now.cause, now.place)
        if not naming:
            self._telling.decision(bought.purchase, bought.transaction_id, now, None, Verdict("NO_PROGRAM"))
        for terms, in_force in naming:
            entitled = self._entitled(bought, terms, in_force=in_force)
            if isinstance(entitled, str):
                self._telling.decision(bought.purchase, bought.transaction_id, now, terms, Verdict(entitled))
            else:
                bought.pairs.append(self._pair(bought, terms, entitled))
        self._bounds.member_of(bought).judged.append(bought)
        self._judge_amounts([pair for pair in bought.pairs if not pair.terms.is_loyalty])
        for pair in bought.pairs:
            if pair.terms.is_loyalty:
                self._stamp_first(pair)

    def judge_again(self, bought: Bought) -> None:
        """After a further record of the purchase."""
        nothing_cleared = not any(pair.ever_cleared for pair in bought.pairs)
        for pair in bought.pairs:
            if pair.terms.is_loyalty:
                self._stamp_again(pair, nothing_cleared=nothing_cleared)
            elif pair.cashbacks:
                self._following.follow(pair)
        if nothing_cleared and bought.amount_changed():
            self._judge_waiting(bought)

    def _entitled(self, bought: Bought, terms: Terms, *, in_force: bool) -> Grant | str | None:
        """The first filter that shuts the purchase out, or what it goes by: None where nothing is needed."""
        now, member = bought.now, self._bounds.member_of(bought)
        if now.void:
            return "TRANSACTION_VOID"
        refusal = terms.refusal(now.cause, in_force=in_force)
        if refusal is not None:
            return refusal
        entitled = member.entitlement(terms, now.cause.occurred_at)
        if not isinstance(entitled, str) and terms.new_members_only and not member.is_new(terms):
            return "NOT_NEW_MEMBER"
        return entitled

    def _pair(self, bought: Bought, terms: Terms, grant: Grant | None) -> Pair:
        return Pair(
            terms,
            bought,
            grant,
            counted=self._book.bounds_members(terms.program_id, bought.now.place),
            budgeted=self._budgets and self._book.has_budget(terms.program_id),
            waited=not terms.is_loyalty and verdicts.gross_refusal(terms, bought.now.gross) is not None,
        )

    def _judge_waiting(self, bought: Bought) -> None:
        """Those that failed on the amount alone; one that does not stack only while none had a cashback."""
        choice = [p for p in bought.pairs if not p.terms.stackable and not p.terms.is_loyalty]
        is_taken = any(pair.cashbacks for pair in choice)
        self._judge_amounts(
            [
                pair
                for pair in bought.pairs
                if pair.waiting and not lives.is_expired(pair) and not (is_taken and pair in choice)
            ]
        )

    def _judge_amounts(self, pairs: Sequence[Pair]) -> None:
        """Decide on what may change, choose among those that could pay, create what they pay."""
        refusals = {pair.terms.program_id: self._refusal(pair) for pair in pairs}
        rivals = [p for p in pairs if refusals[p.terms.program_id] is None and not p.terms.stackable]
        winner = min(rivals, key=lambda p: verdicts.rank(p.terms, p.bought.now.gross), default=None)
        for pair in pairs:
            refusal = refusals[pair.terms.program_id]
            if refusal is not None:
                verdict = Verdict(refusal)
            elif winner is not None and pair in rivals and pair is not winner:
                verdict = Verdict("OUTRANKED", outranked_by=winner.terms.program_id)
            else:
                verdict = self._payout(pair)
            pair.waiting = verdict.decision in WAITING
            self._telling.verdict(pair, verdict)
            if verdict.amount is not None:
                self._following.create(pair, verdict.amount)

    def _refusal(self, pair: Pair) -> str | None:
        """A gross that fitted at judging stays right."""
        now = pair.bought.now
        if now.void:
            return "TRANSACTION_VOID"
        refusal = verdicts.gross_refusal(pair.terms, now.gross) if pair.waited else None
        if refusal is None and self._bounds.clip_is_taken(pair):
            return "NOT_ENTITLED"
        return refusal or self._bounds.refusal(pair)

    def _payout(self, pair: Pair) -> Verdict:
        if pair.bought.now.net == 0:
            return Verdict("FULLY_REFUNDED")
        earned = lives.reward(pair, pair.bought.now)
        return Verdict("REWARD_ZERO") if earned == 0 else self._rewarded(pair, earned)

    def _rewarded(self, pair: Pair, earned: int) -> Verdict:
        return Verdict("REWARDED", amount=self._bounds.cut(pair, earned))

    def _stamp_first(self, pair: Pair) -> None:
        now = pair.bought.now
        pair.qualifies = loyalty.qualifies(pair, now)
        if pair.qualifies:
            self._give_stamp(pair)
        else:
            refusal = verdicts.spend_refusal(pair.terms, now.gross)
            self._telling.verdict(pair, Verdict(refusal or "THRESHOLD_NOT_REACHED"))

    def _stamp_again(self, pair: Pair, *, nothing_cleared: bool) -> None:
        """A stamp that is used stays used, whatever becomes of the purchase by this record."""
        now = pair.bought.now
        qualified, pair.qualifies = pair.qualifies, loyalty.qualifies(pair, now)
        deserves = pair.qualifies and not qualified and pair.stamp is None and not pair.revoked
        if pair.alive or pair.ever_cleared:
            self._following.follow(pair)
        if deserves:
            self._give_stamp(pair)
            return
        if not pair.qualifies:
            loyalty.take(pair, self._following.stamps(pair))
        if nothing_cleared and pair.bought.amount_changed() and not lives.is_expired(pair):
            self._look_at_spend_again(pair, now)

    def _look_at_spend_again(self, pair: Pair, now: Standing) -> None:
        if self._telling.last_word(pair) in ("BELOW_MIN_SPEND", "ABOVE_MAX_SPEND"):
            refusal = "TRANSACTION_VOID" if now.void else verdicts.spend_refusal(pair.terms, now.gross)
            self._telling.verdict(pair, Verdict(refusal or "THRESHOLD_NOT_REACHED"))

    def _give_stamp(self, pair: Pair) -> None:
        """Redeems if the threshold is reached by it and nothing forbids it."""
        held = self._following.stamps(pair)
        if not loyalty.give(pair, held):
            self._telling.verdict(pair, Verdict("THRESHOLD_NOT_REACHED"))
            return
        earned = lives.reward(pair, pair.bought.now)
        forbidden = self._bounds.refusal(pair) or (None if earned else "REWARD_ZERO")
        verdict = self._rewarded(pair, earned) if forbidden is None else Verdict(forbidden)
        self._telling.verdict(pair, verdict)
        if verdict.amount is not None:
            loyalty.use_all(pair, held)
            self._following.create(pair, verdict.amount)
