"""The index of places: every record about a payment is found again under its reference, once."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message, TopicPartition
from confluent_kafka.admin import AdminClient

from ops import topics
from ops.settings import Settings
from schemas.codec import encode
from schemas.topics import DECISIONS, INPUTS, QUARANTINE
from schemas.transactions import from_json, to_datum
from sinks.database import become_writer, session_options
from sinks.places.indexing import PlacesWork
from sinks.places.references import Whereabouts, find, reference
from sinks.positions import Positions, Superseded
from tests.e2e.bad_inputs import bytes_of, payment
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes

Sql = Callable[..., list[tuple[Any, ...]]]
SHARED = reference(True, "bank", "order-1")


class Index:
    """The work of the sink through a session of its own."""

    def __init__(self, url: str, name: str) -> None:
        self.connection = psycopg.connect(url, autocommit=True, **session_options("test"))
        self.positions = Positions(sink="places", instance=name, stale_ms=10_000)
        self.positions.load(self.connection, {("inputs", 0): 0, ("decisions", 0): 0})
        become_writer(self.connection)
        self.work = PlacesWork(Settings())
        self._write = self.work.prepare(self.connection, self.positions)

    def write(self, topic: str, *values: bytes | None) -> int:
        batch = self.work.batch()
        for offset, value in enumerate(values, self.positions.next_offsets[topic, 0]):
            batch.add(Message(topic=topic, partition=0, offset=offset, key=b"k", value=value))
        return self._write(batch)

    def find(self, *references: int) -> list[Whereabouts]:
        return find(self.connection, references, ["inputs", "decisions"])


@pytest.fixture
def opened(ledger_url: str) -> Iterator[Callable[[str], Index]]:
    """Opens the index of the test's database under an instance's name."""
    indexes: list[Index] = []

    def open_index(name: str) -> Index:
        indexes.append(Index(ledger_url, name))
        return indexes[-1]

    yield open_index
    for index in indexes:
        index.connection.close()


def decided(external_id: str) -> bytes:
    datum = to_datum(from_json(payment(external_id)))
    names = ("occurred_at", "partner_id", "member_id", "merchant_id", "livemode")
    said = {name: datum[name] for name in names} | {"transaction_id": "tx_1", "transaction_ref": external_id}
    return encode("Decision", said | {"decisions": [{"decision": "NO_PROGRAM"}]})


def test_what_is_about_a_payment_is_found_and_the_rest_is_only_passed(
    opened: Callable[[str], Index],
) -> None:
    index = opened("one")
    revocation: dict[str, Any] = {
        "partner_id": "bank",
        "member_id": "ann",
        "external_id": "order-1",
        "program_id": "one",
    }
    revocation |= {"sequence": 1, "actor": "ops", "reason": "fraud", "revoked_at": 1_700_000_000_000_000}
    tick = encode("Tick", {"emitted_at": 1_700_000_000_000_000})
    word = {name: revocation[name] for name in ("partner_id", "member_id", "external_id", "actor", "reason")}
    word |= {"kind": "REFUNDED", "action": "DISCARDED", "decided_at": 1_700_000_000_000_000}
    values = (bytes_of(payment("order-1")), tick, b"not ours", None, encode("Revocation", revocation))
    others = (bytes_of(payment("order-2")), encode("ParkedDecision", word))
    assert index.write("inputs", *values, *others) == 4
    assert index.write("decisions", decided("order-1")) == 1
    assert index.find(SHARED) == [
        Whereabouts("decisions", 0, 0),
        Whereabouts("inputs", 0, 0),
        Whereabouts("inputs", 0, 4),
        Whereabouts("inputs", 0, 6),
    ]
    assert index.find(reference(False, "bank", "order-1"), reference(True, "shop", "order-1")) == []
    assert index.positions.next_offsets == {("inputs", 0): 7, ("decisions", 0): 1}


def test_an_older_instance_writes_nothing(opened: Callable[[str], Index], sql: Sql) -> None:
    older, newer = opened("one"), opened("two")
    newer.write("inputs", bytes_of(payment("order-1")))
    with pytest.raises(Superseded):
        older.write("inputs", bytes_of(payment("order-1")))
    assert sql("SELECT count(*) FROM payment_places") == [(1,)]


def test_places_are_written_once_whatever_is_killed_and_what_is_past_its_time_is_passed_over(
    log: Log, processes: Processes, sql: Sql
) -> None:
    settings = log.settings
    topics.create(settings, [INPUTS, DECISIONS, QUARANTINE])
    inputs, decisions = (topic.full_name(settings.topic_prefix) for topic in (INPUTS, DECISIONS))
    for number in range(3_000):
        log.producer.produce(inputs, bytes_of(payment(f"order-{number}")), b"bank:ann", 0)
    for number in range(10):
        log.producer.produce(decisions, decided(f"order-{number}"), b"bank:ann", 0)
    log.producer.flush(10)
    gone = TopicPartition(decisions, 0, 4)
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    admin.delete_records([gone])[gone].result(30)
    sink = settings.topic_prefix + "places"
    sql("INSERT INTO sink_positions VALUES (%s, %s, 0, 2, 'earlier')", sink, decisions)

    first = processes.start("sinks.places")
    eventually(lambda: sql("SELECT 1 FROM payment_places LIMIT 1"), timeout_s=30)
    first.kill()
    first.wait(10)
    log.producer.produce(inputs, bytes_of(payment("order-1", kind="REFUNDED")), b"bank:ann", 0)
    log.producer.flush(10)
    processes.start("sinks.places")

    eventually(lambda: sql("SELECT count(*) FROM payment_places") == [(3_001 + 6,)], timeout_s=30)
    found = sql("SELECT topic, record_offset FROM payment_places WHERE reference = %s", SHARED)
    # Retries may change the order in which a producer's records lie.
    assert len(found) == 2
    assert max(found) == (inputs, 3_000)
