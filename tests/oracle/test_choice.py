"""Which program rewards a purchase and why another does not, worked by hand from the contract."""

import pytest

from ops.oracle import events, recompute
from tests.oracle.phrases import Line, campaign, flat, percent, said, story, tell, words


def test_a_pair_that_failed_on_the_amount_waits_for_another() -> None:
    lines = [said("01 10:00", "AUTHORIZED", 100), said("01 11:00", "SETTLED", 2000)]
    programs = [campaign(percent(100), min_spend_minor=1000)]

    assert words(tell(programs, lines[:1])) == {"p": "BELOW_MIN_SPEND"}
    assert story(tell(programs, lines)) == ["p#1 20 PENDING"]
    assert words(tell(programs, lines)) == {"p": "REWARDED"}


def test_waiting_ends_when_anything_of_the_purchase_has_cleared() -> None:
    lines = [said("01 10:00", "SETTLED", 100, "a"), said("05 10:00", "SETTLED", 2000, "b")]
    programs = [campaign(percent(100), min_spend_minor=1000), campaign(flat(1), "q", stackable=True)]

    assert story(tell(programs, lines)) == ["q#1 1 CLEARED"]


def test_a_pair_that_waited_minds_the_maximum_and_one_that_did_not_does_not() -> None:
    terms: Line = {"min_spend_minor": 200, "max_spend_minor": 1000}
    programs = [campaign(percent(100), **terms)]
    small, fitting, large = (said("01 10:00", "AUTHORIZED", n, str(n)) for n in (100, 500, 600))

    assert story(tell(programs, [small, fitting, large])) == ["p#1 6 RECOMPUTED"]
    assert story(tell(programs, [fitting, small, large])) == [
        "p#1 5 RECOMPUTED",
        "p#2 6 RECOMPUTED",
        "p#3 12 PENDING",
    ]


def test_an_authorization_without_amount_waits_for_the_first_amount() -> None:
    lines = [said("01 10:00", "AUTHORIZED", None, "0"), said("02 10:00", "AUTHORIZED", 1000, "1")]

    assert words(tell([campaign(percent(100))], lines[:1])) == {"p": "AMOUNT_REQUIRED"}
    judged = tell([campaign(percent(100))], lines)
    assert words(judged) == {"p": "REWARDED"}
    assert [e["timestamp"] for e in events(judged)] == ["2024-02-02T10:00:00Z"]


def test_one_wins_and_stackable_ones_come_on_top() -> None:
    programs = [
        campaign(flat(100), "a"),
        campaign(flat(200), "b"),
        campaign(flat(900) | {"unit": "points"}, "c"),
        campaign(flat(1), "d", stackable=True),
    ]

    result = tell(programs, [said("01 10:00", "SETTLED", 1000)])

    assert story(result) == ["b#1 200 PENDING", "d#1 1 PENDING"]
    assert {d.outranked_by for d in result.decisions.values() if d.decision == "OUTRANKED"} == {"b"}
    assert story(
        tell(
            [campaign(flat(900) | {"unit": "points"}, "c", priority=1), *programs[:2]],
            [said("01 10:00", "SETTLED", 1000)],
        )
    ) == ["c#1 900 PENDING"]


def test_a_fully_refunded_winner_still_outranks_and_pays_when_the_amount_rises() -> None:
    programs = [campaign(flat(100), "a"), campaign(flat(200), "b")]
    lines = [
        said("01 09:00", "REFUNDED", 1000),
        said("01 10:00", "SETTLED", 1000, "1"),
        said("01 11:00", "SETTLED", 500, "2"),
    ]

    assert words(tell(programs, lines[:2])) == {"a": "OUTRANKED", "b": "FULLY_REFUNDED"}
    assert story(tell(programs, lines)) == ["b#1 200 PENDING"]


@pytest.mark.parametrize(
    ("terms", "decision"),
    [
        ({"merchant_ids": ["other"]}, "NO_PROGRAM"),
        ({"partner_ids": ["other"]}, "NO_PROGRAM"),
        ({"store_ids": ["s1"], "mccs": ["1"]}, "STORE_MISMATCH"),
        ({"mccs": ["1"], "channels": ["IN_STORE"]}, "MCC_MISMATCH"),
        ({"channels": ["IN_STORE"], "currency": "USD"}, "CHANNEL_MISMATCH"),
        ({"currency": "USD", "valid_to": "2024-02-01T10:00:00Z"}, "CURRENCY_MISMATCH"),
        ({"valid_to": "2024-02-01T10:00:00Z"}, "OUTSIDE_VALIDITY"),
        ({"valid_to": "2024-02-01T10:00:00.000001Z"}, "REWARDED"),
        ({"effective_from": "2024-02-01T10:00:00.000001Z"}, "OUTSIDE_VALIDITY"),
        ({"effective_from": "2024-02-01T10:00:00Z"}, "REWARDED"),
        ({"schedule": {"timezone": "UTC", "to": "10:00"}, "min_spend_minor": 5000}, "OUTSIDE_SCHEDULE"),
        ({"schedule": {"timezone": "UTC", "from": "10:00"}, "min_spend_minor": 5000}, "BELOW_MIN_SPEND"),
        ({"max_spend_minor": 999}, "ABOVE_MAX_SPEND"),
        ({"max_spend_minor": 1000, "min_spend_minor": 1000}, "REWARDED"),
        ({"reward": percent(9)}, "REWARD_ZERO"),
    ],
)
def test_the_first_reason_in_order_is_the_decision(terms: Line, decision: str) -> None:
    result = tell(
        [campaign(flat(5), **terms)] if "reward" not in terms else [campaign(**terms)],
        [said("01 10:00", "SETTLED", 1000)],
    )

    assert list(words(result).values()) == [decision]


@pytest.mark.parametrize(
    ("at", "is_open"),
    [
        # Friday 22:00 to 02:00 in Paris; summer time begins on Sunday 31 March 2024
        ("2024-03-29T21:00:00Z", True),
        ("2024-03-29T20:59:59.999999Z", False),
        ("2024-03-30T00:59:59Z", True),
        ("2024-03-30T01:00:00Z", False),
        ("2024-04-05T20:00:00Z", True),
        ("2024-04-05T19:59:59Z", False),
        ("2024-03-28T22:00:00Z", False),
    ],
)
def test_a_schedule_over_midnight_follows_the_wall_clock(at: str, is_open: bool) -> None:
    schedule = {"timezone": "Europe/Paris", "weekdays": [5], "from": "22:00", "to": "02:00"}
    line = {**said("01 10:00", "SETTLED", 1000), "occurred_at": at}

    result = recompute([campaign(flat(5), schedule=schedule)], [line])

    assert words(result) == {"p": "REWARDED" if is_open else "OUTSIDE_SCHEDULE"}


def test_an_excluded_day_shuts_the_night_after_it_too() -> None:
    schedule = {"timezone": "UTC", "from": "22:00", "to": "02:00", "excluded_dates": ["2024-02-01"]}
    programs = [campaign(flat(5), schedule=schedule)]

    assert words(tell(programs, [said("02 01:00", "SETTLED", 1000)])) == {"p": "OUTSIDE_SCHEDULE"}
    assert words(tell(programs, [said("01 01:00", "SETTLED", 1000)])) == {"p": "REWARDED"}


def test_the_version_in_force_when_it_was_bought_counts_for_ever() -> None:
    programs = [
        campaign(flat(5)),
        campaign(flat(9), version=3, effective_from="2024-02-01T10:00:00Z"),
        campaign(flat(7), version=2, effective_from="2024-02-01T10:00:00Z"),
    ]

    assert story(tell(programs, [said("01 09:59", "SETTLED", 1000), said("01 10:01", "REFUNDED", 1)])) == [
        "p#1 5 PENDING"
    ]
    assert story(tell(programs, [said("01 10:00", "SETTLED", 1000)])) == ["p#1 9 PENDING"]
