"""Limits, caps, budgets and new members, by the calendar of the schedule."""

from typing import Any

import pytest

from tests.streams.told import Line, campaign, payment, story, told, verdicts


def flat(amount: int = 100, **fields: Any) -> Line:
    return campaign("flat", reward={"type": "flat", "amount": amount}, **{"hold_days": 14, **fields})


def buy(number: int, at: str, amount: int = 1000, **fields: Any) -> Line:
    return payment("SETTLED", amount, at, external_id=f"t{number}", **fields)


def words(*args: Any, **fields: Any) -> list[str]:
    return [line["decision"] for line in told(*args, **fields).decisions]


@pytest.mark.parametrize(
    ("period", "same", "other"),
    [
        ("day", "02-05T23:59", "02-06"),
        ("week", "02-11T23:59", "02-12"),
        ("month", "02-29T23:59", "03-01"),
        ("lifetime", "12-31T23:59", None),
    ],
)
def test_a_limit_counts_purchases_by_calendar_period(period: str, same: str, other: str | None) -> None:
    program = flat(member_limit={"count": 1, "period": period})
    lines = [buy(1, "02-05"), buy(2, same)] + ([buy(3, other)] if other else [])
    assert words([program], lines) == ["REWARDED", "MEMBER_LIMIT"] + (["REWARDED"] if other else [])


@pytest.mark.parametrize(
    ("first", "second", "decision"),
    [
        # In Paris summer time begins on 2024-03-31: the day has 23 hours, from 23:00 to 22:00 UTC.
        ("03-30T23:00", "03-31T21:59", "MEMBER_LIMIT"),
        ("03-30T23:00", "03-31T22:00", "REWARDED"),
        ("03-30T22:59", "03-30T23:00", "REWARDED"),
        # It ends on 2024-10-27: 25 hours.
        ("10-26T22:00", "10-27T22:59", "MEMBER_LIMIT"),
        ("10-26T22:00", "10-27T23:00", "REWARDED"),
    ],
)
def test_days_are_those_of_the_schedule_also_when_the_clock_is_changed(
    first: str, second: str, decision: str
) -> None:
    program = flat(member_limit={"count": 1, "period": "day"}, schedule={"timezone": "Europe/Paris"})
    assert words([program], [buy(1, first), buy(2, second)]) == ["REWARDED", decision]


def test_a_limit_is_per_member_partner_mode_and_program_over_all_versions() -> None:
    first = flat(member_limit={"count": 1, "period": "lifetime"})
    second = {
        **first,
        "version": 2,
        "effective_from": "2024-02-10T00:00:00Z",
        "member_limit": {"count": 2, "period": "lifetime"},
    }
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),
        buy(3, "02-03", member_id="ben"),
        buy(4, "02-04", livemode=False),
        buy(5, "02-05", partner_id="shop"),
        buy(6, "02-10"),
        buy(7, "02-11"),
    ]
    expected = ["REWARDED", "MEMBER_LIMIT", "REWARDED", "REWARDED", "REWARDED", "REWARDED", "MEMBER_LIMIT"]
    assert words([first, second], lines) == expected


def test_a_reverted_reward_gives_its_limit_back_and_what_never_earned_takes_none() -> None:
    program = flat(member_limit={"count": 1, "period": "month"}, min_spend_minor=1000, hold_days=30)
    lines = [
        buy(1, "02-01", 999),
        buy(2, "02-02"),
        buy(3, "02-03"),
        payment("REFUNDED", 1000, "03-01", external_id="t2"),
        buy(4, "02-28"),  # late, but of February
        buy(5, "03-02"),
    ]
    result = told([program], lines)
    by_purchase = {line["transaction_ref"]: line["decision"] for line in result.decisions}
    assert by_purchase == {
        "t1": "BELOW_MIN_SPEND",
        "t2": "REWARDED",
        "t3": "MEMBER_LIMIT",
        "t4": "REWARDED",
        "t5": "REWARDED",
    }


def test_a_cap_cuts_the_reward_to_what_is_left_and_then_refuses() -> None:
    program = flat(60, member_cap={"amount": 100, "period": "month"})
    result = told([program], [buy(1, "02-01"), buy(2, "02-02"), buy(3, "02-03"), buy(4, "03-01")])
    words_and_amounts = [(line["decision"], line.get("amount")) for line in result.decisions]
    assert words_and_amounts == [
        ("REWARDED", 60),
        ("REWARDED", 40),
        ("MEMBER_CAP", None),
        ("REWARDED", 60),
    ]


def test_a_cut_reward_keeps_what_it_held_when_refunds_leave_enough_and_a_refund_never_raises_it() -> None:
    program = campaign(
        "p", reward={"type": "percent", "bps": 1000}, member_cap={"amount": 100, "period": "month"}
    )
    lines = [
        buy(1, "02-01", 700),  # 70
        buy(2, "02-02", 1000),  # 100, cut to 30
        payment("REFUNDED", 700, "02-03", external_id="t1"),  # 70 come free
        payment("REFUNDED", 100, "02-04", external_id="t2"),  # 90 wanted; stays 30
        payment("REFUNDED", 800, "02-05", external_id="t2", part_id="r2"),  # 10
        payment("SETTLED", 400, "02-06", external_id="t2", part_id="more"),  # 50
    ]
    assert story(told([program], lines)) == [
        "created 70 p#1 02-01",
        "created 30 p#1 02-02",
        "reverted p#1 02-03",
        "reverted p#1 02-05",
        "created 10 p#2 02-05",
        "reverted p#2 02-06",
        "created 50 p#3 02-06",
    ]


def test_what_is_over_its_limit_does_not_outrank_anybody() -> None:
    limited = flat(500, priority=5, member_limit={"count": 1, "period": "lifetime"})
    result = told([limited, campaign()], [buy(1, "02-01"), buy(2, "02-02")])
    assert verdicts(result) == {"flat": "MEMBER_LIMIT", "one-percent": "REWARDED"}


def test_a_reward_that_fell_to_nothing_comes_again_only_while_its_limit_is_free() -> None:
    program = flat(member_limit={"count": 1, "period": "lifetime"})
    lines = [
        payment("AUTHORIZED", 1000, "02-01", external_id="t1"),
        payment("REFUNDED", 1000, "02-02", external_id="t1"),
        buy(2, "02-03"),
        payment("AUTHORIZED", 500, "02-04", external_id="t1", part_id="more"),
        payment("REFUNDED", 1000, "02-05", external_id="t2"),
        payment("AUTHORIZED", 500, "02-06", external_id="t1", part_id="more still"),
    ]
    assert story(told([program], lines)) == [
        "created 100 flat#1 02-01",
        "reverted flat#1 02-02",
        "created 100 flat#1 02-03",
        "reverted flat#1 02-05",
        "created 100 flat#2 02-06",
    ]


def test_a_budget_is_shared_by_all_members_cut_at_its_end_and_given_back() -> None:
    program = flat(60, budget={"total": 100})
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02", member_id="ben"),
        buy(3, "02-03", member_id="cem"),
        payment("REFUNDED", 1000, "02-04", external_id="t1"),
        buy(4, "02-05", member_id="dot"),
        buy(5, "02-06", livemode=False),
    ]
    result = told([program], lines)
    assert [(line["decision"], line.get("amount")) for line in result.decisions] == [
        ("REWARDED", 60),
        ("REWARDED", 40),
        ("BUDGET_EXHAUSTED", None),
        ("REWARDED", 60),
        ("REWARDED", 60),
    ]


def test_a_daily_budget_is_that_of_the_day_of_the_purchase() -> None:
    program = flat(60, budget={"daily": 100, "total": 150})
    lines = [buy(number, at) for number, at in enumerate(("02-01", "02-01", "02-01", "02-02", "02-03"))]
    result = told([program], lines)
    assert [(line["decision"], line.get("amount")) for line in result.decisions] == [
        ("REWARDED", 60),
        ("REWARDED", 40),
        ("BUDGET_EXHAUSTED", None),
        ("REWARDED", 50),
        ("BUDGET_EXHAUSTED", None),
    ]


def test_new_members_are_those_without_a_standing_purchase_at_the_programs_merchants() -> None:
    program = flat(new_members_only=True, merchant_ids=["grocer", "inn"])
    lines = [
        buy(1, "02-01", merchant_id="baker"),
        buy(2, "02-02"),
        buy(3, "02-03", merchant_id="inn"),
        payment("REFUNDED", 1000, "02-04", external_id="t2"),
        payment("VOIDED", None, "02-04", external_id="t3", merchant_id="inn"),
        buy(4, "02-05"),
        buy(5, "02-06", member_id="ben"),
    ]
    result = told([program], lines)
    by_purchase = {line["transaction_ref"]: line["decision"] for line in result.decisions}
    assert by_purchase == {
        "t1": "NO_PROGRAM",
        "t2": "REWARDED",
        "t3": "NOT_NEW_MEMBER",
        "t4": "REWARDED",
        "t5": "REWARDED",
    }


def test_a_program_of_all_merchants_knows_a_member_from_anywhere() -> None:
    program = flat(new_members_only=True)
    assert words([program], [buy(1, "02-01", merchant_id="baker"), buy(2, "02-02")]) == [
        "REWARDED",
        "NOT_NEW_MEMBER",
    ]
