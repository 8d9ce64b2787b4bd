"""The transactions of one partition, against a real broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from confluent_kafka import KafkaException

from streams.engine import EngineSettings
from streams.engine.brokers import Brokers
from streams.engine.position import POSITION_KEY, Position
from streams.engine.transactions import PartitionTransactions
from tests.engine.stage import Stage
from tests.eventually import eventually

START = Position(0, "")


@pytest.fixture
def state() -> str:
    """The store plays no part here."""
    return "memory"


@pytest.fixture
def own(stage: Stage) -> Iterator[Callable[..., PartitionTransactions]]:
    """Takes partition 0 over, each time as a new owner."""
    owners = []

    def own(**changed: int) -> PartitionTransactions:
        options = stage.options(**changed)
        del options["output_topic"]
        settings = EngineSettings(**options)
        owners.append(PartitionTransactions(settings, 0, Brokers(settings)))
        owners[-1].fence()
        return owners[-1]

    yield own
    for owner in owners:
        owner.close()


def test_a_commit_shows_outputs_rows_and_position_together(
    stage: Stage, own: Callable[..., PartitionTransactions]
) -> None:
    owner = own()
    owner.send(stage.output_topic, b"key", b"output", [("name", b"value")])
    owner.commit({b"row": b"1", b"gone": None}, Position(7, "id"))
    rows = [(b"row", b"1"), (b"gone", None), (POSITION_KEY, Position(7, "id").encode())]
    eventually(lambda: stage.read(stage.output_topic) == [(b"key", b"output")])
    eventually(lambda: stage.read(stage.changelog_topic) == rows)


def test_a_new_owner_fences_the_old_one_and_drops_what_it_left_open(
    stage: Stage, own: Callable[..., PartitionTransactions]
) -> None:
    old = own()
    old.send(stage.output_topic, b"key", b"of the old")
    new = own()
    new.send(stage.output_topic, b"key", b"of the new")
    new.commit({}, START)
    with pytest.raises(KafkaException) as refused:
        old.commit({}, START)
    assert old.fenced(refused.value)
    eventually(lambda: stage.read(stage.output_topic) == [(b"key", b"of the new")])


def test_who_was_fenced_can_find_out_without_writing(own: Callable[..., PartitionTransactions]) -> None:
    old = own()
    new = own()
    with pytest.raises(KafkaException) as refused:
        old.prove_ownership()
    assert old.fenced(refused.value)
    new.prove_ownership()


def test_more_output_than_the_queue_holds_waits_for_room(
    stage: Stage, own: Callable[..., PartitionTransactions]
) -> None:
    owner = own(queue_kbytes_max=10)
    value = b"x" * 1_000
    for _ in range(500):
        owner.send(stage.output_topic, b"key", value)
    owner.commit({b"row-%d" % n: value for n in range(50)}, START)
    eventually(lambda: len(stage.read(stage.output_topic)) == 500)
    eventually(lambda: len(stage.read(stage.changelog_topic)) == 51)


def test_an_output_that_cannot_be_delivered_fails_the_commit(
    own: Callable[..., PartitionTransactions],
) -> None:
    owner = own()
    owner.send("no-such-topic", b"key", b"value")
    with pytest.raises(KafkaException):
        owner.commit({}, START)
