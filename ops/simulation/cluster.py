"""Kafka's brokers in memory: partition logs, transactions, fencing.

What is modelled is what exactness rests on. Records of a producer wait in its memory and reach each log
when they do; a crash cuts each log on its own. Nothing of a transaction is visible before its commit is
decided; markers come later, and readers of committed records stop at the first open transaction. A new owner
of a transactional id completes what was decided, aborts what was open, and fences the owner before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Protocol

from confluent_kafka import KafkaError

Draw = Callable[[], float]
Headers = list[tuple[str, bytes]]


class State(Enum):
    OPEN = auto()
    DECIDED = auto()
    """Committed, and not all logs know it yet."""
    COMMITTED = auto()
    ABORTED = auto()


class Appended:
    """A record in a log; `transaction` None: written outside any."""

    __slots__ = ("headers", "key", "offset", "on_delivery", "partition", "topic", "transaction", "value")

    def __init__(
        self,
        topic: str,
        partition: int,
        key: bytes | None,
        value: bytes | None,
        headers: Headers | None,
        on_delivery: Callable[[KafkaError | None, Message], None] | None,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self.key = key
        self.value = value
        self.headers = headers
        self.on_delivery = on_delivery
        self.offset = -1
        self.transaction: Transaction | None = None


class Message:
    """The calls of confluent_kafka.Message that the engine makes."""

    __slots__ = ("_error", "_offset", "_record")

    def __init__(self, record: Appended | None, error: KafkaError | None = None, offset: int = -1) -> None:
        self._record = record
        self._error = error
        self._offset = offset if record is None else record.offset

    def error(self) -> KafkaError | None:
        return self._error

    def key(self) -> bytes | None:
        return self._record.key if self._record is not None else None

    def offset(self) -> int:
        return self._offset

    def value(self) -> bytes | None:
        return self._record.value if self._record is not None else None


@dataclass(slots=True)
class Transaction:
    """Of one transactional id; `records` reached their logs."""

    id: str
    epoch: int
    state: State = State.OPEN
    records: list[Appended] = field(default_factory=list)


class World(Protocol):
    """What goes on around a call to Kafka."""

    draw: Draw
    counts: Counter[str]

    def reached(self, worker: Any, place: str) -> None:
        """A worker is about to have `place` done, or just had: it may die here, or others may go on."""

    def trouble(self) -> bool:
        """Whether a call should fail in a way that may be repeated."""

    def visible(self, records: list[Appended], transaction: Transaction | None) -> None:
        """These records can be read from now on."""

    def broken(self, rule: str, story: str) -> None:
        """A rule does not hold. Raises."""


class Cluster:
    """The brokers. `changelog` is the only topic that is read back, so the only one kept."""

    def __init__(self, world: World, changelog_topic: str, partitions: int) -> None:
        self.world = world
        self.changelog_topic = changelog_topic
        self.changelog: list[list[Appended]] = [[] for _ in range(partitions)]
        self.ends = [0] * partitions
        self.readers = [0] * partitions
        self.group: dict[int, int] = {}
        self._epochs: dict[str, int] = {}
        self._current: dict[str, Transaction] = {}

    def claim(self, transactional_id: str) -> int:
        """A new owner: what was decided is completed, what is open aborted, who came before fenced."""
        self._finish(transactional_id)
        epoch = self._epochs[transactional_id] = self._epochs.get(transactional_id, -1) + 1
        return epoch

    def expire(self, transactional_id: str) -> None:
        """The transaction timeout: an open transaction is aborted and its owner fenced."""
        current = self._current.get(transactional_id)
        if current is not None and current.state is State.OPEN:
            self.claim(transactional_id)
            self.world.counts["transaction expired"] += 1

    def is_stale(self, transactional_id: str, epoch: int) -> bool:
        """Whether an owner was fenced."""
        return self._epochs[transactional_id] != epoch

    def append(self, record: Appended, transactional_id: str | None, epoch: int) -> bool:
        """Puts a record into its log; False when the owner is fenced."""
        if transactional_id is None:
            self._store(record)
            self.world.visible([record], None)
            return True
        if self._epochs[transactional_id] != epoch:
            return False
        transaction = self._open(transactional_id, epoch)
        record.transaction = transaction
        transaction.records.append(record)
        self._store(record)
        return True

    def decide(self, transactional_id: str, epoch: int) -> None:
        """The commit: from here on it holds, whoever hears of it."""
        transaction = self._current.get(transactional_id)
        if transaction is None or transaction.state is not State.OPEN:
            return  # the same commit, asked for again
        transaction.state = State.DECIDED
        self.world.visible(transaction.records, transaction)

    def mark(self, transactional_id: str) -> None:
        """The markers of a decided commit arrive."""
        transaction = self._current.get(transactional_id)
        if transaction is not None and transaction.state is State.DECIDED:
            transaction.state = State.COMMITTED

    def stable(self, partition: int) -> int:
        """The last stable offset of a changelog: where its first unfinished transaction begins."""
        for record in self.changelog[partition]:
            if record.transaction is not None and record.transaction.state in (State.OPEN, State.DECIDED):
                return record.offset
        return self.ends[partition]

    def compact(self, partition: int, forgets_deletions: bool) -> None:
        """Keeps the last committed record of each key, up to the first open transaction.

        Deletions are forgotten a day after; whoever reads is done by then.
        """
        stable = self.stable(partition)
        keeps_tombstones = self.readers[partition] > 0 or not forgets_deletions
        last: dict[bytes | None, Appended] = {}
        unfinished = []
        for record in self.changelog[partition]:
            if record.offset >= stable:
                unfinished.append(record)
            elif record.transaction is None or record.transaction.state is State.COMMITTED:
                last.pop(record.key, None)
                last[record.key] = record
        kept = [record for record in last.values() if record.value is not None or keeps_tombstones]
        self.changelog[partition] = kept + unfinished
        self.world.counts["compaction"] += 1

    def _finish(self, transactional_id: str) -> None:
        current = self._current.pop(transactional_id, None)
        if current is None:
            return
        if current.state is State.DECIDED:
            current.state = State.COMMITTED
        elif current.state is State.OPEN:
            current.state = State.ABORTED
            self._count_torn(current)

    def _count_torn(self, transaction: Transaction) -> None:
        rows = sum(record.topic == self.changelog_topic for record in transaction.records)
        if 0 < rows < len(transaction.records):
            self.world.counts["torn: state and outputs"] += 1
        elif rows:
            self.world.counts["torn: state only"] += 1
        elif transaction.records:
            self.world.counts["torn: outputs only"] += 1

    def _open(self, transactional_id: str, epoch: int) -> Transaction:
        current = self._current.get(transactional_id)
        if current is None or current.state is not State.OPEN:
            self._finish(transactional_id)
            current = self._current[transactional_id] = Transaction(transactional_id, epoch)
        return current

    def _store(self, record: Appended) -> None:
        if record.topic == self.changelog_topic:
            record.offset = self.ends[record.partition]
            self.ends[record.partition] += 1
            self.changelog[record.partition].append(record)
