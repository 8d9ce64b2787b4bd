"""Repeated, contradicting and stray events."""

from streams.simulate import simulate
from tests.streams.told import campaign, payment, story, told

PURCHASE = payment("SETTLED", 5000, "02-01")


def test_a_repetition_changes_nothing() -> None:
    again = {**PURCHASE, "part_id": None, "livemode": True}
    result = told([campaign()], [PURCHASE, PURCHASE, again])
    assert (len(result.events), result.counts["duplicate"]) == (1, 2)


def test_other_content_under_the_same_identity_is_a_conflict_and_the_first_stands() -> None:
    result = simulate(programs=[campaign()], transactions=[PURCHASE, {**PURCHASE, "amount_minor": 9000}])
    assert story(result) == ["created 50 one-percent#1 02-01"]
    assert [conflict.line for conflict in result.conflicts] == [2]


def test_an_event_at_another_merchant_is_a_conflict_and_leaves_no_trace() -> None:
    elsewhere = payment("REFUNDED", 5000, "02-02", merchant_id="baker")
    here = payment("REFUNDED", 1000, "02-03")
    result = simulate(programs=[campaign()], transactions=[PURCHASE, elsewhere, here])
    assert story(result)[-1] == "created 40 one-percent#2 02-03"
    assert [conflict.line for conflict in result.conflicts] == [2]


def test_a_parked_stranger_is_found_out_when_its_purchase_comes() -> None:
    stranger = payment("REFUNDED", 5000, "02-01", currency="USD")
    result = simulate(
        programs=[campaign()], transactions=[stranger, PURCHASE, {**stranger, "currency": "EUR"}]
    )
    assert story(result) == ["created 50 one-percent#1 02-01", "reverted one-percent#1 02-01"]
    assert [conflict.line for conflict in result.conflicts] == [1]


def test_a_refund_whose_purchase_never_comes_is_given_up_after_its_time() -> None:
    lines = [payment("REFUNDED", 1000, "01-01"), PURCHASE | {"occurred_at": "2024-03-02T00:00:00Z"}]
    assert simulate(programs=[campaign()], transactions=lines).events[0]["amount"] == 50
    lines[1]["occurred_at"] = "2024-02-29T00:00:00Z"
    assert simulate(programs=[campaign()], transactions=lines).events[0]["amount"] == 40


def test_a_finished_purchase_is_forgotten_after_the_horizon() -> None:
    next_year = payment("SETTLED", 100, "2025-02-01T00:00:00Z", external_id="t2")
    remembered = told([campaign()], [PURCHASE, payment("SETTLED", 100, "08-01", external_id="t2"), PURCHASE])
    forgotten = told([campaign()], [PURCHASE, next_year, PURCHASE])
    assert (remembered.counts["duplicate"], forgotten.counts["duplicate"]) == (1, 0)
