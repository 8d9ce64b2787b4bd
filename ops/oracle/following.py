"""How the cashbacks of a pair come, follow the amounts of their purchase, and end."""

from ops.oracle import lives, loyalty
from ops.oracle.bounds import Bounds
from ops.oracle.facts import TAKING_KINDS
from ops.oracle.lives import Pair
from ops.oracle.members import Member
from ops.oracle.result import CLEARED, REVERTED, Cashback
from ops.oracle.telling import Telling


class Following:
    """Changes pairs, books what they use and tells what happened."""

    def __init__(self, bounds: Bounds, telling: Telling) -> None:
        self._bounds = bounds
        self._telling = telling

    def follow(self, pair: Pair) -> None:
        """Make what is pending follow the latest record of the purchase."""
        bought, pending = pair.bought, pair.pending
        earned = lives.reward(pair, bought.now)
        if pair.ever_cleared:
            lives.review_cases(pair, earned)
            self._telling.cases(pair)
        if lives.is_expired(pair) or pair.revoked:
            return
        held = 0 if pending is None else pending.amount
        wanted = self._wanted(pair, earned, held)
        if wanted == held:
            return
        if pending is not None:
            cause = bought.now.cause
            reason = cause.kind if cause.kind in TAKING_KINDS else "RECOMPUTED"
            self.revert(pair, pending, cause.occurred_at, reason, is_replaced=wanted > 0)
        if wanted > 0:
            self.create(pair, wanted)

    def _wanted(self, pair: Pair, earned: int, held: int) -> int:
        """The amount that should be pending: what takes back never raises it, the rest is cut."""
        bought, cleared = pair.bought, pair.cleared
        wanted = max(0, earned - sum(cashback.amount for cashback in cleared))
        if bought.now.cause.kind in TAKING_KINDS:
            return min(wanted, held)
        if not bought.amount_changed():
            return held
        if held == 0 and not cleared and self._bounds.forbid_return(pair):
            return 0
        return self._bounds.cut(pair, wanted)

    def create(self, pair: Pair, amount: int, *, decided_at: int | None = None) -> Cashback:
        """The next cashback of the pair, by the latest payment or by a decision (µs)."""
        cashback = lives.create(pair, amount, decided_at=decided_at)
        self._bounds.book(pair, amount)
        self._telling.event(cashback, "created", cashback.created_at)
        return cashback

    def revert(
        self, pair: Pair, pending: Cashback, at: int, reason: str, *, is_replaced: bool = False
    ) -> None:
        """End what is pending at a time (µs); unless another amount follows, a redemption is undone."""
        is_undone = loyalty.may_be_undone(pair) and not is_replaced
        pending.state, pending.reason, pending.reverted_at = REVERTED, reason, at
        self._bounds.book(pair, -pending.amount)
        self._telling.event(pending, "reverted", at)
        if is_undone:
            loyalty.undo(pair, self.stamps(pair))

    def reverse(self, pair: Pair, cleared: Cashback, at: int) -> None:
        """Take back what has cleared, at a time (µs). Clip and stamps that it used stay used."""
        cleared.state, cleared.reason, cleared.reverted_at = REVERTED, "REVERSED", at
        self._bounds.book(pair, -cleared.amount)
        self._telling.event(cleared, "reverted", at)

    def clear(self, pending: Cashback, at: int) -> None:
        """Its time (µs) has come."""
        pending.state, pending.cleared_at = CLEARED, at
        self._telling.event(pending, "cleared", at)

    def run_out(self, pair: Pair) -> None:
        """The purchase was not settled by its deadline: no reward, and no stamp that is still held."""
        pair.qualifies = False
        loyalty.take(pair, self.stamps(pair))
        if pair.pending is not None:
            self.revert(pair, pair.pending, pair.deadline, "AUTH_EXPIRED")

    def stamps(self, pair: Pair) -> list[Pair]:
        """The stamps that the member holds of the pair's program."""
        member: Member = self._bounds.member_of(pair.bought)
        return member.stamps[pair.terms.program_id]
