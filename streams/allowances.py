"""What a program still allows a member, and the account of what was taken of it."""

from streams import budgets
from streams.announce import Cause
from streams.budgets import Account, Budgets
from streams.entitlements import Entitlements
from streams.program import Program
from streams.purchase import Pair, PurchaseId, Reason, row_key
from streams.rows import Rows
from streams.usage import Usage

Figures = dict[str, int | str | None]


class Allowances:
    """Of all members of a partition."""

    def __init__(self, rows: Rows, budgets: Budgets) -> None:
        self.entitlements = Entitlements(rows)
        self.usage = Usage(rows)
        self.budgets = budgets

    def refusal(self, who: PurchaseId, pair: Pair, program: Program) -> Reason | None:
        """Why a pair that fits otherwise may not begin to earn; None when it may.

        A budget refuses when nothing is at hand and nothing more is to be had.
        """
        stake = pair.stake
        if stake is None:
            return None
        if stake.entitlement_id and not self.entitlements.is_free(who, program, stake.entitlement_id):
            return Reason.NOT_ENTITLED
        if program.limit is not None:
            most, period = program.limit
            if self.usage.used(who, program.program_id, stake.day, period)[0] >= most:
                return Reason.MEMBER_LIMIT
        if program.cap is not None and self._cap_left(who, pair, program) <= 0:
            return Reason.MEMBER_CAP
        for account in budgets.accounts(program, who.livemode, stake.day):
            if self.budgets.left(account) <= 0 and not self.budgets.may_ask(account):
                return Reason.BUDGET_EXHAUSTED
        return None

    def cut(self, who: PurchaseId, pair: Pair, program: Program, wanted: int) -> int:
        """How much of `wanted` cap and budget leave, beside what the pair already has."""
        stake = pair.stake
        if stake is None:
            return wanted
        if program.cap is not None:
            wanted = min(wanted, max(0, self._cap_left(who, pair, program)))
        for account in budgets.accounts(program, who.livemode, stake.day):
            wanted = min(wanted, self.budgets.left(account))
        return wanted

    def must_wait(self, who: PurchaseId, pair: Pair, program: Program, wanted: int, cause: Cause) -> bool:
        """Whether a budget has less at hand than `wanted` after the cap, and more may be had: then it waits.

        `cause` is what led to it, and is there again when it is served.
        """
        stake = pair.stake
        if stake is None or not program.has_budget:
            return False
        if program.cap is not None:
            wanted = min(wanted, max(0, self._cap_left(who, pair, program)))
        at_hand: list[tuple[Account, int]] = []
        for account in budgets.accounts(program, who.livemode, stake.day):
            if lacking := self.budgets.lacks(account, wanted):
                stake.waits = True
                self.budgets.wait(account, lacking, row_key(who), cause, at_hand)
                return True
            at_hand.append((account, min(wanted, self.budgets.left(account))))
        return False

    def moved(self, who: PurchaseId, pair: Pair, program: Program, had: int) -> None:
        """Notes that the pair earns what it does now, pending and cleared, where it earned `had` before."""
        stake, has = pair.stake, pair.pending + pair.cleared_sum
        if stake is None or has == had:
            return
        if stake.day:
            self.usage.add(who, program.program_id, stake.day, bool(has) - bool(had), has - had)
            for account in budgets.accounts(program, who.livemode, stake.day):
                self.budgets.take(account, has - had)
        # What cleared once has used its entitlement up, also when it is reversed.
        if stake.entitlement_id and bool(has) != bool(had) and not pair.cleared:
            self.entitlements.hold(who, program, stake.entitlement_id, holds=bool(has))

    def figures(self, who: PurchaseId, pair: Pair, program: Program) -> Figures:
        """What limit, cap and budget leave, not counting the pair itself if it earns nothing yet."""
        stake = pair.stake
        if stake is None:
            return {}
        left: Figures = {"entitlement_id": stake.entitlement_id or None}
        if not stake.day:
            return left  # nothing is counted, or another reason came first
        if program.limit is not None:
            most, period = program.limit
            left["limit_left"] = max(0, most - self.usage.used(who, program.program_id, stake.day, period)[0])
        if program.cap is not None:
            left["cap_left"] = max(0, self._cap_left(who, pair, program))
        at_hand = [self.budgets.left(each) for each in budgets.accounts(program, who.livemode, stake.day)]
        if at_hand:
            left["budget_left"] = min(at_hand)
        return left

    def _cap_left(self, who: PurchaseId, pair: Pair, program: Program) -> int:
        assert pair.stake is not None
        assert program.cap is not None
        most, period = program.cap
        return most - self.usage.used(who, program.program_id, pair.stake.day, period)[1]
