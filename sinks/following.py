"""Follows topics and has what it reads written to the database, batch by batch, for ever.

Partitions are assigned by hand, all of them, and not by the group protocol: one instance works at a time
anyway (PostgreSQL is the bound, not the reading), the database says where to go on, and a consumer outside
of a group can wait for a database that is away without being thrown out.
"""

import random
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Generic

import psycopg
from confluent_kafka import Consumer, TopicPartition

from ops.logs import get_logger
from ops.settings import Settings
from schemas.topics import FOREVER
from sinks.belonging import Unsound, refuse_another_log, refuse_gaps, refuse_late_start
from sinks.database import become_writer, session_options
from sinks.lanes import B, Lane, State, W, Work, follow_together, rare_collections
from sinks.positions import Place, Positions

TOPICS_TIMEOUT_S = 30
BACK_OFF_S_MAX = 5.0
QUEUED_KB_MAX = 16_384


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
        failures = 0
        with rare_collections():
            while not self._stopping:
                try:
                    # Its sessions and consumers end with it, and what was read ahead: memory stays bounded.
                    with ExitStack() as opened:
                        connection = self._session(opened)
                        failures = 0
                        self._serve(connection, opened)
                except psycopg.OperationalError as error:
                    failures += 1
                    self._wait_for_database(error, failures)
                finally:
                    self.state.working = False

    def _session(self, opened: ExitStack) -> psycopg.Connection:
        url, options = self._settings.database_url, session_options(self._sink)
        return opened.enter_context(psycopg.connect(url, autocommit=True, **options))

    def _wait_for_database(self, error: psycopg.OperationalError, failures: int) -> None:
        wait_s = min(BACK_OFF_S_MAX, 0.1 * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0)
        self.state.doing = "waiting for the database"
        get_logger().warning("database away", error=str(error).strip(), retry_in_s=round(wait_s, 2))
        self._pause(wait_s)

    def _pause(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while not self._stopping and (left_s := until_s - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.1))

    def _serve(self, connection: psycopg.Connection, opened: ExitStack) -> None:
        if not self._claim(connection):
            return
        consumer = self._consumer(opened)
        begin, end = self._ends(consumer)
        self._load(connection, consumer, begin, end)
        lanes = self._lanes(connection, consumer, opened)
        places = self._positions.next_offsets.items()
        get_logger().info(
            "following", behind=sum(end[place] - offset for place, offset in places), lanes=len(lanes)
        )
        self.state.doing, self.state.working = "following", True
        follow_together(lanes, lambda: self._stopping)

    def _lanes(
        self, connection: psycopg.Connection, consumer: Consumer, opened: ExitStack
    ) -> list[Lane[B, W]]:
        """As many as there are partitions for. The session and consumer given are those of the first."""
        partitions = {partition for _, partition in self._positions.next_offsets}
        of = min(self._work.lanes, len(partitions))
        lanes = []
        for number in range(of):
            if number:
                connection, consumer = self._session(opened), self._consumer(opened)
                self._positions.join(connection)
                become_writer(connection)
            share = self._positions.share(number, of)
            places = share.next_offsets.items()
            consumer.assign(
                [TopicPartition(topic, partition, offset) for (topic, partition), offset in places]
            )
            lanes.append(Lane(self._work, connection, share, consumer, self.state))
        return lanes

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

    def _consumer(self, opened: ExitStack) -> Consumer:
        consumer = Consumer(
            {
                "bootstrap.servers": self._settings.brokers,
                "group.id": self._sink,
                "client.id": self._sink,
                "isolation.level": "read_committed",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "queued.max.messages.kbytes": QUEUED_KB_MAX // self._work.lanes,
                "fetch.wait.max.ms": 50,
                # The default grows to 10 s: a broker that is back would stay unread for that long.
                "reconnect.backoff.max.ms": 1_000,
                "allow.auto.create.topics": False,
            }
        )
        opened.callback(consumer.close)
        return consumer

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


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    deadline_s = time.monotonic() + TOPICS_TIMEOUT_S
    while True:
        known = consumer.list_topics(topic, timeout=TOPICS_TIMEOUT_S).topics[topic]
        if known.error is None:
            return sorted(known.partitions)
        if time.monotonic() > deadline_s:
            raise Unsound(f"topic {topic}: {known.error.str()}; run `cashback topics --create`")
        time.sleep(0.2)
