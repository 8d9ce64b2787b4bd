"""Limits and caps, worked by hand."""

from typing import Any

import pytest

from ops.oracle import TermsBook, recompute, recompute_log
from tests.oracle.phrases import (
    Line,
    answers,
    bought,
    campaign,
    clipped,
    deal,
    flat,
    logged,
    percent,
    tales,
    tell,
    words,
)

TEN_PERCENT = percent(1000)
ONCE_A_DAY: Line = {"member_limit": {"count": 1, "period": "day"}}


def at(instant: str, external_id: str, amount: int = 1000) -> Line:
    return bought("01 00:00", external_id, amount, occurred_at=instant)


def capped(amount: int, period: str = "lifetime", **terms: Any) -> Line:
    return campaign(TEN_PERCENT, member_cap={"amount": amount, "period": period}, **terms)


@pytest.mark.parametrize(
    ("zone", "period", "first", "second", "is_the_same"),
    [
        # The day on which summer time begins has 23 hours in Paris
        ("Europe/Paris", "day", "2024-03-30T23:00:00Z", "2024-03-31T21:59:59.999999Z", True),
        ("Europe/Paris", "day", "2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z", False),
        ("Europe/Paris", "day", "2024-03-30T22:59:59.999999Z", "2024-03-30T23:00:00Z", False),
        # and the day on which it ends has 25 in New York
        ("America/New_York", "day", "2024-11-03T04:00:00Z", "2024-11-04T04:59:59.999999Z", True),
        ("America/New_York", "day", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z", False),
        ("America/New_York", "day", "2024-11-03T03:59:59.999999Z", "2024-11-03T04:00:00Z", False),
        (None, "day", "2024-02-01T00:00:00Z", "2024-02-01T23:59:59.999999Z", True),
        (None, "day", "2024-02-01T23:59:59.999999Z", "2024-02-02T00:00:00Z", False),
        # Weeks begin on Monday and belong to the year of their Thursday
        ("Europe/Paris", "week", "2024-02-04T23:00:00Z", "2024-02-11T22:59:59.999999Z", True),
        ("Europe/Paris", "week", "2024-02-04T22:59:59.999999Z", "2024-02-04T23:00:00Z", False),
        (None, "week", "2024-12-30T00:00:00Z", "2025-01-05T23:59:59Z", True),
        (None, "week", "2024-01-01T00:00:00Z", "2024-12-30T00:00:00Z", False),
        ("America/New_York", "month", "2024-02-01T05:00:00Z", "2024-03-01T04:59:59.999999Z", True),
        ("America/New_York", "month", "2024-02-01T04:59:59.999999Z", "2024-02-01T05:00:00Z", False),
        (None, "month", "2024-02-01T00:00:00Z", "2025-02-01T00:00:00Z", False),
        (None, "lifetime", "2024-02-01T00:00:00Z", "2034-02-01T00:00:00Z", True),
    ],
)
def test_a_period_is_of_the_calendar_in_its_zone(
    zone: str | None, period: str, first: str, second: str, is_the_same: bool
) -> None:
    schedule = {} if zone is None else {"schedule": {"timezone": zone}}
    programs = [
        campaign(flat(5), "limit", stackable=True, member_limit={"count": 1, "period": period}, **schedule),
        campaign(flat(5), "cap", stackable=True, member_cap={"amount": 5, "period": period}, **schedule),
    ]

    result = recompute(programs, [at(first, "x"), at(second, "y")])

    assert answers(result, "limit")["y"] == ("MEMBER_LIMIT" if is_the_same else "REWARDED")
    assert answers(result, "cap")["y"] == ("MEMBER_CAP" if is_the_same else "REWARDED")


def test_a_limit_counts_a_purchase_once_and_gives_it_back_when_nothing_is_left() -> None:
    lines = [
        bought("01 08:00", "x", 1000, "AUTHORIZED"),
        bought("01 09:00", "x", 800),
        bought("01 10:00", "y"),
        bought("01 11:00", "z", member_id="ben"),
        bought("01 12:00", "x", 800, "REFUNDED"),
        bought("01 13:00", "v"),
    ]

    result = tell([campaign(TEN_PERCENT, **ONCE_A_DAY)], lines)

    assert answers(result, "p") == {
        "x": "REWARDED",
        "y": "MEMBER_LIMIT",
        "z": "REWARDED",
        "v": "REWARDED",
    }
    assert tales(result)[:2] == ["v p#1 100 PENDING", "x p#1 100 RECOMPUTED"]


def test_what_cleared_counts_and_what_expired_does_not() -> None:
    programs = [campaign(flat(5), auth_expiry_days=1, member_limit={"count": 1, "period": "lifetime"})]
    lines = [bought("01 10:00", "x", 1000, "AUTHORIZED"), bought("02 10:00", "y"), bought("09 10:00", "z")]

    result = tell(programs, lines)

    assert answers(result, "p") == {"x": "REWARDED", "y": "REWARDED", "z": "MEMBER_LIMIT"}
    assert tales(result) == ["x p#1 5 AUTH_EXPIRED", "y p#1 5 CLEARED"]


def test_uses_count_over_all_versions_with_the_figure_of_the_one_judged_under() -> None:
    programs = [
        campaign(flat(5)),
        campaign(
            flat(5),
            version=2,
            effective_from="2024-02-01T11:00:00Z",
            member_limit={"count": 2, "period": "day"},
        ),
        campaign(flat(5), version=3, effective_from="2024-02-01T13:00:00Z", **ONCE_A_DAY),
        campaign(
            flat(5),
            version=4,
            effective_from="2024-02-01T14:00:00Z",
            member_limit={"count": 3, "period": "day"},
        ),
    ]
    lines = [bought(f"01 1{hour}:00", str(hour)) for hour in range(6)]

    assert answers(tell(programs, lines), "p") == {
        "0": "REWARDED",
        "1": "REWARDED",
        "2": "MEMBER_LIMIT",
        "3": "MEMBER_LIMIT",
        "4": "REWARDED",
        "5": "MEMBER_LIMIT",
    }


def test_a_program_counts_from_the_place_where_a_version_with_a_bound_is_known() -> None:
    programs = [
        campaign(flat(5)),
        campaign(flat(5), version=2, effective_from="2024-02-01T11:00:00Z", **ONCE_A_DAY),
    ]
    lines = [bought("01 10:00", "x"), bought("01 12:00", "y"), bought("01 13:00", "z")]

    known = recompute_log(TermsBook(programs), logged(*lines))
    published_later = recompute_log(TermsBook(programs, {("p", 2): 1}), logged(*lines))

    assert answers(known, "p") == {"x": "REWARDED", "y": "MEMBER_LIMIT", "z": "MEMBER_LIMIT"}
    assert answers(published_later, "p") == {"x": "REWARDED", "y": "REWARDED", "z": "MEMBER_LIMIT"}


def test_test_traffic_and_other_partners_have_their_own_counters() -> None:
    programs = [campaign(flat(5), member_limit={"count": 1, "period": "lifetime"}, budget={"total": 10})]
    lines = [
        bought("01 10:00", "x"),
        bought("01 11:00", "y", livemode=False),
        bought("01 12:00", "z", partner_id="wallet"),
        bought("01 13:00", "w", member_id="ben"),
    ]

    assert answers(tell(programs, lines), "p") == {
        "x": "REWARDED",
        "y": "REWARDED",
        "z": "REWARDED",
        "w": "BUDGET_EXHAUSTED",
    }


def test_a_cap_cuts_and_what_is_refunded_frees_it() -> None:
    lines = [
        bought("01 08:00", "x"),
        bought("01 09:00", "y"),
        bought("01 10:00", "z"),
        bought("01 11:00", "x", 600, "REFUNDED"),
        bought("01 12:00", "v"),
    ]

    result = tell([capped(150)], lines)

    assert tales(result) == [
        *("v p#1 60 PENDING", "x p#1 100 REFUNDED", "x p#2 40 PENDING", "y p#1 50 PENDING"),
    ]
    assert answers(result, "p")["z"] == "MEMBER_CAP"
    assert [d.amount for d in result.decisions.values()] == [100, 50, None, 60]


def test_a_raise_is_cut_by_what_is_left_beside_what_is_held() -> None:
    lines = [
        bought("01 08:00", "x", 1000, part_id="1"),
        bought("01 09:00", "y", 300),
        bought("01 10:00", "x", 2000, part_id="2"),
        bought("01 11:00", "y", 300, "REFUNDED"),
        bought("01 12:00", "x", 1, part_id="3"),
        bought("01 13:00", "x", 1, part_id="4"),
    ]

    result = tell([capped(150)], lines)

    assert tales(result) == [
        "x p#1 100 RECOMPUTED",
        "x p#2 120 RECOMPUTED",
        "x p#3 150 PENDING",
        "y p#1 30 REFUNDED",
    ]


def test_a_refund_takes_nothing_from_a_cut_reward_until_the_reward_falls_below_it() -> None:
    lines = [
        bought("01 08:00", "x", 3000),
        bought("01 09:00", "x", 1500, "REFUNDED", part_id="1"),
        bought("01 10:00", "x", 600, "REFUNDED", part_id="2"),
    ]

    assert tales(tell([capped(100)], lines[:2])) == ["x p#1 100 PENDING"]
    assert tales(tell([capped(100)], lines)) == ["x p#1 100 REFUNDED", "x p#2 90 PENDING"]


def test_a_refund_never_brings_what_the_cap_had_cut() -> None:
    """Not even when another purchase has freed the cap meanwhile."""
    lines = [
        bought("01 08:00", "y", 800),
        bought("01 09:00", "x", 3000),
        bought("01 10:00", "y", 800, "REFUNDED"),
        bought("01 11:00", "x", 1, "REFUNDED", part_id="1"),
    ]

    assert tales(tell([capped(100)], lines)) == ["x p#1 20 PENDING", "y p#1 80 REFUNDED"]
    raised = tell([capped(100)], [*lines, bought("01 12:00", "x", 1, part_id="2")])
    assert tales(raised)[:2] == ["x p#1 20 RECOMPUTED", "x p#2 100 PENDING"]


def test_a_capture_that_changes_nothing_raises_nothing() -> None:
    lines = [
        bought("01 08:00", "y", 800),
        bought("01 09:00", "x", 3000),
        bought("01 10:00", "y", 800, "REFUNDED"),
        bought("01 11:00", "x", 0, part_id="2"),
    ]

    assert tales(tell([capped(100)], lines))[0] == "x p#1 20 PENDING"


def test_a_settlement_raises_what_the_cap_had_cut() -> None:
    lines = [
        bought("01 08:00", "y", 800),
        bought("01 09:00", "x", 3000, "AUTHORIZED"),
        bought("01 10:00", "y", 800, "REFUNDED"),
        bought("01 11:00", "x", 3000),
    ]

    assert tales(tell([capped(100)], lines))[:2] == ["x p#1 20 RECOMPUTED", "x p#2 100 PENDING"]


def test_a_reward_that_fell_to_nothing_comes_back_only_while_the_limit_is_free() -> None:
    lines = [
        bought("01 08:00", "x", part_id="1"),
        bought("01 09:00", "x", 1000, "REFUNDED"),
        bought("01 10:00", "y"),
        bought("01 11:00", "x", 500, part_id="2"),
        bought("01 12:00", "y", 1000, "REFUNDED"),
        bought("01 13:00", "x", 500, part_id="3"),
    ]
    programs = [campaign(TEN_PERCENT, **ONCE_A_DAY)]

    assert tales(tell(programs, lines[:4])) == ["x p#1 100 REFUNDED", "y p#1 100 PENDING"]
    assert answers(tell(programs, lines[:4]), "p")["x"] == "REWARDED"
    assert tales(tell(programs, lines)) == [
        *("x p#1 100 REFUNDED", "x p#2 100 PENDING", "y p#1 100 REFUNDED"),
    ]


def test_a_further_capture_after_clearing_needs_room_under_the_cap_and_no_limit() -> None:
    programs = [capped(150, member_limit={"count": 1, "period": "lifetime"})]
    lines = [bought("01 08:00", "x", part_id="1"), bought("04 08:00", "x", 2000, part_id="2")]

    assert tales(tell(programs, lines)) == ["x p#1 100 CLEARED", "x p#2 50 CLEARED"]


def test_a_pair_that_waits_finds_the_limit_taken_and_waits_no_more() -> None:
    lines = [
        bought("01 08:00", "x", 100, part_id="1"),
        bought("01 09:00", "y"),
        bought("01 10:00", "x", 1000, part_id="2"),
        bought("01 11:00", "y", 1000, "REFUNDED"),
        bought("01 12:00", "x", 1000, part_id="3"),
    ]

    result = tell([campaign(TEN_PERCENT, min_spend_minor=500, **ONCE_A_DAY)], lines)

    assert answers(result, "p") == {"x": "MEMBER_LIMIT", "y": "REWARDED"}
    assert tales(result) == ["y p#1 100 REFUNDED"]


def test_limit_comes_before_cap_and_cap_before_budget() -> None:
    limit, cap = {"count": 1, "period": "day"}, {"amount": 5, "period": "day"}
    lines = [bought("01 08:00", "x"), bought("01 09:00", "y")]
    programs = [
        campaign(flat(5), "1", stackable=True, member_limit=limit, member_cap=cap, budget={"total": 5}),
        campaign(flat(5), "2", stackable=True, member_cap=cap, budget={"total": 5}),
        campaign(flat(5), "3", stackable=True, budget={"daily": 5}),
    ]

    result = tell(programs, lines)

    said_of_y = [answers(result, program)["y"] for program in "123"]
    assert said_of_y == ["MEMBER_LIMIT", "MEMBER_CAP", "BUDGET_EXHAUSTED"]


def test_a_program_without_room_does_not_outrank() -> None:
    programs = [deal(flat(5), **ONCE_A_DAY), campaign(flat(1))]
    lines = [bought("01 08:00", "x"), bought("01 09:00", "y")]

    result = tell(programs, lines, entitlements=[clipped("c", "01 07:00"), clipped("e", "01 07:00")])

    assert answers(result, "d") == {"x": "REWARDED", "y": "MEMBER_LIMIT"}
    assert answers(result, "p") == {"x": "OUTRANKED", "y": "REWARDED"}


def test_a_fully_refunded_purchase_without_room_says_so_first() -> None:
    lines = [bought("01 08:00", "x"), bought("01 09:00", "y", 1000, "REFUNDED"), bought("01 10:00", "y")]

    assert answers(tell([campaign(flat(5), **ONCE_A_DAY)], lines), "p")["y"] == "MEMBER_LIMIT"


def test_the_choice_looks_at_rewards_before_cap_and_budget() -> None:
    programs = [
        campaign(flat(100), "a", budget={"total": 7}),
        campaign(flat(50), "b"),
    ]

    result = tell(programs, [bought("01 08:00", "x")])

    assert tales(result) == ["x a#1 7 PENDING"]
    assert words(result) == {"a": "REWARDED", "b": "OUTRANKED"}


def test_a_case_compares_with_the_uncut_reward() -> None:
    lines = [
        bought("01 08:00", "x"),
        bought("05 08:00", "x", 400, "REFUNDED", part_id="1"),
        bought("05 09:00", "x", 300, "REFUNDED", part_id="2"),
    ]

    assert not tell([capped(50)], lines[:2]).cases
    (case,) = tell([capped(50)], lines).cases.values()
    assert (case.shortfall, case.net_minor) == (20, 300)
