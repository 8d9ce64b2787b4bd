"""A lint says what is hardly meant, each with its code and place, and nothing of what is well."""

from pathlib import Path
from typing import Any

import pytest

from ops.demo.grocer import PROGRAMS_FILE
from ops.programs.lint.file import lint_file
from ops.programs.lint.findings import Finding, Severity
from ops.programs.lint.run import lint
from schemas.program_files import read_programs, to_yaml
from schemas.programs import ProgramSpec
from schemas.times import from_iso
from tests.ops.published import flat, percent, program, tiers

NOW = from_iso("2025-12-01T00:00:00Z", "now")
LOYALTY = {"type": "loyalty_program"}
TWICE_A_MONTH = {"count": 2, "period": "month"}


def said(*programs: ProgramSpec, at: int = NOW, published: tuple[ProgramSpec, ...] = ()) -> list[Finding]:
    return lint(programs, at=at, published=published)


def codes(found: list[Finding]) -> set[tuple[str, str]]:
    return {(each.code, each.path) for each in found}


ALONE: dict[str, tuple[dict[str, Any], set[tuple[str, str]]]] = {
    # rewards
    "a flat 0": ({"reward": flat(0)}, {("never-rewards", "reward")}),
    "a percentage too small for max_spend": (
        {"reward": percent(1), "max_spend_minor": 9_999},
        {("never-rewards", "reward")},
    ),
    "the same a cent further": (
        {"reward": percent(1), "min_spend_minor": None, "max_spend_minor": 10_000},
        set(),
    ),
    "a maximum of 0": ({"reward": percent(100, max_amount=0)}, {("never-rewards", "reward")}),
    "brackets beyond the bounds": (
        {"reward": tiers((99, flat(1)), (2_000, flat(50)), (None, flat(60))), "max_spend_minor": 2_000},
        {("unreachable-bracket", "reward.brackets.0"), ("unreachable-bracket", "reward.brackets.2")},
    ),
    "brackets that just reach the bounds": (
        {"reward": tiers((100, flat(1)), (2_000, flat(50)), (None, flat(60))), "max_spend_minor": 2_001},
        set(),
    ),
    "a step down": (
        {"reward": tiers((5_000, percent(200)), (None, percent(100)))},
        {("cliff", "reward.brackets.1.reward")},
    ),
    "a step down beyond max_spend": (
        {"reward": tiers((5_000, percent(200)), (None, percent(100))), "max_spend_minor": 5_000},
        {("unreachable-bracket", "reward.brackets.1")},
    ),
    "a bracket that rounds to 0": (
        {"reward": tiers((5_000, percent(1)), (None, percent(100)))},
        {("bracket-rounds-to-zero", "reward.brackets.0.reward.bps")},
    ),
    "a bracket of 0": (
        {"reward": tiers((5_000, flat(0)), (None, percent(100)))},
        {("zero-bracket", "reward.brackets.0.reward")},
    ),
    "small baskets that round to 0": (
        {"reward": percent(50)},
        {("small-baskets-earn-nothing", "reward.bps")},
    ),
    "small baskets below any bound": ({"reward": percent(50), "min_spend_minor": None}, set()),
    "a maximum never reached": (
        {"reward": percent(100, max_amount=51), "max_spend_minor": 5_000},
        {("max-amount-never-reached", "reward.max_amount")},
    ),
    "a maximum just reached": ({"reward": percent(100, max_amount=50), "max_spend_minor": 5_000}, set()),
    "a maximum of a bracket": (
        {"reward": tiers((5_000, percent(100, max_amount=60)), (None, flat(70)))},
        {("max-amount-never-reached", "reward.brackets.0.reward.max_amount")},
    ),
    "more than was paid": ({"reward": flat(101)}, {("reward-above-basket", "reward.amount")}),
    "as much as was paid": ({"reward": flat(100)}, set()),
    "points are not compared": ({"reward": flat(101, unit="points")}, set()),
    "a tenth purchase": (
        LOYALTY | {"reward": flat(1_000), "threshold_count": 10},
        set(),
    ),
    "a ninth purchase": (
        LOYALTY | {"reward": flat(1_000), "threshold_count": 9},
        {("reward-above-basket", "reward.amount")},
    ),
    # limits
    "a cap below one reward": (
        {"reward": flat(50), "member_cap": {"amount": 49, "period": "day"}},
        {("cap-below-one-reward", "member_cap.amount")},
    ),
    "a budget below one reward": (
        {"reward": flat(50), "budget": {"total": 49, "daily": 48}},
        {("budget-below-one-reward", "budget.total"), ("budget-below-one-reward", "budget.daily")},
    ),
    "a daily budget of the total": (
        {"budget": {"total": 500, "daily": 500}},
        {("daily-budget-does-nothing", "budget.daily")},
    ),
    "a cap beyond the limit": (
        {"reward": flat(50), "member_limit": TWICE_A_MONTH, "member_cap": {"amount": 100, "period": "day"}},
        {("cap-does-nothing", "member_cap.amount")},
    ),
    "a cap that bites before the limit": (
        {"reward": flat(50), "member_limit": TWICE_A_MONTH, "member_cap": {"amount": 99, "period": "month"}},
        {("limit-does-nothing", "member_limit.count")},
    ),
    "a cap of weeks and a limit of months": (
        {"reward": flat(50), "member_limit": TWICE_A_MONTH, "member_cap": {"amount": 100, "period": "week"}},
        set(),
    ),
    "a cap beyond the budget": (
        {"member_cap": {"amount": 500, "period": "lifetime"}, "budget": {"total": 500}},
        {("cap-does-nothing", "member_cap.amount")},
    ),
    "a daily cap beyond the daily budget": (
        {"member_cap": {"amount": 500, "period": "day"}, "budget": {"daily": 400}},
        {("cap-does-nothing", "member_cap.amount")},
    ),
    "a limit beyond the budget": (
        {"reward": flat(50), "member_limit": {"count": 3, "period": "day"}, "budget": {"total": 101}},
        {("limit-does-nothing", "member_limit.count")},
    ),
    "each bounds something": (
        {
            "reward": percent(100, max_amount=900),
            "member_limit": {"count": 5, "period": "week"},
            "member_cap": {"amount": 2_000, "period": "month"},
            "budget": {"total": 10**6, "daily": 10**5},
        },
        set(),
    ),
    "one stamp": (LOYALTY | {"threshold_count": 1}, {("threshold-met-by-one", "threshold_count")}),
    "a sum of one purchase": (
        LOYALTY | {"threshold_minor": 100},
        {("threshold-met-by-one", "threshold_minor")},
    ),
    "a sum of two purchases": (LOYALTY | {"threshold_minor": 101}, set()),
    "stamps of a first purchase": (
        LOYALTY | {"threshold_count": 2, "new_members_only": True},
        {("threshold-never-reached", "threshold_count")},
    ),
    "a sum of a first purchase": (
        LOYALTY | {"threshold_minor": 900, "new_members_only": True, "max_spend_minor": 899},
        {("threshold-never-reached", "threshold_minor")},
    ),
    "a sum a first purchase may reach": (LOYALTY | {"threshold_minor": 900, "new_members_only": True}, set()),
    # fields
    "a campaign is not clipped": ({"clip_reusable": True}, {("field-does-nothing", "clip_reusable")}),
    "an airdrop is not used up": (
        {"type": "airdrop", "clip_reusable": True},
        {("field-does-nothing", "clip_reusable")},
    ),
    "a deal may be reusable": ({"type": "deal", "clip_reusable": True}, set()),
    "a deal redeems nothing": ({"type": "deal", "external_id": "x"}, {("field-does-nothing", "external_id")}),
    "loyalty comes on top": (
        LOYALTY | {"threshold_count": 3, "stackable": True, "priority": 1, "external_id": "x"},
        {("field-does-nothing", "stackable"), ("field-does-nothing", "priority")},
    ),
    "what stacks has no rival": ({"stackable": True, "priority": -1}, {("field-does-nothing", "priority")}),
    "no hold, no anchor": (
        {"hold_days": 0, "hold_anchor": "settled", "channels": ["IN_STORE"]},
        {("field-does-nothing", "hold_anchor")},
    ),
    "an empty basket": (
        {"min_spend_minor": 1},
        {("field-does-nothing", "min_spend_minor"), ("small-baskets-earn-nothing", "reward.bps")},
    ),
    "both channels": ({"channels": ["ONLINE", "IN_STORE"]}, {("field-does-nothing", "channels")}),
    "seven days": (
        {"schedule": {"timezone": "UTC", "weekdays": [1, 2, 3, 4, 5, 6, 7], "from": "08:00"}},
        {("field-does-nothing", "schedule.weekdays")},
    ),
    "a time zone alone": ({"schedule": {"timezone": "Europe/Paris"}}, {("field-does-nothing", "schedule")}),
    "a time zone of a period": (
        {"schedule": {"timezone": "Europe/Paris"}, "budget": {"daily": 10_000}},
        set(),
    ),
    "thirteen days online": ({"hold_days": 13}, {("short-hold-online", "hold_days")}),
    "thirteen days in store": ({"hold_days": 13, "channels": ["IN_STORE"]}, set()),
    "thirteen days in dollars": ({"hold_days": 13, "currency": "USD"}, set()),
    "nobody named": ({"merchant_ids": None}, {("names-every-merchant", "merchant_ids")}),
    "a store named": ({"merchant_ids": None, "store_ids": ["s1"]}, set()),
    # time
    "a version for ever gone": (
        {"valid_to": "2026-02-01T00:00:00Z", "effective_from": "2026-02-01T00:00:00Z"},
        {("never-in-force", "effective_from")},
    ),
}


@pytest.mark.parametrize("case", ALONE)
def test_a_program_alone(case: str) -> None:
    change, expected = ALONE[case]
    assert codes(said(program(**change))) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        ("2026-01-01T00:00:00Z", set()),
        ("2026-01-01T00:00:00.000001Z", {("late-effective-from", "valid_from")}),
        ("2026-01-31T23:59:59Z", {("late-effective-from", "valid_from")}),
        ("2026-02-01T00:00:00Z", {("already-over", "valid_to")}),
    ],
)
def test_what_is_published_late(at: str, expected: set[tuple[str, str]]) -> None:
    spec = program(valid_to="2026-02-01T00:00:00Z")
    assert codes(said(spec, at=from_iso(at, "at"))) == expected
    assert said(spec, at=from_iso(at, "at"), published=(spec,)) == []


def version(number: int, effective_from: str | None = None, **fields: Any) -> ProgramSpec:
    return program(version=number, effective_from=effective_from, **fields)


FEBRUARY, MARCH, APRIL = (f"2026-0{month}-01T00:00:00Z" for month in (2, 3, 4))
VERSIONS: dict[str, tuple[tuple[ProgramSpec, ...], list[tuple[str, int, str]]]] = {
    "one takes the place of the other": ((version(1), version(2, FEBRUARY)), []),
    "a pause between validities": (
        (version(1, valid_to=FEBRUARY), version(2, valid_from=MARCH)),
        [("gap-between-versions", 2, "valid_from")],
    ),
    "a pause because the next is in force before it is valid": (
        (version(1), version(2, FEBRUARY, valid_from=MARCH)),
        [("gap-between-versions", 2, "valid_from")],
    ),
    "a pause because the next takes force late": (
        (version(1, valid_to=FEBRUARY), version(2, MARCH)),
        [("gap-between-versions", 2, "effective_from")],
    ),
    "no pause": ((version(1, valid_to=FEBRUARY), version(2, FEBRUARY)), []),
    "the same time": ((version(1), version(2)), [("never-in-force", 1, "version")]),
    "out of order": ((version(2), version(1, FEBRUARY)), [("falls-back", 1, "effective_from")]),
    "a pause that nothing ends": ((version(1, valid_to=FEBRUARY),), []),
}


@pytest.mark.parametrize("case", VERSIONS)
def test_versions_of_one_program(case: str) -> None:
    programs, expected = VERSIONS[case]
    assert [(each.code, each.version, each.path) for each in said(*programs)] == expected


def test_a_gap_to_a_published_version_is_said_of_the_new_one() -> None:
    old, new = version(1, valid_to=FEBRUARY), version(2, valid_from=MARCH)
    (gap,) = said(new, published=(old,))
    assert gap.code == "gap-between-versions"
    assert "2026-02-01T00:00:00Z to 2026-03-01T00:00:00Z" in gap.message
    # a correction that takes the place of what was to come is no fault of the new one
    assert said(version(3), published=(version(1),)) == []


def test_a_cliff_names_both_baskets_and_both_rewards() -> None:
    (found,) = said(program(reward=tiers((5_000, percent(200)), (None, percent(100)))))
    assert found.message == "a basket of 5000 earns 100, one of 5001 earns 50"


def test_a_file_is_linted_whole_with_lines_whatever_is_wrong_in_it(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    published = [program("one"), program("two", merchant_ids=["inn"])]

    def lines(text: str) -> list[tuple[int, str, str]]:
        path.write_text(text)
        found = lint_file(read_programs(path), at=NOW, published=published)
        return [(place.line, place.finding.code, place.finding.path) for place in found]

    file = to_yaml(published)
    assert lines(file) == []
    assert lines(file.replace("hold_days: 14", "hold_days: 31", 1)) == [(10, "invalid", "hold_days")]
    assert lines(file.replace("bps: 100", "bps: 50", 1)) == [(2, "contradicts-published", "version")]
    third = to_yaml([program("three", merchant_ids=["bar"], hold_days=0)])
    assert lines(file + third) == [(30, "short-hold-online", "hold_days")]


def test_what_is_shipped_has_nothing_but_info_before_its_time() -> None:
    programs = read_programs(PROGRAMS_FILE).programs
    found = said(*programs, at=min(spec.effective_from for spec in programs))
    assert {each.severity for each in found} == {Severity.INFO}
