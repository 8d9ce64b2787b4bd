"""State comes back from the changelog, whatever the broker did to it; or the worker refuses and says why."""

from __future__ import annotations

import signal

from confluent_kafka import Producer, TopicPartition

from streams.engine import ExitCode
from streams.engine.position import POSITION_KEY, Position
from tests.engine.stage import PARTITIONS, Stage, Worker
from tests.eventually import eventually


def test_an_empty_changelog_starts_at_the_beginning_of_the_log(stage: Stage) -> None:
    worker = stage.start()
    eventually(lambda: _restores(worker) == [0] * PARTITIONS, timeout_s=20)
    stage.send(100)
    stage.judge()


def test_a_changelog_that_ends_in_markers_and_aborted_rows_restores(stage: Stage) -> None:
    """The last stable offset is then far behind the last row anyone can read."""
    stage.send(200, keys=3)
    first = stage.start(instance_id="one")
    stage.judge()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    producer = Producer(
        {"bootstrap.servers": stage.brokers, "transactional.id": f"{stage.changelog_topic}-stray"}
    )
    producer.init_transactions(10)
    for partition in range(PARTITIONS):
        producer.begin_transaction()
        producer.produce(stage.changelog_topic, b"never committed", b"stray", partition)
        producer.flush(10)
        producer.abort_transaction(10)
    stage.send(200, keys=3)
    stage.start(instance_id="one")
    stage.judge()


def test_a_compacted_changelog_restores(stage: Stage) -> None:
    stage.compact_soon(stage.changelog_topic)
    stage.send(200, keys=3)
    first = stage.start(instance_id="one")
    stage.judge()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    _rewrite_a_row(stage, times=2_000)
    eventually(lambda: len(stage.read(stage.changelog_topic)) < 1_000, timeout_s=30, every_s=0.2)
    stage.send(200, keys=3)
    second = stage.start(instance_id="one")
    stage.judge()
    assert sum(_restores(second)) < 1_000


def test_a_position_beyond_the_end_of_the_log_is_refused(stage: Stage) -> None:
    _stand_at(stage, 1_000_000)
    stage.send(100)
    worker = stage.start()
    assert worker.wait() == ExitCode.POSITION_OUTSIDE_LOG
    assert "the state stands at 1000000 but the log ends at" in worker.last_words()["reason"]


def test_a_position_before_the_start_of_the_log_is_refused(stage: Stage) -> None:
    stage.send(100)
    gone = [TopicPartition(stage.input_topic, partition, 5) for partition in range(PARTITIONS)]
    for deleted in stage.admin.delete_records(gone).values():
        deleted.result()
    worker = stage.start()
    assert worker.wait() == ExitCode.POSITION_OUTSIDE_LOG
    assert "the state stands at 0 but the log begins at 5" in worker.last_words()["reason"]


def test_a_topic_created_anew_under_the_state_is_refused(stage: Stage) -> None:
    stage.send(400)
    first = stage.start()
    stage.judge()
    first.signal(signal.SIGTERM)
    assert first.wait() == 0
    stage.recreate(stage.input_topic)
    stage.send(400)
    second = stage.start()
    assert second.wait() == ExitCode.POSITION_OUTSIDE_LOG
    assert "deleted and created anew" in second.last_words()["reason"]


def test_a_wrong_number_of_partitions_is_refused(stage: Stage) -> None:
    worker = stage.start(partitions=PARTITIONS + 1)
    assert worker.wait() == ExitCode.TOPICS_UNFIT
    assert f"has {PARTITIONS} partitions, settings say {PARTITIONS + 1}" in worker.last_words()["reason"]


def _restores(worker: Worker) -> list[int]:
    """Rows read, an entry a restored partition."""
    return [line["rows"] for line in worker.lines() if line["event"] == "restored"]


def _rewrite_a_row(stage: Stage, times: int) -> None:
    """Stale versions of a row that ends deleted, closed off by a later segment."""
    producer = Producer({"bootstrap.servers": stage.brokers})
    for partition in range(PARTITIONS):
        for version in range(times // PARTITIONS):
            producer.produce(stage.changelog_topic, b"version %d" % version, b"ballast", partition)
        producer.produce(stage.changelog_topic, None, b"ballast", partition)
    producer.flush(10)

    def rolled() -> bool:
        for partition in range(PARTITIONS):
            producer.produce(stage.changelog_topic, None, b"ballast", partition)
        producer.flush(10)
        return len(stage.read(stage.changelog_topic)) < times

    eventually(rolled, timeout_s=30, every_s=0.3)


def _stand_at(stage: Stage, offset: int) -> None:
    producer = Producer({"bootstrap.servers": stage.brokers})
    for partition in range(PARTITIONS):
        position = Position(offset, stage.topic_id(stage.input_topic))
        producer.produce(stage.changelog_topic, position.encode(), POSITION_KEY, partition)
    producer.flush(10)
