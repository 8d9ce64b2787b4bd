"""Reads a partition from its first record to a given offset, as a careful consumer does."""

from collections.abc import Iterator, Sequence
from ctypes import pythonapi
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

ANSWER_S = 30.0
_ASK_EVERY_S = 0.1
_NO_LEADER = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
SILENCE_S_MAX = 60.0


class LogUnreadable(Exception):
    """A topic does not yield what it says it has."""


class Partition:
    """One partition of a topic, read once. `bounds`: its first offset and the last stable one."""

    def __init__(self, brokers: str, topic: str, partition: int) -> None:
        self.partition = partition
        self._topic = topic
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": "cashback-partitions",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "error",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
                "queued.max.messages.kbytes": 8_192,
                "log_level": 0,
            }
        )

    def bounds(self) -> tuple[int, int]:
        """Asked again while the partition changes its leader. Raises KafkaException."""
        place = TopicPartition(self._topic, self.partition)
        deadline = monotonic() + ANSWER_S
        while True:
            try:
                low, high = self._consumer.get_watermark_offsets(place, timeout=ANSWER_S)
                return low, high
            except KafkaException as error:
                if error.args[0].code() not in _NO_LEADER or monotonic() > deadline:
                    raise
                sleep(_ASK_EVERY_S)

    def offset_since(self, at_ms: int) -> int:
        """The first offset of a record of that time (ms since 1970 UTC) or later. Raises KafkaException."""
        asked = TopicPartition(self._topic, self.partition, at_ms)
        found = self._consumer.offsets_for_times([asked], timeout=ANSWER_S)[0].offset
        return found if found >= 0 else self.bounds()[1]

    def read(self, begin: int, end: int) -> Iterator[Message]:
        """The records from offset `begin` to before `end`. Raises KafkaException, LogUnreadable."""
        if begin >= end:
            return
        self._consumer.assign([TopicPartition(self._topic, self.partition, begin)])
        heard_at = monotonic()
        while True:
            for message in self._consumer.consume(5_000, 0.2):
                heard_at = monotonic()
                offset = message.offset()
                assert offset is not None
                if (error := message.error()) is not None:
                    if error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                    if offset >= end:
                        return
                elif offset >= end:
                    return
                else:
                    yield message
                    if offset == end - 1:
                        return
            if monotonic() - heard_at > SILENCE_S_MAX:
                where = f"{self._topic}[{self.partition}]"
                raise LogUnreadable(f"{where}: nothing read for {SILENCE_S_MAX:.0f} s; look at the brokers")

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()


class Input:
    """A record of the input log as the fold takes it."""

    __slots__ = ("headers", "key", "offset", "timestamp", "value")

    def __init__(self, message: Message) -> None:
        offset = message.offset()
        assert offset is not None
        self.offset = offset
        self.timestamp: int = message.timestamp()[1]
        self.key: bytes | None = message.key()
        self.value: bytes | None = message.value()
        self.headers: Sequence[tuple[str, Any]] = headers_of(message)


UNREADABLE_HEADER = ("\udcff", b"")
"""Stands for headers with a key that is not UTF-8, as the engine would show one of them."""


def headers_of(message: Message) -> list[tuple[str, Any]]:
    """The headers; the client cannot show those of a record with a key that is not UTF-8. Ask once."""
    try:
        headers: Any = message.headers()
        # The client (2.16) does not look whether decoding failed: the error waits for the next who looks, and
        # the list has holes that must not be touched. Any call through ctypes looks.
        pythonapi.Py_IsInitialized()
    except UnicodeDecodeError:
        return [UNREADABLE_HEADER]
    return list(headers or ())
