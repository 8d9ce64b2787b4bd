"""An ordinary life: due work before the record, a pause, a stop, a bad moment of the brokers."""

from __future__ import annotations

import signal

from streams.engine import ExitCode
from tests.engine.stage import PARTITIONS, Stage
from tests.engine.worker import COUNT, PAUSE
from tests.eventually import eventually


def test_due_work_comes_in_slices_before_the_record_even_through_crashes(stage: Stage) -> None:
    slices = 5
    stage.send(300)
    for _ in range(2):
        worker = stage.start(instance_id="one", due_slices=slices, failpoint="after-commit@4")
        assert worker.wait() == -signal.SIGKILL
    stage.start(instance_id="one", due_slices=slices)
    stage.judge()
    fired = stage.outputs(b"fired")
    expected = {
        COUNT.pack(n) + b"%d" % partition for n in range(1, slices + 1) for partition in range(PARTITIONS)
    }
    assert len(fired) == len(expected)
    assert set(fired) == expected


def test_a_pause_keeps_what_was_done_and_takes_nothing_more(stage: Stage) -> None:
    stage.send(20, keys=1)
    stage.send(1, keys=1, value=PAUSE)
    stage.send(20, keys=1)
    worker = stage.start(instance_id="one")
    stage.sees(21)
    eventually(lambda: any(line["event"] == "paused" for line in worker.lines()))
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert stage.seen() == 21
    stage.start(instance_id="one")
    stage.judge()


def test_sigusr2_does_no_harm_and_sigterm_commits_what_was_done(stage: Stage) -> None:
    stage.send(100)
    worker = stage.start(commit_interval_ms=1_000)
    stage.sees(1)
    stage.send(50)
    worker.signal(signal.SIGUSR2)
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    stage.start()
    stage.judge()


def test_a_fold_that_hangs_ends_the_process(stage: Stage) -> None:
    stage.send(4)
    worker = stage.start(record_us=30_000_000, progress_timeout_ms=1_500)
    assert worker.wait() == ExitCode.STALLED
    # Two watch, and either may see it first.
    reason = worker.last_words()["reason"]
    assert "event loop has not turned" in reason or "no progress for" in reason


def test_work_that_nobody_does_ends_the_process(stage: Stage) -> None:
    stage.send(100)
    worker = stage.start(agent="ignores", progress_timeout_ms=1_500)
    assert worker.wait() == ExitCode.STALLED
    assert "no progress for" in worker.last_words()["reason"]


def test_an_agent_that_raises_ends_the_process(stage: Stage) -> None:
    stage.send(100)
    worker = stage.start(agent="raises")
    assert worker.wait() == ExitCode.APP_CRASHED
    assert "the agent itself is wrong" in worker.last_words()["cause"]


def test_records_that_change_nothing_cost_no_transaction_but_the_position_moves_now_and_then(
    stage: Stage,
) -> None:
    worker = stage.start(idle_commit_interval_ms=1_000, commit_interval_ms=10)
    for _ in range(20):
        stage.tick()
    eventually(lambda: stage.group_lag() == 0, timeout_s=20)
    commits = [line for line in worker.lines() if line["event"] == "committed"]
    assert 0 < len(commits) <= 3 * PARTITIONS
    assert stage.read(stage.output_topic) == []


def test_silent_brokers_end_the_start_with_a_reason(stage: Stage) -> None:
    worker = stage.start(brokers="127.0.0.1:1", startup_timeout_ms=500)
    assert worker.wait() == ExitCode.BROKERS_AWAY
    assert "Check the address" in worker.last_words()["reason"]
