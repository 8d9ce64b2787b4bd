"""How late cashbacks cleared, held against when the clock and the inputs let them."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.oracle import Recomputation, recompute_log
from ops.torture.faults import Kind
from ops.torture.lateness import Arrivals, late, outages
from ops.torture.progress import Felt, Plan, Progress
from schemas.times import from_iso
from tests.oracle.phrases import bought, campaign, logged, percent

NAMES = ("soon", "late", "end")


@pytest.fixture(scope="module")
def expected() -> Recomputation:
    """`soon` is cleared by the next input, `late` as it comes, `end` by the clock alone."""
    lines = (
        bought("01 10:00", "soon"),
        bought("05 10:00", "other", 1),
        bought("01 11:00", "late"),
        bought("06 10:00", "end"),
    )
    return recompute_log([campaign(percent(1000), hold_days=2)], logged(*lines), until="2024-02-20T00:00:00Z")


@pytest.fixture
def arrivals() -> Arrivals:
    """An input a second, from second 1 on; a tick in second 100 ends the log."""
    made = Arrivals(at_ms=[1_000, 2_000, 3_000, 4_000])
    for at_ms, day in ((1_000, "01"), (2_000, "05"), (4_000, "06"), (100_000, "20")):
        made.moved(from_iso(f"2024-02-{day}T10:00:00Z", "day"), at_ms)
    return made


def ids(expected: Recomputation) -> dict[str, str]:
    return {each.transaction_ref: name for name, each in expected.cashbacks.items()}


def waits(expected: Recomputation, arrivals: Arrivals, posted_s: float, **outage: float) -> list[float]:
    at = datetime.fromtimestamp(posted_s, UTC)
    broken = [(outage["since"], outage["until"])] if outage else []
    return [late(expected, [(ids(expected)[name], at)], arrivals, broken)[0] for name in NAMES]


def test_a_wait_begins_with_the_input_or_the_clock_that_cleared_it(
    expected: Recomputation, arrivals: Arrivals
) -> None:
    assert waits(expected, arrivals, 130) == [128, 127, 30]


def test_what_an_outage_held_up_does_not_count(expected: Recomputation, arrivals: Arrivals) -> None:
    assert waits(expected, arrivals, 130, since=0, until=110) == [20, 20, 20]
    assert waits(expected, arrivals, 130, since=50, until=500) == [48, 47, 0]


def test_more_than_a_minute_is_too_late_and_named(expected: Recomputation, arrivals: Arrivals) -> None:
    at = datetime.fromtimestamp(63.5, UTC)
    posted = [(name, at) for name in expected.cashbacks]
    longest_s, wrong = late(expected, posted, arrivals, [])
    assert longest_s == 61.5
    assert wrong == [
        f"{ids(expected)['soon']} cleared 61.5 s after it could",
        f"{ids(expected)['late']} cleared 60.5 s after it could",
    ]


def test_outages_are_of_faults_on_the_way_and_overlapping_ones_are_one() -> None:
    def felt(kind: Kind, began_at: float, over_at: float) -> Felt:
        return Felt(1, kind, 0.5, 1.0, 0.0, "", began_at=began_at, over_at=over_at)

    told = [
        felt(Kind.LEDGER_KILLED, 30, 40),
        felt(Kind.BROKER_KILLED, 10, 20),
        felt(Kind.WORKER_KILLED, 15, 25),
        felt(Kind.WEBHOOKS_KILLED, 50, 60),
    ]
    replay = felt(Kind.REPLAY, 70, 90)
    skipped = replace(felt(Kind.BROKER_KILLED, 100, 110), skipped="no compiler")
    assert outages([*told, replay, skipped]) == [(10, 25), (30, 40)]
    assert outages(told, stops=[(38, 200)]) == [(10, 25), (30, 200)]


def test_what_the_clock_never_came_to_is_named(expected: Recomputation, arrivals: Arrivals) -> None:
    arrivals.clocks.pop()
    end = ids(expected)["end"]
    assert late(expected, [(end, datetime.fromtimestamp(130, UTC))], arrivals, []) == (
        0.0, [f"{end} cleared, though the clock never came to it"],
    )  # fmt: skip


def test_the_time_between_a_stop_and_the_rest_of_the_run_is_an_outage(tmp_path: Path) -> None:
    first = Progress.begin(tmp_path / "run", Plan(1, 1, 1, {}))
    first.broke_off(1_000.5)
    first.save()
    for number in (1, 2):
        resumed = Progress.resume(tmp_path / "run")
        resumed.goes_on()
        resumed.save()
        assert len(resumed.stops) == number
    assert resumed.stops[0][0] == 1_000.5
    assert all(begin < end for begin, end in resumed.stops)
