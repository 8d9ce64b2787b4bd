"""Reads the topics and posts them, batch by batch, for ever.

Partitions are assigned by hand, all of them, and not by the group protocol: one instance posts at a time
anyway (PostgreSQL is the bound, not the reading), the database says where to go on, and a consumer outside
of a group can wait for a database that is away without being thrown out.
"""

import random
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import psycopg
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from ops.health import NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.settings import Settings
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES
from sinks.database import become_writer, session_options
from sinks.ledger.positions import Place, Positions
from sinks.ledger.posting import Batch, Ledger, Posted, count_entries

SINK = "ledger"
TOPICS_TIMEOUT_S = 30
BEAT_S = 2.0
BACK_OFF_S_MAX = 5.0
_POLL_S = 0.02
_POLL_IDLE_S = 0.05
_POLL_RECORDS = 2_000


class Unsound(Exception):
    """Something only an operator can put right. The message says what and how."""


@dataclass
class State:
    """What the process says of itself."""

    doing: str = "starting"
    posting: bool = False
    entries: int = 0
    refused: int = 0
    lag: dict[Place, int] = field(default_factory=dict)

    def readiness(self) -> Readiness:
        """Ready while it posts or could post."""
        details = {"entries": self.entries, "quarantined": self.refused, "lag": sum(self.lag.values())}
        return Ready(details) if self.posting else NotReady(self.doing, details)


class LedgerSink:
    """The running sink; `run` returns after `stop`."""

    def __init__(self, settings: Settings, *, instance: str) -> None:
        self._settings = settings
        self._sink = settings.topic_prefix + SINK
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
                    self.state.posting = False
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
        begin, end = _ends(consumer, self._settings)
        self._positions.load(connection, begin)
        _refuse_gaps(self._positions.next_offsets, begin, end)
        become_writer(connection)
        ledger = Ledger(connection, self._positions)
        places = self._positions.next_offsets.items()
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in places])
        get_logger().info("posting", behind=sum(end[place] - offset for place, offset in places))
        self.state.doing, self.state.posting = "posting", True
        self._post_all(connection, consumer, ledger)

    def _claim(self, connection: psycopg.Connection) -> bool:
        said = False
        while not self._stopping:
            if self._positions.try_claim(connection):
                return True
            if not said:
                get_logger().info("another instance posts, waiting beside it")
                said = True
            self.state.doing = "waiting beside the instance that posts"
            self._pause(0.5)
        return False

    def _post_all(self, connection: psycopg.Connection, consumer: Consumer, ledger: Ledger) -> None:
        """One batch is posted by a thread while the next is read: two in memory at most."""
        running: Future[Posted] | None = None
        beaten_s = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="post") as poster:
            while not self._stopping:
                batch = self._gather(consumer, until=running.done if running else lambda: True)
                if running:
                    self._account(running.result(), consumer)
                    running = None
                if len(batch):
                    running = poster.submit(ledger.post, batch)
                    beaten_s = time.monotonic()
                elif time.monotonic() - beaten_s > BEAT_S:
                    self._positions.beat(connection)
                    beaten_s = time.monotonic()
            if running:
                self._account(running.result(), consumer)

    def _gather(self, consumer: Consumer, *, until: Callable[[], bool]) -> Batch:
        batch = Batch(self._settings.commission_bps)
        room = self._settings.ledger_batch_events
        while not self._stopping:
            idle = until()
            wait_s = _POLL_IDLE_S if idle and not len(batch) else _POLL_S
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

    def _account(self, posted: Posted, consumer: Consumer) -> None:
        count_entries(posted)
        self.state.entries += posted.entries
        self.state.refused += posted.refused
        for (topic, partition), offset in self._positions.next_offsets.items():
            _, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            self.state.lag[topic, partition] = max(0, high - offset)


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


def _ends(consumer: Consumer, settings: Settings) -> tuple[dict[Place, int], dict[Place, int]]:
    begin: dict[Place, int] = {}
    end: dict[Place, int] = {}
    for topic in (CASHBACK_EVENTS, REVERSAL_CASES):
        name = topic.full_name(settings.topic_prefix)
        for partition in _partitions(consumer, name):
            low, high = consumer.get_watermark_offsets(
                TopicPartition(name, partition), timeout=TOPICS_TIMEOUT_S
            )
            begin[name, partition], end[name, partition] = low, high
    return begin, end


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    deadline_s = time.monotonic() + TOPICS_TIMEOUT_S
    while True:
        known = consumer.list_topics(topic, timeout=TOPICS_TIMEOUT_S).topics[topic]
        if known.error is None:
            return sorted(known.partitions)
        if time.monotonic() > deadline_s:
            raise Unsound(f"topic {topic}: {known.error.str()}; run `cashback topics --create`")
        time.sleep(0.2)


def _refuse_gaps(next_offsets: dict[Place, int], begin: dict[Place, int], end: dict[Place, int]) -> None:
    for (topic, partition), offset in next_offsets.items():
        if offset > end[topic, partition]:
            raise Unsound(
                f"the ledger has read {topic}[{partition}] up to {offset}, the topic ends at "
                f"{end[topic, partition]}: it is another topic or lost its end; restore it, "
                "or start with an empty database"
            )
        if offset < begin[topic, partition]:
            raise Unsound(
                f"the ledger has read {topic}[{partition}] up to {offset}, the topic begins at "
                f"{begin[topic, partition]}: what lies between is gone; restore a newer backup"
            )


def _raise_error(message: Message) -> None:
    error = message.error()
    if error is None:
        return
    if error.fatal() or not error.retriable():
        raise KafkaException(error)
    get_logger().warning("Kafka", error=error.str())
