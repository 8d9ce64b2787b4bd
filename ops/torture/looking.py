"""Looks at topics, groups and tables past everything that is broken; no answer is an answer too."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

ASK_S = 2.0
"""What one question may take: a pause is measured no more finely than this while brokers are away."""
CONNECT_S = 3
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class NoAnswer(Exception):
    """A server is away or slow; ask again."""


class Table:
    """A session with the database that is made anew when it broke."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: psycopg.Connection | None = None

    def rows(self, query: LiteralString, *values: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Raises `NoAnswer`."""
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._url, autocommit=True, connect_timeout=CONNECT_S)
            return self._connection.execute(query, values).fetchall()
        except psycopg.OperationalError as error:
            self.close()
            raise NoAnswer(str(error)) from error

    def value(self, query: LiteralString, *values: Any) -> Any:
        """The only value of the only row. Raises `NoAnswer`."""
        return self.rows(query, *values)[0][0]

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


class Topic:
    """How far a topic goes."""

    def __init__(self, brokers: str, topic: str, partitions: int) -> None:
        self._brokers = brokers
        self._admin = self._ask()
        self.places = [TopicPartition(topic, partition) for partition in range(partitions)]

    def ends(self) -> list[int]:
        """The end of every partition. Raises `NoAnswer`."""
        asked = dict.fromkeys(self.places, _LATEST)
        try:
            answers = self._admin.list_offsets(asked, request_timeout=ASK_S)
            ends = {place.partition: answer.result(ASK_S).offset for place, answer in answers.items()}
        except (KafkaException, TimeoutError) as error:
            # One that knew the leaders of before asks with their epoch for ever.
            self._admin = self._ask()
            raise NoAnswer(str(error)) from error
        return [ends[place.partition] for place in self.places]

    def _ask(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self._brokers, "log_level": 0})


class Group:
    """How far a group has come in a topic."""

    def __init__(self, brokers: str, topic: Topic, group: str) -> None:
        self._consumer = reader(brokers, "read_uncommitted", group)
        self._places = topic.places

    def committed(self) -> list[int]:
        """The offsets that are committed, 0 where none is. Raises `NoAnswer`."""
        try:
            offsets = self._consumer.committed(self._places, timeout=ASK_S)
        except KafkaException as error:
            raise NoAnswer(str(error)) from error
        for place in offsets:
            if place.error is not None:
                raise NoAnswer(str(place.error))
        return [max(0, place.offset) for place in offsets]

    def close(self) -> None:
        """Ask no more."""
        self._consumer.close()


@dataclass(slots=True)
class End:
    """Where a partition ends for who reads only what is committed."""

    next_offset: int = 0
    """After the last record."""
    end: int = 0
    """The end as it was last reached: after the last record and the markers of its transaction."""
    ends_reached: int = 0
    """How often the end was reached."""


class Follower:
    """Reads a topic as it grows and keeps nothing but where it is, and the last value of one key."""

    def __init__(self, brokers: str, topic: str, partitions: int, *, keep_key: bytes | None = None) -> None:
        self.ends = [End() for _ in range(partitions)]
        self.kept: list[bytes | None] = [None] * partitions
        self._keep_key = keep_key
        self._consumer = reader(brokers, "read_committed")
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(partitions)])

    def pull(self) -> None:
        """Take what is there."""
        while messages := self._consumer.consume(5_000, 0.0):
            for message in messages:
                error, partition, offset = message.error(), message.partition() or 0, message.offset()
                if error is None:
                    assert offset is not None
                    self.ends[partition].next_offset = offset + 1
                    if self._keep_key is not None and message.key() == self._keep_key:
                        self.kept[partition] = message.value()
                elif error.code() == KafkaError._PARTITION_EOF:
                    self.ends[partition].ends_reached += 1
                    self.ends[partition].end = offset or 0
                elif error.fatal() or error.code() == KafkaError.OFFSET_OUT_OF_RANGE:
                    raise KafkaException(error)

    def close(self) -> None:
        """Read no more."""
        self._consumer.close()


def reader(brokers: str, isolation_level: str, group: str = "nobody") -> Consumer:
    """A consumer that joins no group and commits nothing."""
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "isolation.level": isolation_level,
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 250,
            "reconnect.backoff.max.ms": 500,
            "log_level": 0,
        }
    )
