"""Which programs can meet on one purchase, and which of them wins, as the stages of the stream decide it."""

from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ops.programs.lint.findings import CODES
from ops.programs.lint.run import lint
from ops.simulation.programs import STARTS, program_versions
from schemas.programs import parse_program
from streams.matching import winner
from streams.program import compiled
from streams.reward import reward_on
from tests.ops.published import flat, percent, program, tiers
from tests.ops.test_programs_lint import ALONE, NOW, VERSIONS, said

LOYALTY = {"type": "loyalty_program", "threshold_count": 5}
FEBRUARY, APRIL = "2026-02-01T00:00:00Z", "2026-04-01T00:00:00Z"
NARROW = {"store_ids": ["s1"]}
MEETING: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]] = {
    "another merchant": ({}, {"merchant_ids": ["inn"]}, []),
    "another partner": ({"partner_ids": ["a"]}, {"partner_ids": ["b"]}, []),
    "another currency": ({}, {"currency": "GBP"}, []),
    "another channel": ({"channels": ["ONLINE"]}, {"channels": ["IN_STORE"]}, []),
    "another month": ({"valid_to": FEBRUARY}, {"valid_from": FEBRUARY}, []),
    "another amount": ({"max_spend_minor": 999}, {"min_spend_minor": 1_000}, []),
    "another day": (
        {"schedule": {"timezone": "UTC", "weekdays": [1]}},
        {"schedule": {"timezone": "UTC", "weekdays": [2]}},
        [],
    ),
    "one that stacks": ({}, {"stackable": True}, []),
    "loyalty": ({}, LOYALTY, []),
    "the night of another day": (
        {"schedule": {"timezone": "UTC", "weekdays": [7], "from": "22:00", "to": "02:00"}},
        {"schedule": {"timezone": "UTC", "weekdays": [1]}},
        [("tie", "a")],
    ),
    "a morning that has not begun": (
        {"schedule": {"timezone": "UTC", "weekdays": [7], "from": "22:00", "to": "02:00"}},
        {"schedule": {"timezone": "UTC", "weekdays": [1], "from": "02:00"}},
        [],
    ),
    "other time zones": (
        {"schedule": {"timezone": "UTC", "weekdays": [1]}},
        {"schedule": {"timezone": "Asia/Tokyo", "weekdays": [2]}},
        [("tie", "a")],
    ),
    "alike": ({}, {}, [("tie", "a")]),
    "two deals alike": ({"type": "deal"}, {"type": "deal"}, [("overlap", "a")]),
    "alike in some brackets": (
        {"reward": tiers((2_000, flat(50)), (None, flat(80)))},
        {"reward": tiers((2_000, flat(50)), (None, flat(70)))},
        [("tie", "a")],
    ),
    "alike by rounding at both ends": (
        {"max_spend_minor": 5_000} | NARROW,
        {"reward": percent(101), "store_ids": ["s1", "s2"]},
        [("overlap", "a")],
    ),
    "alike by rounding, and the higher comes first": (
        {"reward": percent(101)},
        {"max_spend_minor": 5_000} | NARROW,
        [("shadowed", "b")],
    ),
    "by type": ({"type": "deal"}, {}, [("overlap", "b")]),
    "by priority": ({"priority": 1} | NARROW, {}, [("overlap", "b")]),
    "by unit": (
        {"reward": flat(900, unit="points")},
        NARROW | {"reward": percent(50), "min_spend_minor": 200},
        [("overlap", "a")],
    ),
    "by reward, one above a basket": ({"reward": flat(50)}, {"min_spend_minor": 500}, [("overlap", "a")]),
    "nothing left": (NARROW, {"priority": 1}, [("shadowed", "a")]),
    "something left by a bound": ({}, {"priority": 1, "max_spend_minor": 10**9}, [("overlap", "a")]),
    "something left by a cap": (
        {},
        {"priority": 1, "member_cap": {"amount": 900, "period": "day"}},
        [("overlap", "a")],
    ),
    "something left by members that are not new": (
        {},
        {"priority": 1, "new_members_only": True},
        [("overlap", "a")],
    ),
    "something left by a clip": ({}, {"type": "deal"}, [("overlap", "a")]),
    "something left by an end": ({}, {"priority": 1, "valid_to": APRIL}, [("overlap", "a")]),
}


@pytest.mark.parametrize("case", MEETING)
def test_two_programs_that_may_meet(case: str) -> None:
    one, other, expected = MEETING[case]
    found = said(program("a", **one), program("b", **other))
    assert [(each.code, each.program_id) for each in found if each.others] == expected
    assert {other for each in found for other in each.others} <= {"a", "b"}


def test_who_wins_is_said_with_two_baskets() -> None:
    (found,) = said(program("a", reward=flat(50)), program("b", min_spend_minor=500))
    assert "a on a basket of 500 (50 against 5), b on a basket of 5100 (51 against 50)" in found.message
    (found,) = said(program("a"), program("b", valid_from="2025-12-15T00:00:00Z"))
    assert "b wins only because its valid_from is earlier" in found.message


def test_published_programs_are_met_but_nothing_is_said_of_them() -> None:
    (found,) = said(program("b"), published=(program("a"), program("z", reward=flat(0))))
    assert (found.code, found.program_id, found.others) == ("tie", "b", ("a",))


def test_every_code_is_provoked() -> None:
    provoked = {code for change, expected in ALONE.values() for code, _ in expected}
    provoked |= {code for _, expected in VERSIONS.values() for code, _, _ in expected}
    provoked |= {code for _, _, expected in MEETING.values() for code, _ in expected}
    provoked |= {"late-effective-from", "already-over", "invalid", "contradicts-published"}
    assert provoked == set(CODES)


@settings(max_examples=100, deadline=None)
@given(
    rng=st.randoms(use_true_random=False),
    baskets=st.lists(st.integers(1, 300) | st.integers(1, 30_000), min_size=5, max_size=20),
)
def test_no_basket_contradicts_what_is_said(rng: Random, baskets: list[int]) -> None:
    forms = [form for name in ("a", "b") for form in program_versions(rng, name, STARTS[0])[:1]]
    specs = [parse_program(form | {"currency": "EUR"}) for form in forms]
    found = lint(specs, at=NOW)
    for spec in specs:
        own = {each.code for each in found if each.program_id == spec.program_id}
        one = compiled(spec)
        least, most = max(1, one.min_spend), 10**14 if one.max_spend is None else one.max_spend
        earned = {basket: reward_on(one, basket) for basket in sorted(baskets) if least <= basket <= most}
        assert not ("never-rewards" in own and any(earned.values()))
        rewards = list(earned.values())
        assert "cliff" in own or rewards == sorted(rewards)
        if "max-amount-never-reached" in own and spec.reward.type == "percent":
            assert all(reward != spec.reward.max_amount for reward in rewards)
    shadowed = {each.program_id for each in found if each.code == "shadowed"}
    both = [compiled(spec) for spec in specs]
    for basket in baskets:
        eligible = [one for one in both if one.is_rival and _earns(one, basket)]
        if len(eligible) == 2:
            assert winner(eligible, basket).program_id not in shadowed
            assert any(each.others for each in found) or not _all_pass(eligible)


def _earns(one: Any, basket: int) -> bool:
    return bool(reward_on(one, basket)) and (one.max_spend is None or basket <= one.max_spend)


def _all_pass(programs: list[Any]) -> bool:
    """Whether nothing but the amount could keep the two apart."""
    names = ("merchant_ids", "partner_ids", "store_ids", "mccs", "channels", "window", "valid_to")
    return all(getattr(one, name) is None for one in programs for name in names)
