"""Stamps and redemptions, worked by hand."""

import pytest

from ops.oracle import recompute
from tests.oracle.phrases import (
    Line,
    answers,
    bought,
    campaign,
    flat,
    loyalty,
    percent,
    said,
    story,
    tales,
    tell,
    words,
)

TEN_PERCENT = percent(1000)
EVERY_SECOND = loyalty(TEN_PERCENT, threshold_count=2)
EVERY_THIRD = loyalty(TEN_PERCENT, threshold_count=3)
NOT_YET, YES = "THRESHOLD_NOT_REACHED", "REWARDED"


def refunded(when: str, external_id: str, amount: int = 1000, part_id: str | None = None) -> Line:
    return bought(when, external_id, amount, "REFUNDED", part_id=part_id)


def voided(when: str, external_id: str) -> Line:
    return said(when, "VOIDED", external_id=external_id)


def test_every_third_purchase_redeems_and_nothing_is_carried_over() -> None:
    lines = [bought(f"01 1{number}:00", str(number), 1000 + 100 * number) for number in range(7)]

    result = tell([EVERY_THIRD], lines)

    assert tales(result) == ["2 l#1 120 PENDING", "5 l#1 150 PENDING"]
    assert list(answers(result, "l").values()) == [NOT_YET, NOT_YET, YES, NOT_YET, NOT_YET, YES, NOT_YET]


def test_a_sum_redeems_when_the_nets_reach_it() -> None:
    lines = [
        bought("01 10:00", "a", 1500),
        refunded("01 11:00", "a", 600),
        bought("01 12:00", "b", 2099),
        bought("01 13:00", "c", 1),
        bought("01 14:00", "d", 2999),
        bought("01 15:00", "e", 1),
    ]

    result = tell([loyalty(flat(50), threshold_minor=3000)], lines)

    assert tales(result) == ["c l#1 50 PENDING", "e l#1 50 PENDING"]
    assert answers(result, "l") == {"a": NOT_YET, "b": NOT_YET, "c": YES, "d": NOT_YET, "e": YES}


def test_a_net_that_rises_while_the_stamp_is_held_counts_and_redeems_nothing_by_itself() -> None:
    lines = [
        bought("01 10:00", "a", 1000, part_id="1"),
        bought("01 11:00", "a", 5000, part_id="2"),
        bought("01 12:00", "b", 1),
    ]
    programs = [loyalty(flat(50), threshold_minor=3000)]

    assert tales(tell(programs, lines[:2])) == []
    assert tales(tell(programs, lines)) == ["b l#1 50 PENDING"]


@pytest.mark.parametrize(
    ("terms", "basket", "decision"),
    [
        ({}, 1000, NOT_YET),
        ({}, 0, NOT_YET),
        ({"min_spend_minor": 1001}, 1000, "BELOW_MIN_SPEND"),
        ({"max_spend_minor": 999}, 1000, "ABOVE_MAX_SPEND"),
        ({"min_spend_minor": 1000, "max_spend_minor": 1000}, 1000, NOT_YET),
        ({"channels": ["IN_STORE"]}, 1000, "CHANNEL_MISMATCH"),
        ({"valid_to": "2024-02-01T10:00:00Z"}, 1000, "OUTSIDE_VALIDITY"),
        ({"reward": percent(0)}, 1000, NOT_YET),
    ],
)
def test_what_is_said_to_a_purchase_that_does_not_redeem(terms: Line, basket: int, decision: str) -> None:
    program = {**EVERY_SECOND, **terms}

    result = tell([program], [bought("01 10:00", "a", basket), bought("01 11:00", "b")])

    assert answers(result, "l")["a"] == decision
    earns_a_stamp = decision == NOT_YET and basket > 0 and "reward" not in terms
    assert tales(result) == (["b l#1 100 PENDING"] if earns_a_stamp else [])


def test_a_refund_or_a_void_takes_the_stamp_and_a_capture_gives_it_again() -> None:
    program = loyalty(flat(50), threshold_count=2, min_spend_minor=500)
    lines = [
        bought("01 10:00", "a", 1000, part_id="1"),
        refunded("01 11:00", "a", 501),
        bought("01 12:00", "b"),
        voided("01 13:00", "b"),
        bought("01 14:00", "c"),
        bought("01 15:00", "a", 1, part_id="2"),
    ]

    assert answers(tell([program], lines[:5]), "l") == {"a": NOT_YET, "b": NOT_YET, "c": NOT_YET}
    result = tell([program], lines)
    assert tales(result) == ["a l#1 50 PENDING"]
    assert answers(result, "l")["a"] == YES


def test_a_gross_above_the_maximum_takes_the_stamp() -> None:
    program = loyalty(flat(50), threshold_count=2, max_spend_minor=1500)
    lines = [bought("01 10:00", "a", part_id="1"), bought("01 11:00", "a", part_id="2")]

    assert tales(tell([program], [*lines, bought("01 12:00", "b")])) == []


def test_a_word_on_the_spend_follows_the_amount_until_it_fits() -> None:
    program = loyalty(flat(50), threshold_count=2, min_spend_minor=500, max_spend_minor=900)
    lines = [
        bought("01 10:00", "a", 100, part_id="1"),
        bought("01 11:00", "a", 900, part_id="2"),
        refunded("01 12:00", "a", 600),
        said("01 13:00", "DECLINED", external_id="a"),
    ]

    said_so_far = [answers(tell([program], lines[:n]), "l")["a"] for n in (1, 2, 3, 4)]

    assert said_so_far == ["BELOW_MIN_SPEND", "ABOVE_MAX_SPEND", "ABOVE_MAX_SPEND", "TRANSACTION_VOID"]
    fits = tell([program], [lines[0], bought("01 11:00", "a", 800, part_id="2")])
    assert answers(fits, "l") == {"a": NOT_YET}
    fits_but_for_the_net = [
        refunded("01 09:00", "a", 500),
        lines[0],
        bought("01 11:00", "a", 700, part_id="2"),
    ]
    assert answers(tell([program], fits_but_for_the_net), "l") == {"a": NOT_YET}


def test_a_void_before_judging_is_the_decision() -> None:
    assert words(tell([EVERY_SECOND], [said("01 09:00", "VOIDED"), said("01 10:00", "SETTLED", 1000)])) == {
        "l": "TRANSACTION_VOID"
    }


def test_an_undone_redemption_gives_the_other_stamps_back_and_redeems_nothing_by_that() -> None:
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b"), bought("01 12:00", "c")),
        voided("01 13:00", "c"),
        bought("01 14:00", "d", 3000),
    ]

    undone = tell([EVERY_THIRD], lines[:4])
    redeemed_by_the_next = tell([EVERY_THIRD], lines)

    assert tales(undone) == ["c l#1 100 VOIDED"]
    assert tales(redeemed_by_the_next) == ["c l#1 100 VOIDED", "d l#1 300 PENDING"]
    assert answers(redeemed_by_the_next, "l") == {"a": NOT_YET, "b": NOT_YET, "c": YES, "d": YES}


def test_of_an_undone_redemption_only_stamps_that_still_qualify_come_back() -> None:
    lines = [
        *(bought("01 10:00", "a", part_id="1"), bought("01 11:00", "b"), bought("01 12:00", "c")),
        refunded("01 13:00", "a"),
        refunded("01 14:00", "c"),
        bought("01 15:00", "d"),
        bought("01 16:00", "a", part_id="2"),
    ]

    assert tales(tell([EVERY_THIRD], lines[:6])) == ["c l#1 100 REFUNDED"]
    assert tales(tell([EVERY_THIRD], lines)) == ["a l#1 100 PENDING", "c l#1 100 REFUNDED"]


def test_the_redeemer_follows_its_net_and_may_redeem_again_when_it_qualifies_again() -> None:
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", part_id="1")),
        refunded("01 12:00", "b", 400, "1"),
        refunded("01 13:00", "b", 600, "2"),
        bought("01 14:00", "b", 700, part_id="2"),
    ]

    result = tell([EVERY_SECOND], lines)

    assert tales(result) == ["b l#1 100 REFUNDED", "b l#2 60 REFUNDED", "b l#3 70 PENDING"]
    assert len({c.source["redemption_id"] for c in result.cashbacks.values()}) == 1
    assert [d.amount for d in result.decisions.values()] == [None, 70]


def test_a_reward_that_falls_to_nothing_while_the_purchase_qualifies_undoes_for_good() -> None:
    """The own stamp is gone until the purchase stops to qualify and qualifies again."""
    program = loyalty(percent(100), threshold_count=2)
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", part_id="1")),
        refunded("01 12:00", "b", 950),
        bought("01 13:00", "b", 950, part_id="2"),
        bought("01 14:00", "c"),
    ]

    assert tales(tell([program], lines)) == ["b l#1 10 REFUNDED", "c l#1 10 PENDING"]


def test_stamps_that_another_used_pay_nothing_of_their_own() -> None:
    """Neither does a purchase whose own redemption was undone before."""
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", part_id="1")),
        refunded("01 12:00", "b"),
        voided("01 12:30", "a"),
        bought("01 13:00", "b", 500, part_id="2"),
        bought("01 14:00", "c"),
        bought("01 15:00", "b", 500, part_id="3"),
    ]

    assert tales(tell([EVERY_SECOND], lines)) == ["b l#1 100 REFUNDED", "c l#1 100 PENDING"]


def test_a_redemption_that_cleared_is_never_undone() -> None:
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b")),
        voided("04 10:00", "b"),
        bought("04 11:00", "c"),
    ]

    result = tell([EVERY_SECOND], lines)

    assert tales(result) == ["b l#1 100 CLEARED"]
    assert answers(result, "l")["c"] == NOT_YET
    assert len(result.cases) == 1


def test_a_further_capture_after_a_redemption_cleared_brings_a_further_cashback() -> None:
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", part_id="1")),
        bought("04 10:00", "b", 500, part_id="2"),
    ]

    assert tales(tell([EVERY_SECOND], lines)) == ["b l#1 100 CLEARED", "b l#2 50 CLEARED"]


def test_an_unsettled_purchase_loses_its_stamp_at_its_deadline() -> None:
    program = loyalty(flat(50), threshold_count=2, auth_expiry_days=1)
    first = bought("01 10:00", "a", kind="AUTHORIZED")

    in_time = tell([program], [first, bought("01 11:00", "b", occurred_at="2024-02-02T09:59:59.999999Z")])
    too_late = tell([program], [first, bought("02 10:00", "b")])
    settled = tell([program], [first, bought("03 10:00", "b"), bought("03 11:00", "a")])

    assert tales(in_time) == ["b l#1 50 PENDING"]
    assert answers(too_late, "l") == {"a": NOT_YET, "b": NOT_YET}
    assert tales(settled) == ["a l#1 50 CLEARED"]


def test_a_redemption_on_an_authorization_that_runs_out_is_undone_and_made_again_on_settlement() -> None:
    program = loyalty(flat(50), threshold_count=2, auth_expiry_days=1, hold_days=0)
    lines = [
        *(bought("01 10:00", "a"), bought("01 11:00", "b", kind="AUTHORIZED")),
        bought("03 10:00", "b"),
    ]

    assert tales(tell([program], lines[:2], until="02 11:00")) == ["b l#1 50 AUTH_EXPIRED"]
    assert tales(tell([program], lines)) == ["b l#1 50 AUTH_EXPIRED", "b l#2 50 CLEARED"]
    between = tell([program], [*lines[:2], bought("02 12:00", "c"), lines[2]])
    assert tales(between) == ["b l#1 50 AUTH_EXPIRED", "c l#1 50 CLEARED"]


def test_a_stamp_used_by_another_that_ran_out_meanwhile_does_not_come_back() -> None:
    program = loyalty(flat(50), threshold_count=2, auth_expiry_days=1)
    lines = [
        *(bought("01 10:00", "a", kind="AUTHORIZED"), bought("01 11:00", "b")),
        voided("02 10:30", "b"),
        bought("02 11:00", "c"),
    ]

    assert tales(tell([program], lines)) == ["b l#1 50 VOIDED"]
    before_that = [*lines[:2], voided("02 09:30", "b"), bought("02 09:45", "c")]
    assert tales(tell([program], before_that)) == ["b l#1 50 VOIDED", "c l#1 50 PENDING"]


@pytest.mark.parametrize(
    ("bounds", "reason"),
    [
        ({"member_limit": {"count": 1, "period": "day"}}, "MEMBER_LIMIT"),
        ({"member_cap": {"amount": 100, "period": "day"}}, "MEMBER_CAP"),
        ({"budget": {"daily": 100}}, "BUDGET_EXHAUSTED"),
    ],
)
def test_where_a_bound_forbids_it_the_stamps_stay_for_the_next(bounds: Line, reason: str) -> None:
    lines = [bought(f"01 1{number}:00", str(number)) for number in range(5)]
    lines += [bought("02 00:00", "5"), bought("02 01:00", "6")]

    result = tell([{**EVERY_SECOND, **bounds}], lines)

    assert list(answers(result, "l").values()) == [NOT_YET, YES, NOT_YET, reason, reason, YES, NOT_YET]
    assert tales(result) == ["1 l#1 100 PENDING", "5 l#1 100 PENDING"]


def test_a_reward_of_nothing_redeems_nothing() -> None:
    lines = [bought("01 10:00", "a"), bought("01 11:00", "b", 99), bought("01 12:00", "c")]

    result = tell([loyalty(percent(100), threshold_count=2)], lines)

    assert answers(result, "l") == {"a": NOT_YET, "b": "REWARD_ZERO", "c": YES}


def test_cap_and_budget_cut_a_redemption() -> None:
    program = {**EVERY_SECOND, "member_cap": {"amount": 70, "period": "day"}, "budget": {"total": 90}}
    lines = [bought(f"0{day} 10:00", f"{day}") for day in (1, 2, 3, 4)]

    assert tales(tell([program], lines)) == ["2 l#1 70 CLEARED", "4 l#1 20 PENDING"]


def test_loyalty_stands_beside_the_choice() -> None:
    programs = [campaign(flat(5)), loyalty(flat(1), threshold_count=1, priority=9)]

    result = tell(programs, [said("01 10:00", "SETTLED", 1000)])

    assert words(result) == {"l": YES, "p": YES}
    assert story(result) == ["l#1 1 PENDING", "p#1 5 PENDING"]


def test_the_figure_is_that_of_the_version_of_the_purchase_whose_stamp_is_given() -> None:
    programs = [
        EVERY_THIRD,
        {**EVERY_SECOND, "version": 2, "effective_from": "2024-02-01T11:00:00Z"},
    ]

    assert tales(tell(programs, [bought("01 10:00", "a"), bought("01 11:00", "b")])) == ["b l#1 100 PENDING"]


def test_members_programs_and_modes_have_their_own_stamps() -> None:
    lines = [
        bought("01 10:00", "a"),
        bought("01 11:00", "b", member_id="ben"),
        bought("01 12:00", "c", partner_id="wallet"),
        bought("01 13:00", "d", livemode=False),
        bought("01 14:00", "e", merchant_id="inn"),
    ]
    programs = [EVERY_SECOND, loyalty(flat(5), "m", threshold_count=2, merchant_ids=["inn"])]

    assert tales(recompute(programs, lines)) == ["e l#1 100 PENDING"]
