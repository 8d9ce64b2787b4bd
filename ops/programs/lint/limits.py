"""Checks of limits, caps, budgets and thresholds against the rewards they bound and against each other."""

from collections.abc import Iterator

from ops.programs.lint.findings import Finding, finding
from ops.programs.lint.terms import Terms
from ops.programs.words import number

_WITHIN = {"day": 0, "week": 1, "month": 2, "lifetime": 3}


def check(terms: Terms) -> Iterator[Finding]:
    """All findings about what bounds a version that rewards anything at all."""
    if terms.greatest:
        yield from _cap_and_one_reward(terms)
        yield from _budget(terms)
        yield from _cap(terms)
        yield from _limit(terms)
    yield from _threshold(terms)


def _cap_and_one_reward(terms: Terms) -> Iterator[Finding]:
    cap = terms.spec.member_cap
    if cap is not None and cap.amount < terms.least:
        yield finding(
            "cap-below-one-reward",
            terms.spec,
            "member_cap.amount",
            f"the least reward is {terms.least}: every one is cut to {cap.amount}",
            f"raise it to at least {terms.least}, or make {cap.amount} the reward",
        )


def _budget(terms: Terms) -> Iterator[Finding]:
    budget = terms.spec.budget
    if budget is None:
        return
    for name, figure in (("total", budget.total), ("daily", budget.daily)):
        if figure is not None and figure < terms.least:
            yield finding(
                "budget-below-one-reward",
                terms.spec,
                f"budget.{name}",
                f"the least reward is {terms.least}: {figure} never pays a whole one",
                f"raise it to at least {terms.least}",
            )
    if budget.total is not None and budget.daily is not None and budget.daily >= budget.total:
        message = f"the total of {budget.total} is used up before {budget.daily} are paid in a day"
        yield finding(
            "daily-budget-does-nothing", terms.spec, "budget.daily", message, "remove it, or lower it"
        )


def _cap(terms: Terms) -> Iterator[Finding]:
    cap, limit, budget = terms.spec.member_cap, terms.spec.member_limit, terms.spec.budget
    if cap is None:
        return
    reasons = []
    if (
        limit is not None
        and _lies_in(cap.period, limit.period)
        and limit.count * terms.greatest <= cap.amount
    ):
        reasons.append(f"{number(limit.count, 'reward')} of at most {terms.greatest} never exceed it")
    if budget is not None and budget.total is not None and budget.total <= cap.amount:
        reasons.append(f"the budget of all members, {budget.total}, is used up before")
    if budget is not None and budget.daily is not None and cap.period == "day" and budget.daily <= cap.amount:
        reasons.append(f"the daily budget of all members, {budget.daily}, is used up before")
    for reason in reasons:
        yield finding(
            "cap-does-nothing", terms.spec, "member_cap.amount", reason, "remove the cap, or lower it"
        )


def _limit(terms: Terms) -> Iterator[Finding]:
    cap, limit, budget = terms.spec.member_cap, terms.spec.member_limit, terms.spec.budget
    if limit is None:
        return
    reasons = []
    if (
        cap is not None
        and _lies_in(limit.period, cap.period)
        and _rewards_in(cap.amount, terms) <= limit.count
    ):
        rewards = number(_rewards_in(cap.amount, terms), "reward")
        reasons.append(f"the cap is used up after {rewards} of at least {terms.least}")
    if budget is not None and budget.total is not None and _rewards_in(budget.total, terms) <= limit.count:
        rewards = number(_rewards_in(budget.total, terms), "reward")
        reasons.append(f"the budget of all members is used up after {rewards} of at least {terms.least}")
    for reason in reasons:
        yield finding(
            "limit-does-nothing", terms.spec, "member_limit.count", reason, "remove the limit, or lower it"
        )


def _lies_in(inner: str, outer: str) -> bool:
    """Whether each `inner` period lies in one `outer` period. A week may lie in two months."""
    return _WITHIN[inner] <= _WITHIN[outer] and (inner, outer) != ("week", "month")


def _rewards_in(amount: int, terms: Terms) -> int:
    """After how many rewards `amount` is used up, at the latest."""
    return -(-amount // terms.least)


def _threshold(terms: Terms) -> Iterator[Finding]:
    spec = terms.spec
    count, total = spec.threshold_count, spec.threshold_minor
    path = "threshold_count" if count is not None else "threshold_minor"
    if count == 1 or (total is not None and total <= terms.lowest):
        yield finding(
            "threshold-met-by-one",
            spec,
            path,
            f"each purchase that qualifies, of at least {terms.lowest}, redeems alone",
            "raise it, or make this a campaign",
        )
    elif spec.new_members_only and (count is not None or (total is not None and total > terms.highest)):
        yield finding(
            "threshold-never-reached",
            spec,
            path,
            "new_members_only lets only a member's first purchase be stamped: there is no second stamp",
            "leave out new_members_only, or make this a campaign",
        )
