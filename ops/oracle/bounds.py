"""What limits, caps, budgets and used clips leave for a pair."""

from collections import Counter, defaultdict

from ops.oracle.entitlements import Holder
from ops.oracle.lives import Bought, Pair
from ops.oracle.members import Member


class Bounds:
    """The members, and what programs have spent on all of them."""

    def __init__(self) -> None:
        self._members: defaultdict[Holder, Member] = defaultdict(Member)
        self._budgets = Budgets()

    def member(self, holder: Holder) -> Member:
        """The one who holds; made when first asked for."""
        return self._members[holder]

    def member_of(self, bought: Bought) -> Member:
        """The one who bought."""
        return self._members[Holder(*bought.purchase[:3])]

    def refusal(self, pair: Pair) -> str | None:
        """Which limit, cap or budget forbids the pair a first cashback, or None."""
        member = self.member_of(pair.bought)
        if member.limit_is_reached(pair):
            return "MEMBER_LIMIT"
        if member.cap_left(pair) == 0:
            return "MEMBER_CAP"
        return "BUDGET_EXHAUSTED" if self._budgets.left(pair) == 0 else None

    def cut(self, pair: Pair, wanted: int) -> int:
        """What cap and budget allow of a wanted amount, beside what the pair has pending."""
        held = 0 if pair.pending is None else pair.pending.amount
        for left in (self.member_of(pair.bought).cap_left(pair), self._budgets.left(pair)):
            if left is not None:
                wanted = min(wanted, held + left)
        return wanted

    def clip_is_taken(self, pair: Pair) -> bool:
        """Whether another purchase uses the clip that the pair goes by."""
        return pair.grant is not None and self.member_of(pair.bought).is_used_up(pair.grant, pair.bought)

    def forbid_return(self, pair: Pair) -> bool:
        """Whether a pair that has nothing may not come back, whatever the amount."""
        return self.clip_is_taken(pair) or self.member_of(pair.bought).limit_is_reached(pair)

    def book(self, pair: Pair, amount: int) -> None:
        """A cashback of the pair was created, or, with a negative amount, reverted."""
        self._budgets.book(pair, amount)
        if amount > 0 and len(pair.cashbacks) == 1:
            self.member_of(pair.bought).note(pair)


class Budgets:
    """What programs have spent, in total and by day. Kept as sums: a scan would be one of the whole log."""

    def __init__(self) -> None:
        self._spent: Counter[tuple[str, bool, str]] = Counter()

    def book(self, pair: Pair, amount: int) -> None:
        """Add what was spent, or, with a negative amount, what came back.

        What a version without that budget paid is not counted in it.
        """
        if pair.budgeted and pair.terms.budget_total is not None:
            self._spent[_account(pair, "total")] += amount
        if pair.budgeted and pair.terms.budget_daily is not None:
            self._spent[_account(pair, pair.period("day"))] += amount

    def left(self, pair: Pair) -> int | None:
        """What may still be spent under the pair's version; None: no budget."""
        terms = pair.terms
        bounds = []
        if pair.budgeted and terms.budget_total is not None:
            bounds.append(terms.budget_total - self._spent[_account(pair, "total")])
        if pair.budgeted and terms.budget_daily is not None:
            bounds.append(terms.budget_daily - self._spent[_account(pair, pair.period("day"))])
        return max(0, min(bounds)) if bounds else None


def _account(pair: Pair, scope: str) -> tuple[str, bool, str]:
    return pair.terms.program_id, pair.bought.purchase.livemode, scope
