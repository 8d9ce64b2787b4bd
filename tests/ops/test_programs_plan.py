"""What applying a file would do, and how it is told."""

from typing import Any

import pytest

from ops.programs import words
from ops.programs.differences import differences
from ops.programs.plan import Added, Refused, Unchanged, plan
from ops.programs.tables import reward_words
from ops.programs.timeline import State, by_program
from schemas.programs import ProgramSpec
from schemas.times import from_iso
from tests.ops.published import flat, percent, program, tiers

NOW = from_iso("2026-02-15T00:00:00Z", "now")
FEBRUARY, MARCH, APRIL = (f"2026-0{month}-01T00:00:00Z" for month in (2, 3, 4))


def version(number: int, effective_from: str | None = None, **fields: Any) -> ProgramSpec:
    return program(version=number, effective_from=effective_from, **fields)


def test_each_program_is_added_known_or_refused() -> None:
    published = [version(1), program("other")]
    changed, dollars = version(1, hold_days=20), program("other", version=2, currency="USD")
    steps = plan([version(2, MARCH), version(1), changed, dollars, program("new")], published, NOW)
    assert [type(step) for step in steps] == [Added, Unchanged, Refused, Refused, Added]
    assert [step.reason.field for step in steps if isinstance(step, Refused)] == ["version", "currency"]
    assert steps[2] == Refused(changed, steps[2].reason, published[0])  # type: ignore[union-attr]


def test_a_program_that_no_topic_takes_is_refused_before_any_is_written() -> None:
    huge = program("huge", merchant_ids=[f"merchant-{number:06}" for number in range(60_000)])
    added, refused = plan([version(1), huge], [], NOW)
    assert isinstance(added, Added)
    assert isinstance(refused, Refused)
    assert str(refused.reason) == (
        "merchant_ids: makes the program 960068 bytes long, above 900000; spread it over several programs"
    )


def test_a_version_replaces_the_one_in_force_before_it_wherever_that_comes_from() -> None:
    first, second, third, last = version(1), version(2, FEBRUARY), version(3, MARCH), version(4, APRIL)
    steps = plan([third, second], [last, first], NOW)
    april, march = last.effective_from, third.effective_from
    assert steps == [Added(third, second, april, is_late=False), Added(second, first, march, is_late=True)]


def test_of_one_time_the_higher_version_replaces_the_lower() -> None:
    (step,) = plan([version(2)], [version(1)], NOW)
    assert step == Added(version(2), version(1), None, is_late=True)
    (step,) = plan([version(1)], [version(2)], NOW)
    assert step == Added(version(1), None, None, is_late=True)


def test_a_program_twice_in_a_file_is_added_once() -> None:
    assert [type(step) for step in plan([version(1), version(1)], [], NOW)] == [Added, Unchanged]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {"reward": percent(150)}, ["-reward.bps: 100", "+reward.bps: 150"]),
        ({}, {"max_spend_minor": 900}, ["+max_spend_minor: 900"]),
        ({"stackable": True}, {}, ["-stackable: true"]),
        ({"mccs": ["1", "2"]}, {"mccs": ["2", "3"]}, ["-mccs: 1", "+mccs: 3"]),
        ({"mccs": ["1", "2"]}, {"mccs": ["2", "1"]}, []),
        ({"budget": {"total": 9}}, {"budget": {"daily": 9}}, ["-budget.total: 9", "+budget.daily: 9"]),
        (
            {"reward": tiers((2_000, flat(50)), (None, flat(80)))},
            {"reward": tiers((3_000, flat(50)), (None, percent(200)))},
            [
                "-reward.brackets.0.up_to_minor: 2000",
                "+reward.brackets.0.up_to_minor: 3000",
                "-reward.brackets.1.reward.type: flat",
                "+reward.brackets.1.reward.type: percent",
                "-reward.brackets.1.reward.amount: 80",
                "+reward.brackets.1.reward.bps: 200",
            ],
        ),
        (
            {},
            {"schedule": {"timezone": "UTC", "from": "08:00"}},
            ["+schedule.timezone: UTC", "+schedule.from: 08:00"],
        ),
    ],
)
def test_two_versions_differ_field_by_field(
    old: dict[str, Any], new: dict[str, Any], lines: list[str]
) -> None:
    assert differences(version(1, **old), version(2, MARCH, **new)) == lines


def test_a_new_program_is_shown_whole_and_a_repeated_content_as_nothing_new() -> None:
    (added,) = plan([version(1)], [], 0)
    assert list(words.comparison(added, "p.yaml:3")) == [
        "--- not published",
        "+++ p version 1 (p.yaml:3), in force from 2026-01-01T00:00:00Z",
        "+type: campaign",
        "+merchant_ids: shop",
        "+currency: EUR",
        "+min_spend_minor: 100",
        "+valid_from: 2026-01-01T00:00:00Z",
        "+reward.type: percent",
        "+reward.bps: 100",
        "+hold_days: 14",
    ]
    (again,) = plan([version(2, MARCH)], [version(1), version(3, APRIL)], NOW)
    assert list(words.comparison(again, "p.yaml:3")) == [
        "--- p version 1",
        f"+++ p version 2 (p.yaml:3), in force from {MARCH} until {APRIL}",
        " nothing but the version and its time",
    ]
    (known,) = plan([version(1)], [version(1)], NOW)
    assert list(words.comparison(known, "p.yaml:3")) == []


def test_a_refused_and_a_late_version_are_told_as_such() -> None:
    (refused,) = plan([version(1, hold_days=20)], [version(1)], NOW)
    _, heading, why, *lines = words.comparison(refused, "p.yaml:3")
    assert heading == "+++ p version 1 (p.yaml:3), refused"
    assert why == "@@ version: p version 1 comes with two contents; give the newer one a new version"
    assert lines == ["-hold_days: 14", "+hold_days: 20"]
    (late,) = plan([version(2, FEBRUARY, hold_days=20)], [version(1)], NOW)
    assert any("purchases judged since then stay as they were" in line for line in words.comparison(late, ""))


@pytest.mark.parametrize(
    ("versions", "states"),
    [
        ([version(1), version(2, FEBRUARY), version(3, MARCH)], ["past", "in force", "coming"]),
        ([version(1), version(2)], ["never", "in force"]),
        ([version(1, valid_to=FEBRUARY)], ["past"]),
        ([version(1, valid_from=MARCH, effective_from=FEBRUARY)], ["coming"]),
        ([version(1, effective_from="2026-02-15T00:00:00Z")], ["in force"]),
        ([version(1, effective_from="2026-02-15T00:00:00.000001Z")], ["coming"]),
        ([version(1), version(2, FEBRUARY, valid_to=FEBRUARY)], ["past", "never"]),
    ],
)
def test_the_state_of_each_version(versions: list[ProgramSpec], states: list[State]) -> None:
    assert [span.state(NOW) for span in by_program(versions)["p"]] == states


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (percent(100), "1 %"),
        (percent(1), "0.01 %"),
        (percent(1_250, max_amount=500), "12.5 %, at most 500"),
        (flat(500, unit="points"), "500 points"),
        (
            tiers((2_000, flat(50)), (None, flat(200)), unit="points"),
            "50 points up to 2000, 200 points above",
        ),
        (tiers((1, flat(1)), (2, flat(2)), (None, flat(3))), "3 brackets"),
    ],
)
def test_a_reward_in_words(reward: dict[str, Any], said: str) -> None:
    assert reward_words(program(reward=reward)) == said
