"""Reads single records out of topics by their place, many partitions at once."""

from collections.abc import Iterable
from time import monotonic
from types import TracebackType
from typing import Any, Self

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from ops.partitions.reading import headers_of
from sinks.places.references import Whereabouts

ANSWER_S = 10.0
NEAR_RECORDS = 2_000
"""What lies further on is jumped to; nearer, reading on is quicker."""
FETCH_BYTES = 64 * 1024
_LOOK_S = 0.02
_LOOK_RECORDS = 500

Partition = tuple[str, int]


class LogUnreadable(Exception):
    """The brokers do not yield what was asked for; the message says what to do."""


class LogReader:
    """A context manager around one consumer. Methods raise KafkaException.

    `group`: the one it can ask how far it has come; it never joins it.
    """

    def __init__(self, brokers: str, group: str) -> None:
        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                # What is past its time is gone: then the first record that is left is read, and passed over.
                "auto.offset.reset": "earliest",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 5,
                "max.partition.fetch.bytes": FETCH_BYTES,
                "log_level": 0,
            }
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._consumer.close()

    def read(self, places: Iterable[Whereabouts], whole: str) -> tuple[list[Message], list[Message]]:
        """The records at `places` that are still kept, and all of the only partition of the topic `whole`.

        Raises `LogUnreadable`.
        """
        hunts: dict[Partition, _Hunt] = {(whole, 0): _Hunt(everything=True)}
        for place in sorted(places, reverse=True):
            hunts.setdefault((place.topic, place.partition), _Hunt()).offsets.append(place.offset)
        self._hunt(hunts)
        everything = hunts.pop((whole, 0)).found
        return [message for hunt in hunts.values() for message in hunt.found], everything

    def ends(self, places: Iterable[Partition]) -> dict[Partition, int]:
        """Where these partitions end now."""
        asked = {place: TopicPartition(*place) for place in places}
        return {
            place: self._consumer.get_watermark_offsets(partition, timeout=ANSWER_S)[1]
            for place, partition in asked.items()
        }

    def last_headers(self, topic: str, partitions: Iterable[int]) -> list[list[tuple[str, Any]]]:
        """The headers of the last record of each of these partitions that has one. Raises `LogUnreadable`."""
        ends = self.ends((topic, partition) for partition in partitions)
        hunts = {place: _Hunt([end - 1]) for place, end in ends.items() if end}
        self._hunt(hunts)
        return [headers_of(message) for hunt in hunts.values() for message in hunt.found]

    def committed(self, place: Partition) -> int:
        """How far the group has come in a partition."""
        (known,) = self._consumer.committed([TopicPartition(*place)], timeout=ANSWER_S)
        return max(0, known.offset)

    def _hunt(self, hunts: dict[Partition, "_Hunt"]) -> None:
        consumer, left = self._consumer, set(hunts)
        consumer.assign([TopicPartition(*place, hunt.begin) for place, hunt in hunts.items()])
        until_s = monotonic() + ANSWER_S
        while left:
            for message in consumer.consume(_LOOK_RECORDS, _LOOK_S):
                place = (str(message.topic()), message.partition() or 0)
                if place not in left:
                    continue
                error, hunt, offset = message.error(), hunts[place], message.offset() or 0
                if error is None:
                    hunt.take(message, offset)
                    if (far := hunt.jump(offset)) is not None:
                        consumer.seek(TopicPartition(*place, far))
                elif error.code() == KafkaError._PARTITION_EOF:
                    hunt.end(offset)
                else:
                    raise KafkaException(error)
                if hunt.is_over:
                    left.discard(place)
                    consumer.pause([TopicPartition(*place)])
            if left and monotonic() > until_s:
                names = ", ".join(f"{topic}[{number}]" for topic, number in sorted(left))
                raise LogUnreadable(f"{names}: not read within {ANSWER_S:.0f} s; look at the brokers")
        # A partition stays paused beyond its assignment.
        consumer.resume([TopicPartition(*place) for place in hunts])
        consumer.unassign()


class _Hunt:
    """What is wanted of one partition: some offsets, the next one last in the list, or everything."""

    def __init__(self, offsets: Iterable[int] = (), *, everything: bool = False) -> None:
        self.found: list[Message] = []
        self.offsets = list(offsets)
        self.is_over = False
        self._everything = everything
        self._sought = -1

    @property
    def begin(self) -> int:
        """The first offset to read."""
        return 0 if self._everything else self.offsets[-1]

    def take(self, message: Message, offset: int) -> None:
        """Keep a record if it is wanted; what lies before it is not there any more."""
        offsets = self.offsets
        while offsets and offsets[-1] < offset:
            offsets.pop()
        if self._everything or (offsets and offsets[-1] == offset):
            self.found.append(message)
            del offsets[-1:]
        self.is_over = not (offsets or self._everything)

    def end(self, offset: int) -> None:
        """The partition ends here; one that was reached before a jump back up is not the end of the hunt."""
        self.is_over = self._everything or not self.offsets or self.offsets[-1] >= offset

    def jump(self, offset: int) -> int | None:
        """Where to go on after `offset`, when that is far; each goal is told once."""
        if not self.offsets or self.offsets[-1] - offset < NEAR_RECORDS or self.offsets[-1] == self._sought:
            return None
        self._sought = self.offsets[-1]
        return self._sought
