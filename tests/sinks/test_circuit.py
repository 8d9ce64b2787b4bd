"""When an endpoint is left alone, and how its deliveries are spaced."""

import time

import pytest

from sinks.webhooks.circuit import Circuit, Pace
from sinks.webhooks.lane import Host, Lane
from sinks.webhooks.messages import Stored
from sinks.webhooks.signing import new_secret


def test_failures_in_a_row_open_it_and_one_probe_at_a_time_goes_out() -> None:
    circuit = Circuit(failures_max=3, pause_s_max=30)
    circuit.failed(10)
    circuit.failed(10)
    assert (circuit.is_open(), circuit.allowed(32, 10)) == (False, 32)
    circuit.failed(10)
    assert circuit.is_open()
    assert [circuit.allowed(32, now) for now in (10, 10.9, 11, 500)] == [0, 0, 1, 1]


def test_a_success_closes_it_and_forgets_what_was() -> None:
    circuit = Circuit(failures_max=2, pause_s_max=30)
    for now in (0, 0, 1, 3):
        circuit.failed(now)
    circuit.succeeded()
    assert (circuit.is_open(), circuit.allowed(32, 3)) == (False, 32)
    circuit.failed(100)
    assert not circuit.is_open()
    circuit.failed(100)
    assert circuit.allowed(32, 101) == 1, "the first pause is a second again"


def test_each_failed_probe_doubles_the_pause_up_to_a_bound() -> None:
    circuit = Circuit(failures_max=1, pause_s_max=5)
    now, pauses = 0.0, []
    for _ in range(5):
        circuit.failed(now)
        pause = next(each / 10 for each in range(1, 100) if circuit.allowed(32, now + each / 10))
        pauses.append(pause)
        now += pause
    assert pauses == [1, 2, 4, 5, 5]


def test_attempts_that_were_under_way_when_it_opened_prolong_nothing() -> None:
    circuit = Circuit(failures_max=1, pause_s_max=30)
    for _ in range(32):
        circuit.failed(7)
    assert (circuit.allowed(32, 7.9), circuit.allowed(32, 8)) == (0, 1)


@pytest.mark.parametrize("per_s", [0.5, 3, 40])
def test_no_second_has_more_deliveries_than_the_bound(per_s: float) -> None:
    pace, now, sent = Pace(), 100.0, []
    pace.per_s = per_s
    while now < 110:
        wait_s = pace.reserve(now)
        if wait_s is None:
            now += 0.03
        else:
            sent.append(now + wait_s)
    assert sent == sorted(sent)
    for first in sent:
        assert sum(first <= each < first + 1 - 1e-9 for each in sent) <= max(1, per_s)
    assert len(sent) >= 9 * per_s, "and the bound is used"


def test_a_turn_that_is_far_away_is_not_taken() -> None:
    pace = Pace()
    pace.per_s = 2
    assert pace.reserve(0) == 0
    assert pace.reserve(0) is None
    assert pace.reserve(0.4) == pytest.approx(0.1)
    assert (pace.room(64), Pace().room(64)) == (2, 64)
    assert Pace().reserve(5) == 0


def test_what_waits_for_a_batch_is_as_much_as_its_requests_carry() -> None:
    def room(per_s: float | None, batch_max: int | None) -> int:
        stored = Stored(1, "https://example.com/", (new_secret(),), None, 0.0, per_s, batch_max)
        circuit = Circuit(failures_max=8, pause_s_max=30)
        return Lane(stored, window_max=8, circuit=circuit, host=Host(room=1)).room()

    assert (room(None, None), room(None, 10), room(None, 100), room(2.0, 10)) == (8, 80, 800, 20)


def test_whose_turn_is_far_away_takes_no_room_of_its_host() -> None:
    stored = Stored(1, "https://example.com/", (new_secret(),), None, 0.0, 1.0, None)
    circuit = Circuit(failures_max=8, pause_s_max=30)
    lane = Lane(stored, window_max=8, circuit=circuit, host=Host(room=1))
    assert lane.free() == 4
    assert lane.pace.reserve(time.monotonic()) == 0
    assert lane.pace.reserve(time.monotonic()) is None, "the next turn is a second away"
    assert lane.free() == 0, "tasks that begin only to find that out would begin for ever"
