"""Every decision is explained with the figure or date it was made by."""

from typing import Any

import pytest

from ops.why.judged import BY_REASON, Judgement
from schemas.programs import ProgramSpec
from streams.purchase import Reason
from tests.why.payment import BOUGHT, decision, program, word

LADDER = {
    "type": "tiered",
    "brackets": [
        {"up_to_minor": 2_000, "reward": {"type": "flat", "amount": 50}},
        {"reward": {"type": "percent", "bps": 150, "max_amount": 40}},
    ],
}
POINTS = {"type": "percent", "bps": 250, "unit": "points"}
WEEKDAYS = {"timezone": "Europe/Paris", "weekdays": [1, 5], "from": "10:00", "to": "18:00"}
OPENING = {"occurred_at": BOUGHT, "store_id": "s9", "mcc": None, "channel": "ONLINE", "currency": "GBP"}


def why(spec: ProgramSpec, said: dict[str, Any], gross: int | None = 2_855, net: int | None = None) -> str:
    net = gross if net is None else net
    judged = decision(1, said, gross=gross, net=net).datum
    return Judgement(judged, OPENING, {(spec.program_id, 1): spec}).why(said)


def rewarded(amount: int, **figures: Any) -> dict[str, Any]:
    return word("one", "REWARDED", amount=amount, **figures)


@pytest.mark.parametrize(
    ("terms", "said", "sentence"),
    [
        ({}, rewarded(28), "1 % of 28.55 = 0.28, rounded down"),
        ({"reward": POINTS}, rewarded(71), "2.5 % of 2,855 = 71 points, rounded down"),
        (
            {"reward": LADDER},
            rewarded(40, bracket=2),
            "bracket 2 (above 20.00): 1.5 % of 28.55 = 0.42, rounded down, at most 0.40 a purchase",
        ),
        (
            {"member_cap": {"amount": 500, "period": "month"}},
            rewarded(10, reward_minor=28, cap_left=10),
            "1 % of 28.55 = 0.28, rounded down, cut to 0.10 left of the monthly cap of 5.00",
        ),
        (
            {"budget": {"total": 10_000, "daily": 700}, "member_limit": {"count": 2, "period": "week"}},
            rewarded(7, reward_minor=28, budget_left=7, limit_left=1),
            "1 % of 28.55 = 0.28, rounded down, cut to 0.07 left of the budget of 100.00 in all and 7.00 a "
            "day; free before it: 1 of 2 times of the weekly limit",
        ),
        (
            {"min_spend_minor": 5_001},
            word("one", "BELOW_MIN_SPEND"),
            "28.55 is below the least spend of 50.01 EUR",
        ),
        (
            {"max_spend_minor": 99},
            word("one", "ABOVE_MAX_SPEND"),
            "28.55 is above the largest spend of 0.99 EUR",
        ),
        (
            {"store_ids": ["s1", "s2"]},
            word("one", "STORE_MISMATCH"),
            "the purchase has store s9; it must be s1, s2",
        ),
        ({"mccs": ["5411"]}, word("one", "MCC_MISMATCH"), "the purchase has no category; it must be 5411"),
        ({}, word("one", "CURRENCY_MISMATCH"), "the purchase has currency GBP; it must be EUR"),
        (
            {"schedule": WEEKDAYS},
            word("one", "OUTSIDE_SCHEDULE"),
            "bought Sat 2025-03-01 13:00, but it counts on Mon, Fri from 10:00 to 18:00 (Europe/Paris)",
        ),
        (
            {"valid_to": "2025-02-01T00:00:00Z"},
            word("one", "OUTSIDE_VALIDITY"),
            "bought 2025-03-01 12:00:00, but it counts from 2025-01-01 00:00:00 until 2025-02-01 00:00:00",
        ),
        (
            {"member_limit": {"count": 1, "period": "lifetime"}},
            word("one", "MEMBER_LIMIT", limit_left=0),
            "the lifetime limit of once was used up",
        ),
        (
            {"member_cap": {"amount": 500, "period": "day"}},
            word("one", "MEMBER_CAP", cap_left=0),
            "the daily cap of 5.00 EUR was used up",
        ),
        ({"budget": {"total": 9}}, word("one", "BUDGET_EXHAUSTED"), "the budget of 0.09 in all was used up"),
        (
            {"type": "loyalty_program", "threshold_count": 5},
            word("one", "THRESHOLD_NOT_REACHED", stamps=3, threshold=5),
            "stamp 3 of 5",
        ),
        (
            {"type": "loyalty_program", "threshold_minor": 9_000},
            rewarded(28, stamps=9_100, threshold=9_000),
            "the threshold is reached with 91.00 of 90.00 EUR; 1 % of 28.55 = 0.28, rounded down",
        ),
    ],
)  # fmt: skip
def test_a_decision_is_explained(terms: dict[str, Any], said: dict[str, Any], sentence: str) -> None:
    assert why(program("one", **terms), said) == sentence


def test_a_ladder_after_a_refund_gives_the_least_of_all_amounts_between() -> None:
    assert why(program("one", reward=LADDER), rewarded(30), gross=2_855, net=1_500) == (
        "the least that any amount between 15.00 and 28.55 gives = 0.30"
    )


@pytest.mark.parametrize(
    ("won", "lost", "rule"),
    [
        ({"type": "deal"}, {}, "deal comes before campaign"),
        ({"priority": 3}, {}, "priority 3 comes before 0"),
        ({}, {"reward": POINTS}, "a reward in currency comes before one in points"),
        ({"reward": {"type": "flat", "amount": 99}}, {}, "0.99 is more than 0.28 on 28.55 EUR"),
        (
            {"valid_from": "2024-01-01T00:00:00Z"},
            {},
            "the same reward, but valid since 2024-01-01 00:00:00, earlier",
        ),
        ({}, {}, "the same in everything, so the smaller id"),
    ],
)
def test_the_rule_by_which_one_outranks_another_is_named(
    won: dict[str, Any], lost: dict[str, Any], rule: str
) -> None:
    loser = word("two", "OUTRANKED", outranked_by="one")
    judged = decision(1, rewarded(28), loser, gross=2_855, net=2_855).datum
    terms = {("one", 1): program("one", **won), ("two", 1): program("two", **lost)}
    assert Judgement(judged, OPENING, terms).why(loser) == rule


def test_figures_that_are_not_known_are_left_out() -> None:
    plain = program("one", member_cap={"amount": 500, "period": "month"})
    assert why(plain, rewarded(10), gross=None) == ""
    assert (
        why(plain, rewarded(10, reward_minor=28), gross=None) == "0.28 EUR before cap and budget, cut to 0.10"
    )
    assert why(plain, word("gone", "REWARDED", amount=10)) == (
        "the terms of this version are not in the catalogue"
    )


def test_every_reason_has_a_sentence() -> None:
    assert set(BY_REASON) == {reason.name for reason in Reason} - {"NO_PROGRAM"}
