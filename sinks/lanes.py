"""A lane: a share of a sink's partitions, read and written batch by batch through a session of its own.

Lanes of one sink work side by side, so that one computes while PostgreSQL works for another. A partition
stays in one lane, so what it holds is written in its order. Of other lanes a lane knows nothing: where both
write to the same rows, they meet in the database, under its locks.
"""

import gc
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import psycopg
from confluent_kafka import KafkaException, Message, TopicPartition

from ops.health import NotReady, Readiness, Ready
from ops.logs import get_logger
from schemas.topics import Topic
from sinks.positions import Place, Positions

BEAT_S = 2.0
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

    `name`: its positions stand under it. `lanes`: so many work side by side at most. `calm_s`: it looks for
    news no more often than that. `needs_all`: what it writes is worth nothing unless it read topics that are
    kept for ever from their first record.
    """

    name: str
    topics: tuple[Topic, ...]
    lanes: int
    batch_records_max: int
    calm_s: float
    needs_all: bool

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> Callable[[B], W]:
        """What writes the batches of one lane through its new session; the positions are loaded.

        It writes a batch and moves the positions past it, in one transaction; called in a thread.
        """

    def knows(self, connection: psycopg.Connection, message: Message) -> bool:
        """Whether the database holds what this record says; asked about the last one that was read."""

    def batch(self) -> B:
        """An empty batch."""

    def count(self, written: W) -> Mapping[str, int]:
        """Add what a batch came to to the metrics; the figures that `/readyz` shows summed up."""


class Reader(Protocol):
    """Of a Kafka consumer what a lane needs."""

    def consume(self, num_messages: int, timeout: float, /) -> list[Message]: ...
    def get_watermark_offsets(
        self, partition: TopicPartition, /, *, cached: bool
    ) -> tuple[int, int] | None: ...


@dataclass
class State:
    """What the process says of itself; its lanes say it together."""

    doing: str = "starting"
    working: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    lag: dict[Place, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def readiness(self) -> Readiness:
        """Ready while it writes or could write."""
        with self._lock:
            details = {**self.counts, "lag": sum(self.lag.values())}
        return Ready(details) if self.working else NotReady(self.doing, details)

    def add(self, counts: Mapping[str, int], lag: Mapping[Place, int]) -> None:
        """A batch more, and how far its lane is behind now."""
        with self._lock:
            self.counts.update(counts)
            self.lag |= lag


class Lane(Generic[B, W]):
    """One lane; its positions, reader and session are its own."""

    def __init__(
        self,
        work: Work[B, W],
        connection: psycopg.Connection,
        positions: Positions,
        reader: Reader,
        state: State,
    ) -> None:
        self._work = work
        self._connection = connection
        self._positions = positions
        self._reader = reader
        self._state = state
        self._write = work.prepare(connection, positions)

    def follow(self, is_over: Callable[[], bool]) -> None:
        """Until `is_over`; the batch under way is finished. Raises what writing and reading raise.

        One batch is written by a thread while the next is read: two in memory at most.
        """
        running: Future[W] | None = None
        beaten_s = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="write") as writer:
            while not is_over():
                batch = self._gather(until=running.done if running else lambda: True, is_over=is_over)
                if running:
                    self._account(running.result())
                    running = None
                if len(batch):
                    running = writer.submit(self._write, batch)
                    beaten_s = time.monotonic()
                elif time.monotonic() - beaten_s > BEAT_S:
                    self._positions.beat(self._connection)
                    beaten_s = time.monotonic()
            if running:
                self._account(running.result())

    def _gather(self, *, until: Callable[[], bool], is_over: Callable[[], bool]) -> B:
        batch = self._work.batch()
        room = self._work.batch_records_max
        while not is_over():
            idle = until()
            wait_s = max(self._work.calm_s, _POLL_IDLE_S if idle and not len(batch) else _POLL_S)
            if len(batch) >= room:
                if idle:
                    break
                time.sleep(_POLL_S / 4)
                continue
            messages = self._reader.consume(min(_POLL_RECORDS, room - len(batch)), wait_s)
            for message in messages:
                _raise_error(message)
                batch.add(message)
            # Whoever is far behind gets full batches, whoever is not gets them without delay.
            if idle and len(messages) < _POLL_RECORDS:
                break
        return batch

    def _account(self, written: W) -> None:
        lag = {}
        for (topic, partition), offset in self._positions.next_offsets.items():
            known = self._reader.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
            lag[topic, partition] = max(0, known[1] - offset) if known else 0
        self._state.add(self._work.count(written), lag)


def follow_together(lanes: Sequence[Lane[B, W]], is_over: Callable[[], bool]) -> None:
    """All lanes side by side until `is_over`, or until one fails: then the others finish their batches.

    Raises what a lane raised; what no new session mends comes before a database that is away.
    """
    has_ended = threading.Event()
    with ThreadPoolExecutor(len(lanes), thread_name_prefix="lane") as pool:
        running = [pool.submit(lane.follow, lambda: has_ended.is_set() or is_over()) for lane in lanes]
        try:
            wait(running, return_when=FIRST_COMPLETED)
        finally:
            has_ended.set()
    errors = [error for each in running if (error := each.exception())]
    if errors:
        raise min(errors, key=lambda error: isinstance(error, psycopg.OperationalError))


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within it Python rarely looks for cyclic garbage.

    A batch is some hundred thousand objects in no cycles. By default they are gone through again and again
    while it grows, which took a third of the ledger's time.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def _raise_error(message: Message) -> None:
    error = message.error()
    if error is None:
        return
    if error.fatal() or not error.retriable():
        raise KafkaException(error)
    get_logger().warning("Kafka", error=error.str())
