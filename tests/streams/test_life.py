"""The life of a cashback, told as stories: given these payments, these events."""

import pytest

from tests.streams.told import campaign, payment, story, told, verdicts

SETTLED_AUTHORIZED = [payment("AUTHORIZED", 5000, "02-01"), payment("SETTLED", 5000, "02-03")]


def test_the_hold_counts_from_the_purchase() -> None:
    result = told([campaign()], SETTLED_AUTHORIZED, until="03-01")
    assert story(result) == ["created 50 one-percent#1 02-01", "cleared one-percent#1 02-15"]


def test_the_hold_can_count_from_the_settlement() -> None:
    result = told([campaign(hold_anchor="settled")], SETTLED_AUTHORIZED, until="03-01")
    assert story(result)[-1] == "cleared one-percent#1 02-17"


def test_nothing_clears_before_it_is_settled() -> None:
    late = [payment("AUTHORIZED", 5000, "02-01"), payment("SETTLED", 5000, "02-20")]
    assert story(told([campaign()], late))[-1] == "cleared one-percent#1 02-20"


def test_without_a_hold_created_and_cleared_come_at_once() -> None:
    result = told([campaign(hold_days=0)], [payment("SETTLED", 5000, "02-01")])
    assert story(result) == ["created 50 one-percent#1 02-01", "cleared one-percent#1 02-01"]


def test_three_partial_refunds_take_it_down_step_by_step() -> None:
    lines = [payment("SETTLED", 3333, "02-01")]
    lines += [payment("REFUNDED", 1111, f"02-0{day}", part_id=str(day)) for day in (2, 3, 4)]
    assert story(told([campaign("p", reward={"type": "percent", "bps": 150})], lines, until="04-01")) == [
        "created 49 p#1 02-01",
        "reverted p#1 02-02",
        "created 33 p#2 02-02",
        "reverted p#2 02-03",
        "created 16 p#3 02-03",
        "reverted p#3 02-04",
    ]


def test_a_refund_before_its_purchase_waits_for_it() -> None:
    lines = [payment("REFUNDED", 2000, "02-01"), payment("SETTLED", 5000, "02-02")]
    assert story(told([campaign()], lines)) == ["created 30 one-percent#1 02-02"]


def test_a_void_before_its_purchase_leaves_nothing_to_reward() -> None:
    result = told([campaign()], [payment("VOIDED", None, "02-02"), payment("AUTHORIZED", 5000, "02-01")])
    assert (story(result), verdicts(result)) == ([], {"one-percent": "TRANSACTION_VOID"})


@pytest.mark.parametrize("kind", ["VOIDED", "DECLINED"])
def test_a_void_takes_a_pending_reward_back_for_good(kind: str) -> None:
    lines = [
        *SETTLED_AUTHORIZED,
        payment(kind, None, "02-04"),
        payment("SETTLED", 9000, "02-05", part_id="2"),
    ]
    assert story(told([campaign()], lines, until="04-01")) == [
        "created 50 one-percent#1 02-01",
        "reverted one-percent#1 02-04",
    ]


def test_an_authorization_without_amount_waits_for_the_first_amount() -> None:
    result = told([campaign()], [payment("AUTHORIZED", None, "02-01"), payment("SETTLED", 5000, "02-03")])
    assert story(result) == ["created 50 one-percent#1 02-03"]
    assert [line["decision"] for line in result.decisions] == ["AMOUNT_REQUIRED", "REWARDED"]


def test_a_pre_authorization_below_min_spend_is_rewarded_once_enough_is_captured() -> None:
    lines = [payment("AUTHORIZED", 100, "02-01"), payment("SETTLED", 4000, "02-03")]
    result = told([campaign(min_spend_minor=1001)], lines)
    assert story(result) == ["created 40 one-percent#1 02-03"]
    assert [line["decision"] for line in result.decisions] == ["BELOW_MIN_SPEND", "REWARDED"]


def test_an_unsettled_reward_expires_and_comes_back_when_settled() -> None:
    lines = [payment("AUTHORIZED", 5000, "02-01"), payment("SETTLED", 5000, "03-10")]
    assert story(told([campaign()], lines)) == [
        "created 50 one-percent#1 02-01",
        "reverted one-percent#1 03-02",
        "created 50 one-percent#2 03-10",
        "cleared one-percent#2 03-10",
    ]


def test_a_capture_after_clearing_adds_what_is_missing() -> None:
    lines = [payment("SETTLED", 5000, "02-01"), payment("SETTLED", 3000, "03-01", part_id="2")]
    assert story(told([campaign()], lines)) == [
        "created 50 one-percent#1 02-01",
        "cleared one-percent#1 02-15",
        "created 30 one-percent#2 03-01",
        "cleared one-percent#2 03-01",
    ]


def test_a_refund_after_clearing_opens_one_case_that_later_refunds_revise() -> None:
    lines = [payment("SETTLED", 5000, "02-01")]
    lines += [payment("REFUNDED", 1000, f"03-0{day}", part_id=str(day)) for day in (1, 2)]
    result = told([campaign()], lines)
    assert story(result)[-1] == "cleared one-percent#1 02-15"
    assert [(case["revision"], case["shortfall"], case["net_minor"]) for case in result.cases] == [
        (1, 10, 4000),
        (2, 20, 3000),
    ]
    assert len({case["case_id"] for case in result.cases}) == 1


def test_more_refunded_than_bought_is_clamped_and_counted_once() -> None:
    lines = [payment("SETTLED", 5000, "02-01")]
    lines += [payment("REFUNDED", 4000, f"02-0{day}", part_id=str(day)) for day in (2, 3, 4)]
    result = told([campaign()], lines)
    assert story(result)[-1] == "reverted one-percent#2 02-03"
    assert result.counts["over_refunded"] == 1


def test_due_items_fire_in_order_of_time_then_name() -> None:
    lines = [
        payment("SETTLED", 5000, "02-01", member_id="zoe"),
        payment("SETTLED", 5000, "02-01", member_id="ann"),
        payment("SETTLED", 5000, "02-01", member_id="ann", external_id="t0"),
    ]
    programs = [campaign("b", stackable=True), campaign("a", stackable=True)]
    cleared = [
        (event["member_id"], event["transaction_ref"], event["program_id"])
        for event in told(programs, lines, until="03-01").events
        if event["type"] == "cashback.cleared"
    ]
    assert cleared == sorted(cleared)
    assert len(cleared) == 6


def test_test_traffic_is_another_purchase() -> None:
    lines = [payment("SETTLED", 5000, "02-01"), payment("SETTLED", 4000, "02-01", livemode=False)]
    result = told([campaign()], lines)
    assert [(event["amount"], event["livemode"]) for event in result.events] == [(50, True), (40, False)]
    assert len({event["cashback_transaction_id"] for event in result.events}) == 2
