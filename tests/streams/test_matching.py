"""Which program rewards a purchase, and the one reason the others give."""

from typing import Any

import pytest

from tests.streams.told import Line, campaign, payment, told, verdicts

FLAT_POINTS = {"type": "flat", "amount": 500, "unit": "points"}


@pytest.mark.parametrize(
    ("program", "purchase", "reason"),
    [
        ({"store_ids": ["s1"]}, {"store_id": "s2"}, "STORE_MISMATCH"),
        ({"store_ids": ["s1"]}, {}, "STORE_MISMATCH"),
        ({"mccs": ["5411"]}, {"mcc": "5812"}, "MCC_MISMATCH"),
        ({"channels": ["ONLINE"]}, {}, "CHANNEL_MISMATCH"),
        ({"currency": "GBP"}, {}, "CURRENCY_MISMATCH"),
        ({}, {"currency": "JPY"}, "CURRENCY_MISMATCH"),
        ({"valid_from": "2024-02-02T00:00:00Z"}, {}, "OUTSIDE_VALIDITY"),
        ({"valid_to": "2024-02-01T00:00:00Z"}, {}, "OUTSIDE_VALIDITY"),
        ({"effective_from": "2024-02-01T00:00:00.000001Z"}, {}, "OUTSIDE_VALIDITY"),
        ({"schedule": {"timezone": "UTC", "weekdays": [1]}}, {}, "OUTSIDE_SCHEDULE"),
        ({"min_spend_minor": 5001}, {}, "BELOW_MIN_SPEND"),
        ({"max_spend_minor": 4999}, {}, "ABOVE_MAX_SPEND"),
        ({"reward": {"type": "percent", "bps": 1}}, {"amount_minor": 9_999}, "REWARD_ZERO"),
        ({"store_ids": ["s1"], "currency": "GBP", "min_spend_minor": 9_999}, {}, "STORE_MISMATCH"),
        ({"min_spend_minor": 5000, "max_spend_minor": 5000}, {}, "REWARDED"),
        ({"valid_from": "2024-02-01T00:00:00Z", "valid_to": "2024-02-01T00:00:01Z"}, {}, "REWARDED"),
    ],
)
def test_the_first_reason_that_applies_is_given(program: Line, purchase: Line, reason: str) -> None:
    result = told([campaign("p", **program)], [payment("SETTLED", 5000, "02-01", **purchase)])
    assert verdicts(result) == {"p": reason}


@pytest.mark.parametrize("named", [{"merchant_ids": ["baker"]}, {"partner_ids": ["other"]}])
def test_a_purchase_that_no_program_names_is_told_so(named: Line) -> None:
    result = told([campaign("p", **named)], [payment("SETTLED", 5000, "02-01")])
    assert verdicts(result) == {None: "NO_PROGRAM"}


@pytest.mark.parametrize(
    ("one", "other", "winner"),
    [
        ({"priority": 1}, {"reward": {"type": "flat", "amount": 999}}, "a"),
        ({"reward": FLAT_POINTS}, {"reward": {"type": "flat", "amount": 1}}, "b"),
        ({}, {"reward": {"type": "percent", "bps": 102}}, "b"),
        ({"valid_from": "2024-01-02T00:00:00Z"}, {}, "b"),
        ({}, {}, "a"),
    ],
)
def test_one_program_wins_and_the_other_is_told_by_whom(one: Line, other: Line, winner: str) -> None:
    result = told([campaign("a", **one), campaign("b", **other)], [payment("SETTLED", 5000, "02-01")])
    loser = {"a": "b", "b": "a"}[winner]
    assert verdicts(result) == {winner: "REWARDED", loser: "OUTRANKED"}
    assert [line["outranked_by"] for line in result.decisions if "outranked_by" in line] == [winner]


def test_stackable_programs_come_on_top() -> None:
    programs = [campaign("a"), campaign("b", stackable=True), campaign("c", stackable=True)]
    assert set(verdicts(told(programs, [payment("SETTLED", 5000, "02-01")])).values()) == {"REWARDED"}


@pytest.mark.parametrize(
    ("at", "schedule", "inside"),
    [
        # Paris springs from 02:00 to 03:00 on 2024-03-31 and falls back from 03:00 to 02:00 on 2024-10-27
        ("2024-03-31T00:59:00Z", {"from": "01:00", "to": "02:00"}, True),
        ("2024-03-31T01:00:00Z", {"from": "02:00", "to": "03:00"}, False),
        ("2024-03-31T01:00:00Z", {"from": "03:00", "to": "04:00"}, True),
        ("2024-10-27T00:30:00Z", {"from": "02:00", "to": "03:00"}, True),
        ("2024-10-27T01:30:00Z", {"from": "02:00", "to": "03:00"}, True),
        ("2024-10-27T02:00:00Z", {"from": "02:00", "to": "03:00"}, False),
        # over midnight belongs to the opening day: 2024-02-09 is a Friday
        ("2024-02-09T22:30:00Z", {"weekdays": [5], "from": "22:00", "to": "02:00"}, True),
        ("2024-02-10T00:30:00Z", {"weekdays": [5], "from": "22:00", "to": "02:00"}, True),
        ("2024-02-09T00:30:00Z", {"weekdays": [5], "from": "22:00", "to": "02:00"}, False),
        ("2024-02-10T01:00:00Z", {"weekdays": [5], "from": "22:00", "to": "02:00"}, False),
        ("2024-02-10T00:30:00Z", {"from": "22:00", "to": "02:00", "excluded_dates": ["2024-02-10"]}, True),
        ("2024-02-10T00:30:00Z", {"from": "22:00", "to": "02:00", "excluded_dates": ["2024-02-09"]}, False),
        ("2024-02-09T23:30:00Z", {"weekdays": [6]}, True),
    ],
)
def test_a_schedule_goes_by_the_wall_clock_of_its_zone(at: str, schedule: Line, inside: bool) -> None:
    program = campaign("p", schedule={"timezone": "Europe/Paris", **schedule})
    expected = "REWARDED" if inside else "OUTSIDE_SCHEDULE"
    assert verdicts(told([program], [payment("SETTLED", 5000, at)])) == {"p": expected}


def versions(**fields: Any) -> list[Line]:
    """1 % from January, 2 % from March, 3 % announced for the same March with a higher number."""
    return [
        campaign("p", **fields),
        campaign(
            "p", version=2, effective_from="2024-03-01T00:00:00Z", reward={"type": "percent", "bps": 200}
        ),
        campaign(
            "p", version=3, effective_from="2024-03-01T00:00:00Z", reward={"type": "percent", "bps": 300}
        ),
    ]


@pytest.mark.parametrize(("at", "amount"), [("02-28", 50), ("02-29T23:59", 50), ("03-01", 150)])
def test_the_version_in_force_at_the_purchase_judges_it(at: str, amount: int) -> None:
    result = told(versions(), [payment("SETTLED", 5000, at)])
    assert [event["amount"] for event in result.events] == [amount]


def test_a_later_version_changes_nothing_that_was_judged_before() -> None:
    purchase = [payment("AUTHORIZED", 5000, "02-28"), payment("SETTLED", 4000, "03-02")]
    result = told(versions(), purchase)
    assert [event["amount"] for event in result.events if "amount" in event] == [50, 40]


def test_before_the_first_version_is_in_force_the_earliest_says_so() -> None:
    result = told(versions(effective_from="2024-02-15T00:00:00Z"), [payment("SETTLED", 5000, "02-01")])
    assert verdicts(result) == {"p": "OUTSIDE_VALIDITY"}
