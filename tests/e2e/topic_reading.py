"""Reads topics as a careful consumer does: only what is committed, from the beginning."""

from dataclasses import dataclass
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from ops.partitions.reading import headers_of
from ops.torture.looking import reader
from schemas.codec import decode

END_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """One record, byte for byte."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()

    @property
    def said(self) -> dict[str, str]:
        """The headers as text."""
        return {name: (value or b"").decode() for name, value in self.headers}

    @property
    def origin(self) -> tuple[int, int]:
        """Partition and offset at which a quarantined record lay on `inputs`."""
        said = self.said
        return int(said["__connect.errors.partition"]), int(said["__connect.errors.offset"])

    @property
    def datum(self) -> dict[str, Any]:
        """The Avro datum."""
        return decode(self.value)[1]


class Tail:
    """Everything committed to a topic so far; `pull` adds what is new. Not for several threads at once."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self._consumer = reader(brokers, "read_committed")
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])
        self._topic = topic
        self._ends: set[int] = set()

    def pull(self, timeout_s: float = 0.0) -> int:
        """Take what is there, waiting up to `timeout_s` for a first record; how many that were."""
        taken = 0
        while messages := self._consumer.consume(5_000, timeout_s if not taken else 0.0):
            for message in messages:
                taken += self._keep(message)
        return taken

    def pull_to_the_end(self) -> list[list[Record]]:
        """Everything up to the last stable offset of each partition, as of now."""
        self._ends.clear()
        for partition, records in enumerate(self.records):
            # A reader that stands at the end says so once; asked anew it says so again.
            offset = records[-1].offset + 1 if records else 0
            self._consumer.seek(TopicPartition(self._topic, partition, offset))
        deadline_s = monotonic() + END_S_MAX
        while len(self._ends) < len(self.records):
            self.pull(0.2)
            assert monotonic() < deadline_s, f"{self._topic}: its end was not reached in {END_S_MAX} s"
        return self.records

    def next_offset(self, partition: int) -> int:
        """The offset after the last record seen."""
        records = self.records[partition]
        return records[-1].offset + 1 if records else 0

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()

    def _keep(self, message: Message) -> int:
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        error = message.error()
        if error is None:
            assert offset is not None
            headers = tuple(headers_of(message))
            self.records[partition].append(Record(offset, message.key(), message.value(), headers))
            return 1
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        self._ends.add(partition)
        return 0


def read_all(brokers: str, topic: str, partitions: int) -> list[list[Record]]:
    """All committed records of a topic, a list for each partition."""
    tail = Tail(brokers, topic, partitions)
    try:
        return tail.pull_to_the_end()
    finally:
        tail.close()
