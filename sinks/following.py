"""Follows topics and has what it reads written to the database, batch by batch, for ever.

Partitions are assigned by hand, all of them, and not by the group protocol: one instance works at a time
anyway (PostgreSQL is the bound, not the reading), the database says where to go on, and a consumer outside
of a group can wait for a database that is away without being thrown out.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ops.health import NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.settings import Settings
from schemas.topics import FOREVER, Topic
from sinks.belonging import Unsound, refuse_another_log, refuse_gaps, refuse_late_start
from sinks.database import become_writer, session_options
from sinks.positions import Place, Positions

TOPICS_TIMEOUT_S = 30
BEAT_S = 2.0
BACK_OFF_S_MAX = 5.0
_POLL_S = 0.02
_POLL_IDLE_S = 0.05
_POLL_RECORDS = 2_000


class Batch(Protocol):
    """Records in the order they were read."""

    def add(self, message: Message, /) -> None: ...
    def __len__(self) -> int: ...


B = TypeVar("B", bound=Batch)
W = TypeVar("W")


class Work(Protocol[B, W]):
    """What a sink does with what it reads.

    `name`: its positions stand under it. `calm_s`: it looks for news no more often than that. `needs_all`:
    what it writes is worth nothing unless it read topics that are kept for ever from their first record.
    """

    name: str
    topics: tuple[Topic, ...]
    batch_records_max: int
    calm_s: float
    needs_all: bool

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> None:
        """Take a new session; the positions are loaded."""

    def knows(self, connection: psycopg.Connection, message: Message) -> bool:
        """Whether the database holds what this record says; asked about the last one that was read."""

    def batch(self) -> B:
        """An empty batch."""

    def write(self, batch: B) -> W:
        """Write a batch and move the positions past it, in one transaction; called in a thread."""

    def count(self, written: W) -> Mapping[str, int]:
        """Add what a batch came to to the metrics; the figures that `/readyz` shows summed up."""


@dataclass
class State:
    """What the process says of itself."""

    doing: str = "starting"
    working: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    lag: dict[Place, int] = field(default_factory=dict)

    def readiness(self) -> Readiness:
        """Ready while it writes or could write."""
        details = {**self.counts, "lag": sum(self.lag.values())}
        return Ready(details) if self.working else NotReady(self.doing, details)


class Follower(Generic[B, W]):
    """The running sink; `run` returns after `stop`."""

    def __init__(self, settings: Settings, work: Work[B, W], *, instance: str) -> None:
        self._settings = settings
        self._work = work
        self._sink = settings.topic_prefix + work.name
        self._positions = Positions(sink=self._sink, instance=instance, stale_ms=settings.sink_stale_ms)
        # A plain flag: the signal that sets it may interrupt us anywhere, also inside an Event.
        self._stopping = False
        self.state = State()

    def stop(self) -> None:
        """Finish the batch under way, then return from `run`."""
        self._stopping = True

    def run(self) -> None:
        """Raises `Superseded`, `Unsound`, KafkaException; a database that is away is waited for."""
        consumer = _consumer(self._settings, self._sink)
        failures = 0
        try:
            while not self._stopping:
                try:
                    with psycopg.connect(
                        self._settings.database_url, autocommit=True, **session_options(self._sink)
                    ) as connection:
                        failures = 0
                        self._serve(connection, consumer)
                except psycopg.OperationalError as error:
                    failures += 1
                    self._wait_for_database(error, failures)
                finally:
                    self.state.working = False
                    consumer.unassign()  # drops what was read ahead: memory stays bounded while we wait
        finally:
            consumer.close()

    def _wait_for_database(self, error: psycopg.OperationalError, failures: int) -> None:
        wait_s = min(BACK_OFF_S_MAX, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
        self.state.doing = "waiting for the database"
        get_logger().warning("database away", error=str(error).strip(), retry_in_s=round(wait_s, 2))
        self._pause(wait_s)

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))

    def _serve(self, connection: psycopg.Connection, consumer: Consumer) -> None:
        if not self._claim(connection):
            return
        begin, end = self._ends(consumer)
        self._load(connection, consumer, begin, end)
        self._work.prepare(connection, self._positions)
        places = self._positions.next_offsets.items()
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in places])
        get_logger().info("following", behind=sum(end[place] - offset for place, offset in places))
        self.state.doing, self.state.working = "following", True
        self._follow(connection, consumer)

    def _load(
        self,
        connection: psycopg.Connection,
        consumer: Consumer,
        begin: Mapping[Place, int],
        end: Mapping[Place, int],
    ) -> None:
        """The positions, and the writer's rights; raises `Unsound` unless they belong to this log."""
        if self._work.needs_all:
            stored = self._positions.stored(connection)
            refuse_late_start(self._work.name, stored, begin, self._kept_for_ever())
        self._positions.load(connection, begin)
        self._skip_what_is_gone(connection, begin)
        places = self._positions.next_offsets
        refuse_gaps(self._work.name, places, begin, end)
        become_writer(connection)
        refuse_another_log(
            self._work.name,
            consumer,
            places,
            begin,
            is_known=lambda message: self._work.knows(connection, message),
        )

    def _claim(self, connection: psycopg.Connection) -> bool:
        said = False
        while not self._stopping:
            if self._positions.try_claim(connection):
                return True
            if not said:
                get_logger().info("another instance works, waiting beside it")
                said = True
            self.state.doing = "waiting beside the instance that works"
            self._pause(0.5)
        return False

    def _follow(self, connection: psycopg.Connection, consumer: Consumer) -> None:
        """One batch is written by a thread while the next is read: two in memory at most."""
        running: Future[W] | None = None
        beaten_s = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            while not self._stopping:
                batch = self._gather(consumer, until=running.done if running else lambda: True)
                if running:
                    self._account(running.result(), consumer)
                    running = None
                if len(batch):
                    running = writer.submit(self._work.write, batch)
                    beaten_s = time.monotonic()
                elif time.monotonic() - beaten_s > BEAT_S:
                    self._positions.beat(connection)
                    beaten_s = time.monotonic()
            if running:
                self._account(running.result(), consumer)

    def _gather(self, consumer: Consumer, *, until: Callable[[], bool]) -> B:
        batch = self._work.batch()
        room = self._work.batch_records_max
        while not self._stopping:
            idle = until()
            wait_s = max(self._work.calm_s, _POLL_IDLE_S if idle and not len(batch) else _POLL_S)
            if len(batch) >= room:
                if idle:
                    break
                time.sleep(_POLL_S / 4)
                continue
            messages = consumer.consume(min(_POLL_RECORDS, room - len(batch)), wait_s)
            for message in messages:
                _raise_error(message)
                batch.add(message)
            # Whoever is far behind gets full batches, whoever is not gets them without delay.
            if idle and len(messages) < _POLL_RECORDS:
                break
        return batch

    def _account(self, written: W, consumer: Consumer) -> None:
        self.state.counts.update(self._work.count(written))
        for (topic, partition), offset in self._positions.next_offsets.items():
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            self.state.lag[topic, partition] = max(0, high - offset)

    def _ends(self, consumer: Consumer) -> tuple[dict[Place, int], dict[Place, int]]:
        begin: dict[Place, int] = {}
        end: dict[Place, int] = {}
        for topic in self._work.topics:
            name = topic.full_name(self._settings.topic_prefix)
            for partition in _partitions(consumer, name):
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(name, partition), timeout=TOPICS_TIMEOUT_S
                )
                begin[name, partition], end[name, partition] = low, high
        return begin, end

    def _kept_for_ever(self) -> set[str]:
        prefix = self._settings.topic_prefix
        return {topic.full_name(prefix) for topic in self._work.topics if topic.retention_ms == FOREVER}

    def _skip_what_is_gone(self, connection: psycopg.Connection, begin: Mapping[Place, int]) -> None:
        """Of a topic that is kept for a time only, what is past it need not be read any more."""
        kept = self._kept_for_ever()
        places = self._positions.next_offsets
        behind = {place: low for place, low in begin.items() if places[place] < low}
        gone = {place: low for place, low in behind.items() if place[0] not in kept}
        if gone:
            with connection.transaction():
                self._positions.move(connection, gone)
            places |= gone


def _consumer(settings: Settings, sink: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": settings.brokers,
            "group.id": sink,
            "client.id": sink,
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "error",
            "queued.max.messages.kbytes": 16_384,
            "fetch.wait.max.ms": 50,
            # The default grows to 10 s: a broker that is back would stay unread for that long.
            "reconnect.backoff.max.ms": 1_000,
            "allow.auto.create.topics": False,
        }
    )


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    deadline_s = time.monotonic() + TOPICS_TIMEOUT_S
    while True:
        known = consumer.list_topics(topic, timeout=TOPICS_TIMEOUT_S).topics[topic]
        if known.error is None:
            return sorted(known.partitions)
        if time.monotonic() > deadline_s:
            raise Unsound(f"topic {topic}: {known.error.str()}; run `cashback topics --create`")
        time.sleep(0.2)


def _raise_error(message: Message) -> None:
    error = message.error()
    if error is None:
        return
    if error.fatal() or not error.retriable():
        raise KafkaException(error)
    get_logger().warning("Kafka", error=error.str())
