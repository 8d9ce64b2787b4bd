"""Workers die in every way; every record must still come out exactly once."""

from __future__ import annotations

import signal
from collections.abc import Callable

from streams.engine import ExitCode
from streams.engine.failpoints import Place
from tests.engine.stage import Stage
from tests.eventually import eventually

RECORDS = 6_000
SLOW_US = 250
"""Keeps the load going for some seconds, so that a blow lands in its middle."""


def test_a_worker_killed_several_times_loses_and_doubles_nothing(stage: Stage) -> None:
    stage.send(RECORDS)
    for share in (0.1, 0.3, 0.6):
        worker = stage.start(instance_id="one", record_us=SLOW_US)
        stage.sees(int(RECORDS * share))
        worker.kill()
    stage.start(instance_id="one")
    stage.judge()


def test_two_workers_killed_in_turn_lose_and_double_nothing(stage: Stage) -> None:
    stage.send(RECORDS)
    workers = [stage.start(instance_id=f"w{i}", record_us=SLOW_US) for i in range(2)]
    for victim, share in ((0, 0.15), (1, 0.4)):
        stage.sees(int(RECORDS * share))
        workers[victim].kill()
        workers[victim] = stage.start(instance_id=f"w{victim}", record_us=SLOW_US)
    stage.judge()


def test_workers_that_join_and_leave_all_the_time_make_progress_and_stay_exact(stage: Stage) -> None:
    stage.send(RECORDS)
    steady = stage.start(record_us=SLOW_US)
    stage.sees(RECORDS // 20)
    for share in (0.3, 0.5, 0.7):
        guest = stage.start(record_us=SLOW_US)
        stage.sees(int(RECORDS * share))
        guest.signal(signal.SIGTERM)
        assert guest.wait() in (0, -signal.SIGTERM), "-SIGTERM: it had not even started"
    stage.judge()
    assert steady.exit_code is None


def test_records_that_arrive_during_a_rebalance_are_not_lost(stage: Stage) -> None:
    """aiokafka waits through a rebalance with a fetch from before it, and counts its records as read."""
    steady = stage.start()
    stage.send(50)
    stage.sees(50)
    for _ in range(3):
        guest = stage.start()
        _send_until(stage, guest.runs)
        guest.signal(signal.SIGTERM)
        _send_until(stage, guest.ended)
    stage.judge()
    assert steady.exit_code is None


def test_a_zombie_is_fenced_leaves_and_does_no_harm(stage: Stage) -> None:
    stage.send(RECORDS)
    zombie = stage.start(record_us=SLOW_US, session_timeout_ms=6_000)
    stage.sees(RECORDS // 20)
    zombie.signal(signal.SIGSTOP)
    stage.start(record_us=SLOW_US)
    at_stop = stage.seen()
    stage.sees(at_stop + RECORDS // 5)
    zombie.signal(signal.SIGCONT)
    assert zombie.wait(timeout_s=3) in (ExitCode.SUSPENDED, ExitCode.SESSION_LOST, ExitCode.FENCED)
    assert zombie.last_words()["reason"]
    stage.judge()


def test_a_crash_at_any_failpoint_loses_and_doubles_nothing(stage: Stage) -> None:
    stage.send(RECORDS)
    for place in Place:
        if place is not Place.RAISE:
            worker = stage.start(instance_id="one", record_us=SLOW_US, failpoint=f"{place}@3")
            assert worker.wait() == -signal.SIGKILL, place
    stage.start(instance_id="one")
    stage.judge()


def test_an_exception_at_any_record_ends_the_process_and_nothing_is_lost(stage: Stage) -> None:
    stage.send(500, keys=1)
    for record in (1, 64, 300):
        worker = stage.start(instance_id="one", failpoint=f"raise@{record}")
        assert worker.wait() == ExitCode.FOLD_FAILED
        words = worker.last_words()
        assert words["exit"] == "fold_failed"
        assert words["offset"] == record - 1
        assert "Injected" in words["trace"]
    stage.start(instance_id="one")
    stage.judge()


def _send_until(stage: Stage, over: Callable[[], bool]) -> None:
    def send_and_look() -> bool:
        stage.send(10)
        return over()

    eventually(send_and_look, timeout_s=20)
