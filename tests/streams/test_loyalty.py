"""Stamps: given while a purchase qualifies, used by a redemption, given back when that is undone."""

from typing import Any

import pytest

from schemas import ids
from tests.streams.told import Line, campaign, payment, stamps, story, told, verdicts


def buy(number: int, at: str, amount: int = 1000, kind: str = "SETTLED", **fields: Any) -> Line:
    return payment(kind, amount, at, external_id=f"t{number}", **fields)


def words(result: Any) -> list[tuple[str, str]]:
    return [(line["transaction_ref"], line["decision"]) for line in result.decisions]


def test_the_third_purchase_redeems_and_the_fourth_begins_a_new_card() -> None:
    result = told([stamps(external_id="sc_1")], [buy(number, f"02-0{number}") for number in range(1, 8)])
    assert story(result) == ["created 500 card#1 02-03", "created 500 card#1 02-06"]
    assert [word for _, word in words(result)] == [
        *("THRESHOLD_NOT_REACHED", "THRESHOLD_NOT_REACHED", "REWARDED") * 2,
        "THRESHOLD_NOT_REACHED",
    ]
    assert result.events[0]["source"] == {
        "type": "loyalty-program-redemption",
        "loyalty_program_id": "card",
        "redemption_id": ids.redemption_id(True, "bank", "ann", "t3", "card"),
        "external_id": "sc_1",
    }


def test_a_spend_threshold_sums_the_nets_of_the_stamped_purchases_and_carries_nothing_over() -> None:
    program = stamps(threshold_count=None, threshold_minor=3000)
    del program["threshold_count"]
    lines = [
        buy(1, "02-01", 1500),
        payment("REFUNDED", 600, "02-02", external_id="t1"),  # 900
        buy(2, "02-03", 2000),  # 2900
        buy(3, "02-04", 5000),  # 7900: redeems, nothing is left
        buy(4, "02-05", 2999),
        buy(5, "02-06", 1),
    ]
    assert story(told([program], lines)) == [
        "created 500 card#1 02-04",
        "created 500 card#1 02-06",
    ]


def test_a_net_that_rises_changes_the_sum_and_redeems_nothing_by_itself() -> None:
    program = stamps(threshold_minor=3000)
    del program["threshold_count"]
    lines = [buy(1, "02-01", 1500), buy(1, "02-02", 2000, part_id="more"), buy(2, "02-03", 1)]
    assert story(told([program], lines)) == ["created 500 card#1 02-03"]


def test_a_stamp_is_taken_by_a_refund_and_given_again() -> None:
    lines = [
        buy(1, "02-01"),
        payment("REFUNDED", 1000, "02-02", external_id="t1"),
        buy(2, "02-03"),
        buy(3, "02-04"),
        buy(1, "02-05", 1, part_id="again"),
    ]
    result = told([stamps()], lines)
    assert story(result) == ["created 500 card#1 02-05"]
    assert words(result)[-1] == ("t1", "REWARDED")


def test_an_undone_redemption_gives_the_other_stamps_back() -> None:
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),
        buy(3, "02-03"),
        payment("REFUNDED", 1000, "02-04", external_id="t3"),
        buy(4, "02-05"),
        buy(3, "02-06", 500, part_id="again"),
        buy(5, "02-07"),
        buy(6, "02-08"),
    ]
    result = told([stamps()], lines)
    assert story(result) == [
        "created 500 card#1 02-03",
        "reverted card#1 02-04",
        "created 500 card#1 02-05",
        "created 500 card#1 02-08",
    ]
    assert {event["transaction_ref"] for event in result.events[2:]} == {"t4", "t6"}


def test_a_redeeming_purchase_that_qualifies_again_may_redeem_again_with_the_next_sequence() -> None:
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),
        buy(3, "02-03"),
        payment("REFUNDED", 1000, "02-04", external_id="t3"),
        buy(3, "02-06", 500, part_id="again"),
    ]
    result = told([stamps()], lines)
    assert story(result) == [
        "created 500 card#1 02-03",
        "reverted card#1 02-04",
        "created 500 card#2 02-06",
    ]
    first, _, second = result.events
    assert first["source"]["redemption_id"] == second["source"]["redemption_id"]


def test_used_stamps_whose_purchases_were_refunded_meanwhile_do_not_come_back() -> None:
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),
        buy(3, "02-03"),
        payment("REFUNDED", 1000, "02-04", external_id="t1"),  # a used stamp: nothing changes
        payment("VOIDED", None, "02-05", external_id="t3"),  # undone: t2 alone comes back
        buy(4, "02-06"),
        buy(5, "02-07"),
    ]
    assert story(told([stamps()], lines)) == [
        "created 500 card#1 02-03",
        "reverted card#1 02-05",
        "created 500 card#1 02-07",
    ]


def test_a_used_stamp_is_not_given_again_when_its_purchase_qualifies_anew() -> None:
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),
        buy(3, "02-03"),
        payment("REFUNDED", 1000, "02-04", external_id="t1"),
        buy(1, "02-05", 500, part_id="again"),
        buy(4, "02-06"),
        buy(5, "02-07"),
        buy(6, "02-08"),
    ]
    result = told([stamps()], lines)
    assert story(result) == ["created 500 card#1 02-03", "created 500 card#1 02-08"]
    assert {event["transaction_ref"] for event in result.events} == {"t3", "t6"}


@pytest.mark.parametrize("days_later", ["02-07", "03-07"], ids=["may be undone", "has cleared"])
def test_a_stamp_lost_under_a_redemption_that_was_undone_is_given_again_though_its_epoch_is_used_anew(
    days_later: str,
) -> None:
    lines = [
        buy(1, "02-01"),
        buy(2, "02-02"),  # redeems with both
        payment("REFUNDED", 1000, "02-03", external_id="t1"),
        payment("REFUNDED", 1000, "02-04", external_id="t2"),  # undone, and no stamp is left
        buy(2, "02-05", part_id="again"),
        buy(3, "02-06"),  # redeems
        buy(1, days_later, part_id="again"),
        buy(4, "03-08"),
    ]
    result = told([stamps(threshold_count=2)], lines)
    redeemed = [event["transaction_ref"] for event in result.events if event["type"] == "cashback.created"]
    assert redeemed == ["t2", "t3", "t4"]


def test_a_cleared_redemption_is_never_undone() -> None:
    lines = [buy(number, f"02-0{number}") for number in (1, 2, 3)]
    lines += [payment("REFUNDED", 1000, "03-01", external_id="t3"), buy(4, "03-02"), buy(5, "03-03")]
    result = told([stamps()], lines)
    assert story(result) == ["created 500 card#1 02-03", "cleared card#1 02-17"]
    [case] = result.cases
    assert case["shortfall"] == 500


def test_a_forbidden_redemption_keeps_the_stamps() -> None:
    program = stamps(member_limit={"count": 1, "period": "month"})
    lines = [buy(number, f"02-0{number}") for number in range(1, 7)] + [buy(7, "03-01")]
    result = told([program], lines)
    assert story(result)[0] == "created 500 card#1 02-03"
    assert words(result)[5:] == [("t6", "MEMBER_LIMIT"), ("t7", "REWARDED")]


def test_a_zero_reward_forbids_too_and_the_next_stamp_may_redeem() -> None:
    ladder = {
        "type": "tiered",
        "brackets": [
            {"up_to_minor": 1000, "reward": {"type": "flat", "amount": 0}},
            {"reward": {"type": "flat", "amount": 9}},
        ],
    }
    lines = [buy(1, "02-01"), buy(2, "02-02"), buy(3, "02-03"), buy(4, "02-04", 1001)]
    result = told([stamps(reward=ladder)], lines)
    assert words(result)[2:] == [("t3", "REWARD_ZERO"), ("t4", "REWARDED")]


def test_an_unsettled_purchase_loses_its_stamp_at_its_deadline_and_a_redemption_expires_with_it() -> None:
    program = stamps(auth_expiry_days=5)
    lines = [
        buy(1, "02-01", kind="AUTHORIZED"),
        buy(2, "02-02"),
        buy(3, "02-03", kind="AUTHORIZED"),  # redeems
        buy(4, "02-09"),  # t1 expired on the 6th, t3 on the 8th: t2 came back alone
        buy(5, "02-10"),
    ]
    assert story(told([program], lines)) == [
        "created 500 card#1 02-03",
        "reverted card#1 02-08",
        "created 500 card#1 02-10",
    ]


def test_loyalty_stands_beside_the_choice() -> None:
    result = told([stamps(threshold_count=1), campaign()], [buy(1, "02-01")])
    assert verdicts(result) == {"card": "REWARDED", "one-percent": "REWARDED"}
    assert "external_id" not in result.events[0]["source"]


def test_what_does_not_qualify_by_gross_waits_for_it() -> None:
    program = stamps(threshold_count=1, min_spend_minor=2000)
    lines = [buy(1, "02-01", kind="AUTHORIZED"), buy(1, "02-02", 2500)]
    result = told([program], lines)
    assert words(result) == [("t1", "BELOW_MIN_SPEND"), ("t1", "REWARDED")]
