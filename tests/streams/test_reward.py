"""What a basket earns: integers, one rounding, exactly one bracket."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.programs import parse_program
from streams.program import Program, compiled
from streams.reward import earned, reward_on
from tests.streams.told import Line, campaign

LADDER: Line = {
    "type": "tiered",
    "brackets": [
        {"up_to_minor": 2000, "reward": {"type": "flat", "amount": 50}},
        {"reward": {"type": "flat", "amount": 200}},
    ],
}
CLIFF: Line = {
    "type": "tiered",
    "brackets": [
        {"up_to_minor": 1000, "reward": {"type": "flat", "amount": 100}},
        {"up_to_minor": 2000, "reward": {"type": "flat", "amount": 10}},
        {"reward": {"type": "percent", "bps": 300}},
    ],
}


def program(reward: Line, **fields: Any) -> Program:
    return compiled(parse_program(campaign(reward=reward, **fields)))


@pytest.mark.parametrize(
    ("amount", "bps", "reward"), [(1999, 100, 19), (28950, 400, 1158), (14999, 1000, 1499), (99, 100, 0)]
)
def test_a_percentage_is_rounded_down_once(amount: int, bps: int, reward: int) -> None:
    assert reward_on(program({"type": "percent", "bps": bps}), amount) == reward


@pytest.mark.parametrize(("amount", "reward"), [(0, 0), (1, 50), (2000, 50), (2001, 200), (10**9, 200)])
def test_exactly_one_bracket_applies_to_the_whole_basket(amount: int, reward: int) -> None:
    assert reward_on(program(LADDER), amount) == reward


def test_a_percentage_stops_at_its_upper_bound() -> None:
    assert reward_on(program({"type": "percent", "bps": 1000, "max_amount": 30}), 100_000) == 30


def test_below_min_spend_nothing_is_earned() -> None:
    above_ten = program({"type": "percent", "bps": 100}, min_spend_minor=1001)
    assert (reward_on(above_ten, 1000), reward_on(above_ten, 1001)) == (0, 10)


def test_a_refund_over_a_cliff_pays_the_least_rung_it_crossed() -> None:
    cliff = program(CLIFF)
    assert (reward_on(cliff, 3000), reward_on(cliff, 900)) == (90, 100)
    assert earned(cliff, net=900, gross=3000) == 10


@given(net=st.integers(0, 4000), less=st.integers(0, 4000), gross=st.integers(0, 4000))
def test_a_refund_never_raises_a_reward(net: int, less: int, gross: int) -> None:
    net, less, gross = sorted((net, less, gross))[1], min(net, less, gross), max(net, less, gross)
    assert earned(program(CLIFF), less, gross) <= earned(program(CLIFF), net, gross)


@given(net=st.integers(0, 2500), gross=st.integers(0, 2500))
def test_what_is_earned_is_the_least_over_all_amounts_from_net_to_gross(net: int, gross: int) -> None:
    net, gross = min(net, gross), max(net, gross)
    cliff = program(CLIFF, min_spend_minor=40)
    assert earned(cliff, net, gross) == min(reward_on(cliff, amount) for amount in range(net, gross + 1))
