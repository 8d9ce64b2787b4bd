"""Reads a partition as a careful consumer does: only what is committed, from the beginning to the end."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import monotonic
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ops.torture.looking import reader
from schemas.codec import decode

QUIET_S_MAX = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """One record, byte for byte. `at_ms`: when the broker took it, or its sender made it; Unix ms."""

    offset: int
    at_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]

    def said(self, name: str) -> bytes | None:
        """The value of a header, None where there is none."""
        return next((value for header, value in self.headers if header == name), None)

    @property
    def datum(self) -> dict[str, Any]:
        """The Avro datum."""
        return decode(self.value)[1]


def records(brokers: str, topic: str, partition: int) -> Iterator[Record]:
    """All committed records of a partition, up to its last stable offset as of the end of reading.

    Raises KafkaException, TimeoutError.
    """
    consumer = reader(brokers, "read_committed")
    consumer.assign([TopicPartition(topic, partition, 0)])
    heard_s = monotonic()
    try:
        while True:
            for message in consumer.consume(5_000, 0.5):
                error = message.error()
                if error is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        return
                    if not error.retriable():
                        raise KafkaException(error)
                    continue
                heard_s = monotonic()
                headers: Any = message.headers() or ()
                offset = message.offset()
                assert offset is not None
                yield Record(offset, message.timestamp()[1], message.key(), message.value(), tuple(headers))
            if monotonic() - heard_s > QUIET_S_MAX:
                raise TimeoutError(f"{topic}[{partition}]: its end was not reached")
    finally:
        consumer.close()
