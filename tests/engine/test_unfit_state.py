"""State that cannot be used is refused with what to do; group offsets decide nothing."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer, TopicPartition

from streams.engine import ExitCode
from streams.engine.position import POSITION_KEY, UNFINISHED, Position
from tests.engine.stage import PARTITIONS, Stage

REMEDY = "run the recipe"


@pytest.fixture
def state() -> str:
    """The changelog decides, whatever is on disk."""
    return "memory"


def test_state_of_a_newer_code_is_refused_naming_both_versions_and_the_remedy(stage: Stage) -> None:
    run_once(stage, state_version=3)
    stage.send(100)
    reason = refusal(stage, ExitCode.STATE_UNFIT, state_version=2)
    assert "its rows have version 3, this code has 2" in reason
    assert f"Run the code that wrote it, or {REMEDY}" in reason
    stage.start(state_version=3)
    stage.judge()


def test_state_of_an_older_code_is_refused_naming_both_versions_and_the_remedy(stage: Stage) -> None:
    run_once(stage, state_version=1)
    assert "its rows have version 1, this code has 2" in refusal(stage, ExitCode.STATE_UNFIT, state_version=2)


def test_a_rebuild_that_did_not_end_is_refused(stage: Stage) -> None:
    half = Position(7, stage.topic_id(stage.input_topic), UNFINISHED)
    write_positions(stage, lambda _: half.encode())
    assert f"a rebuild of it did not end: {REMEDY}" in refusal(stage, ExitCode.STATE_UNFIT)


def test_a_position_record_of_an_unknown_format_is_refused(stage: Stage) -> None:
    write_positions(stage, lambda _: b"\x09" + bytes(20))
    reason = refusal(stage, ExitCode.STATE_UNFIT)
    assert "has format 9, this code knows 2" in reason
    assert REMEDY in reason


def test_a_position_record_from_before_versions_is_read(stage: Stage) -> None:
    run_once(stage)
    topic = stage.topic_id(stage.input_topic).encode()
    offsets = {p: stage.end_of_input(p) for p in range(PARTITIONS)}
    write_positions(stage, lambda p: b"\x01" + offsets[p].to_bytes(8, "big") + topic)
    stage.send(100)
    stage.start()
    stage.judge()


def test_a_deleted_changelog_is_refused_instead_of_deciding_everything_again(stage: Stage) -> None:
    run_once(stage)
    before = stage.seen()
    stage.empty(stage.changelog_topic)
    reason = refusal(stage, ExitCode.STATE_UNFIT)
    assert "it has no position, but the group has committed offset" in reason
    assert REMEDY in reason
    assert stage.seen() == before


def test_a_deleted_changelog_is_refused_also_when_the_groups_offsets_are_lost(stage: Stage) -> None:
    run_once(stage)
    before = stage.seen()
    stage.empty(stage.changelog_topic)
    stage.forget_group()
    reason = refusal(stage, ExitCode.STATE_UNFIT, output_topics=(stage.output_topic,))
    assert f"it is empty, but {stage.output_topic} hold what was decided" in reason
    assert REMEDY in reason
    assert stage.seen() == before


def test_a_changelog_that_lost_its_end_is_refused_instead_of_deciding_it_again(stage: Stage) -> None:
    """As after an unclean election, or with a volume restored from a copy."""
    run_once(stage)
    before = stage.seen()
    topic, ends = stage.topic_id(stage.input_topic), [stage.end_of_input(p) for p in range(PARTITIONS)]
    write_positions(stage, lambda p: Position(ends[p] - 1, topic).encode())
    reason = refusal(stage, ExitCode.STATE_UNFIT)
    assert "of its input, but the group has committed offset" in reason
    assert REMEDY in reason
    assert stage.seen() == before


def test_lost_group_offsets_change_nothing(stage: Stage) -> None:
    run_once(stage)
    stage.forget_group()
    stage.send(100)
    stage.start()
    stage.judge()


def test_group_offsets_behind_retention_change_nothing(stage: Stage) -> None:
    run_once(stage)
    stage.commit_group(0)
    ends = [TopicPartition(stage.input_topic, p, stage.end_of_input(p)) for p in range(PARTITIONS)]
    for deleted in stage.admin.delete_records(ends).values():
        deleted.result()
    stage.send(100)
    stage.start()
    stage.judge()


def run_once(stage: Stage, **changed: int) -> None:
    """A worker that took something in every partition, and ended gracefully."""
    stage.send(200)
    worker = stage.start(**changed)
    stage.judge()
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def refusal(stage: Stage, code: ExitCode, **changed: Any) -> str:
    """Why a worker does not start."""
    worker = stage.start(rebuild_remedy=REMEDY, **changed)
    assert worker.wait() == code
    return str(worker.last_words()["reason"])


def write_positions(stage: Stage, position: Callable[[int], bytes]) -> None:
    producer = Producer({"bootstrap.servers": stage.brokers})
    for partition in range(PARTITIONS):
        producer.produce(stage.changelog_topic, position(partition), POSITION_KEY, partition)
    producer.flush(10)
