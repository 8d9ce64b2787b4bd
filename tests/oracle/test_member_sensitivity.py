"""Each rule by which purchases of a member bind each other, bent a little, changes some made-up history."""

from functools import cache
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ops.oracle import Recomputation, entitlements, lives, loyalty, periods, recompute, verdicts
from ops.oracle.bounds import Bounds, Budgets
from ops.oracle.entitlements import Grant, Holdings
from ops.oracle.following import Following
from ops.oracle.lives import Bought, Pair
from ops.oracle.members import Member
from ops.oracle.standings import Standing
from ops.oracle.terms import Terms, TermsBook
from tests.histories import History, shared_history

SEEDS = 1000

label = periods.label
rank = verdicts.rank
qualifies = loyalty.qualifies
use_all = loyalty.use_all
counts = Holdings._counts
wanted = Following._wanted
is_used_up = Member.is_used_up


def expiry_is_inclusive(self: Holdings, grant: Grant, at: int) -> bool:
    return counts(self, grant, at - 1 if at == grant.expires_at else at)


def grants_begin_a_moment_late(self: Holdings, grant: Grant, at: int) -> bool:
    return grant.granted_at < at and counts(self, grant, at)


def ends_are_ignored(self: Holdings, grant: Grant) -> int | None:
    return None


def an_end_at_the_grant_counts(self: Holdings, grant: Grant) -> int | None:
    ends = (e.revoked_at for e in self._known.values() if not isinstance(e, Grant) and e.id == grant.id)
    return min((at for at in ends if at >= grant.granted_at), default=None)


def every_old_grant_ran_out(self: Holdings, grant: Grant, at: int) -> bool:
    return True


def last_to_go(grant: Grant) -> tuple[Any, ...]:
    return grant.expires_at is not None, -(grant.expires_at or 0), grant.granted_at, grant.id


def youngest_first(grant: Grant) -> tuple[Any, ...]:
    return grant.expires_at is None, grant.expires_at or 0, -grant.granted_at, grant.id


def clips_are_never_used_up(self: Member, grant: Grant, bought: Bought | None) -> bool:
    return False


def clips_never_come_back(self: Member, grant: Grant, bought: Bought | None) -> bool:
    others = (pair for pair in self._by_clip.get(grant.id, ()) if pair.bought is not bought)
    return grant.family == "clip" and any(not pair.terms.clip_reusable for pair in others)


def reusable_clips_are_used_up(self: Member, grant: Grant, bought: Bought | None) -> bool:
    return any(p.alive > 0 for p in self._by_clip.get(grant.id, ()) if p.bought is not bought)


def one_more(self: Member, pair: Pair) -> bool:
    count, period = pair.terms.limit or (10**9, "day")
    return sum(other.alive > 0 for other in self._in_period(pair, period)) > count


def reverted_uses_stay_used(self: Member, pair: Pair) -> bool:
    count, period = pair.terms.limit or (10**9, "day")
    return len(self._in_period(pair, period)) >= count


def caps_forget_what_cleared(self: Member, pair: Pair) -> int | None:
    if pair.terms.cap is None:
        return None
    amount, period = pair.terms.cap
    held = (other.pending for other in self._in_period(pair, period))
    return max(0, amount - sum(cashback.amount for cashback in held if cashback))


def calendar_of_utc(period: str, at: int, zone: ZoneInfo) -> str:
    return label(period, at, ZoneInfo("UTC"))


def weeks_are_months(period: str, at: int, zone: ZoneInfo) -> str:
    return label("month" if period == "week" else period, at, zone)


def bounds_only_where_the_version_has_some(self: TermsBook, program_id: str, place: int) -> bool:
    return False


def everybody_is_new(self: Member, terms: Terms) -> bool:
    return True


def new_only_without_any_purchase(self: Member, terms: Terms) -> bool:
    return not self.judged


def budgets_have_no_days(self: Budgets, pair: Pair) -> int | None:
    total = pair.terms.budget_total
    return None if total is None else max(0, total - self._spent[pair.terms.program_id, True, "total"])


def budgets_give_nothing_back(self: Budgets, pair: Pair, amount: int) -> None:
    if pair.budgeted and amount > 0:
        self._spent[pair.terms.program_id, pair.bought.purchase.livemode, "total"] += amount


def may_always_return(self: Bounds, pair: Pair) -> bool:
    return False


def never_cut(self: Bounds, pair: Pair, amount: int) -> int:
    return amount


def refunds_may_raise(self: Following, pair: Pair, earned: int, held: int) -> int:
    bought = pair.bought
    if bought.now.cause.kind != "REFUNDED" or lives.is_expired(pair):
        return wanted(self, pair, earned, held)
    return self._bounds.cut(pair, max(0, earned - sum(c.amount for c in pair.cleared)))


def authorizations_qualify_for_ever(pair: Pair, now: Standing) -> bool:
    return qualifies(pair, now._replace(clock=0))


def the_maximum_is_forgotten(pair: Pair, now: Standing) -> bool:
    return qualifies(pair, now._replace(gross=min(now.gross, pair.terms.max_spend or now.gross)))


def undone_stamps_are_lost(redeemer: Pair, held: list[Pair]) -> None:
    redeemer.stamp = None


def undone_stamps_all_come_back(redeemer: Pair, held: list[Pair]) -> None:
    for pair in (redeemer, *redeemer.spent):
        pair.stamp = loyalty.HELD
        held.append(pair)
    redeemer.spent = []


def redemptions_are_never_undone(pair: Pair) -> bool:
    return False


def only_the_latest_stamp_is_used(redeemer: Pair, held: list[Pair]) -> None:
    others = [pair for pair in held if pair is not redeemer]
    use_all(redeemer, [redeemer])
    held[:] = others


def type_last(terms: Terms, gross: int) -> tuple[Any, ...]:
    kind, *rest = rank(terms, gross)
    return *rest, kind


BENT: list[tuple[Any, str, Any]] = [
    (Holdings, "_counts", expiry_is_inclusive),
    (Holdings, "_counts", grants_begin_a_moment_late),
    (Holdings, "_ended_at", ends_are_ignored),
    (Holdings, "_ended_at", an_end_at_the_grant_counts),
    (Holdings, "_ran_out", every_old_grant_ran_out),
    (entitlements, "_first_to_go", last_to_go),
    (entitlements, "_first_to_go", youngest_first),
    (Member, "is_used_up", clips_are_never_used_up),
    (Member, "is_used_up", clips_never_come_back),
    (Member, "is_used_up", reusable_clips_are_used_up),
    (Member, "limit_is_reached", one_more),
    (Member, "limit_is_reached", reverted_uses_stay_used),
    (Member, "cap_left", caps_forget_what_cleared),
    (Member, "is_new", everybody_is_new),
    (Member, "is_new", new_only_without_any_purchase),
    (periods, "label", calendar_of_utc),
    (periods, "label", weeks_are_months),
    (TermsBook, "bounds_members", bounds_only_where_the_version_has_some),
    (Budgets, "left", budgets_have_no_days),
    (Budgets, "book", budgets_give_nothing_back),
    (Bounds, "forbid_return", may_always_return),
    (Bounds, "cut", never_cut),
    (Following, "_wanted", refunds_may_raise),
    (loyalty, "qualifies", authorizations_qualify_for_ever),
    (loyalty, "qualifies", the_maximum_is_forgotten),
    (loyalty, "undo", undone_stamps_are_lost),
    (loyalty, "undo", undone_stamps_all_come_back),
    (loyalty, "may_be_undone", redemptions_are_never_undone),
    (loyalty, "use_all", only_the_latest_stamp_is_used),
    (verdicts, "rank", type_last),
]


def recomputed(history: History) -> Recomputation:
    return recompute(
        history.programs, history.transactions, until=history.until, entitlements=history.entitlements
    )


@cache
def truth(seed: int) -> tuple[History, Recomputation]:
    history = shared_history(Random(seed))
    return history, recomputed(history)


@pytest.mark.parametrize(("where", "name", "bent"), BENT, ids=lambda value: getattr(value, "__name__", None))
def test_a_bent_rule_shows(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, bent: Any) -> None:
    straight = [truth(seed) for seed in range(SEEDS)]
    monkeypatch.setattr(where, name, bent)

    assert any(_differs(history, right) for history, right in straight)


def _differs(history: History, right: Recomputation) -> bool:
    wrong = recomputed(history)
    return (wrong.cashbacks, wrong.decisions) != (right.cashbacks, right.decisions)
