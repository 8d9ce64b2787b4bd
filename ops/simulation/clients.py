"""The clients that the engine calls, over brokers in memory: each call may fail, be fenced, be the last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from ops.simulation.cluster import Appended, Cluster, Headers, Message, State
from streams.engine.brokers import Bounds

_QUEUE_MAX = 6
_SILENT_READS_MAX = 50
_END = KafkaError(KafkaError._PARTITION_EOF)


class SimulatedProducer:
    """The calls of confluent_kafka.Producer that the engine makes."""

    def __init__(self, cluster: Cluster, worker: Any, config: dict[str, Any]) -> None:
        self.id: str | None = config.get("transactional.id")
        self._cluster = cluster
        self._world = cluster.world
        self._worker = worker
        self._epoch = -1
        self._began = False
        self._fenced = False
        self._failed: KafkaException | None = None
        self._on_delivery = config.get("on_delivery")
        self._buffer: list[Appended] = []

    @property
    def is_stale(self) -> bool:
        """Whether another owner claimed the id."""
        return self.id is not None and self._cluster.is_stale(self.id, self._epoch)

    def init_transactions(self, timeout: float = -1) -> None:
        assert self.id is not None
        self._call("fence")
        self._epoch = self._cluster.claim(self.id)
        self._world.reached(self._worker, "fenced")

    def begin_transaction(self) -> None:
        if self._epoch < 0 or self._began:
            raise KafkaException(KafkaError(KafkaError._STATE, "not initialised, or begun already"))
        self._began = True

    def produce(
        self,
        topic: str,
        value: bytes | None = None,
        key: bytes | None = None,
        partition: int = -1,
        headers: Headers | None = None,
        on_delivery: Callable[[KafkaError | None, Message], None] | None = None,
    ) -> None:
        if self.id is not None and not self._began:
            raise KafkaException(KafkaError(KafkaError._STATE, "no transaction"))
        if len(self._buffer) >= _QUEUE_MAX and self._world.draw() < 0.1:
            self._world.counts["queue full"] += 1
            raise BufferError("queue full")
        self._buffer.append(Appended(topic, partition, key, value, headers, on_delivery))

    def poll(self, timeout: float = 0) -> int:
        """Some of what waits reaches its log; after a fatal error the first reason is told here."""
        if self._fenced:
            raise _error(KafkaError._FENCED)
        if self._buffer and (timeout or self._world.draw() < 0.1):
            self._send_some()
        return 0

    def __len__(self) -> int:
        return len(self._buffer)

    def flush(self, timeout: float = -1) -> int:
        self._send_all()
        return 0

    def commit_transaction(self, timeout: float = -1) -> None:
        self._call("commit")
        self._send_all()
        assert self.id is not None
        self._world.reached(self._worker, "flushed")
        self._refuse_stale()
        self._cluster.decide(self.id, self._epoch)
        self._answer("decided")
        if self._world.draw() < 0.5:
            self._cluster.mark(self.id)
        self._began = False

    def lose(self) -> None:
        """The process is gone: each log has of the buffer what happened to be sent."""
        for topic in dict.fromkeys(record.topic for record in self._buffer):
            waiting = [record for record in self._buffer if record.topic == topic]
            for record in waiting[: int(self._world.draw() * (len(waiting) + 1))]:
                self._cluster.append(record, self.id, self._epoch)
        self._buffer.clear()

    def _call(self, place: str) -> None:
        self._world.reached(self._worker, place)
        self._refuse_stale()
        if self._failed is not None:
            raise self._failed
        if self._world.trouble():
            self._world.counts["retriable error"] += 1
            raise _error(KafkaError._TIMED_OUT, retriable=True)

    def _answer(self, place: str) -> None:
        """What was done is done; the answer may be lost, with the process or without."""
        self._world.reached(self._worker, place)
        if self._world.trouble():
            self._world.counts["answer lost"] += 1
            raise _error(KafkaError._TIMED_OUT, retriable=True)

    def _refuse_stale(self) -> None:
        if self._epoch >= 0 and self.is_stale:
            self._fenced = True
            # librdkafka says either, by where it hears of it first.
            raise _error(KafkaError._FENCED if self._world.draw() < 0.5 else KafkaError._FATAL)

    def _send_all(self) -> None:
        if self._buffer and self._world.trouble():
            self._lose_one()
        for record in self._buffer:
            if not self._cluster.append(record, self.id, self._epoch):
                self._buffer.clear()
                self._refuse_stale()
            _report(record)
        self._buffer.clear()

    def _lose_one(self) -> None:
        """A record that no broker took in time: its transaction can only be aborted."""
        self._world.counts["delivery failed"] += 1
        lost = self._buffer.pop(int(self._world.draw() * len(self._buffer)))
        error = KafkaError(KafkaError._MSG_TIMED_OUT, "simulated", False, False, True)
        for report in (lost.on_delivery, self._on_delivery):
            if report is not None:
                report(error, Message(lost))
        self._failed = KafkaException(error)
        raise self._failed

    def _send_some(self) -> None:
        """A batch of one log; the other logs' records go on waiting."""
        topic = self._buffer[0].topic
        for record in [record for record in self._buffer if record.topic == topic]:
            if self._cluster.append(record, self.id, self._epoch):
                _report(record)
            else:
                self._fenced = True
            self._buffer.remove(record)


class SimulatedConsumer:
    """Reads the changelog as the isolation level of its configuration says."""

    def __init__(self, cluster: Cluster, worker: Any, config: dict[str, Any]) -> None:
        self._cluster = cluster
        self._worker = worker
        self._committed_only = config.get("isolation.level", "read_committed") == "read_committed"
        self._tells_end = bool(config.get("enable.partition.eof", False))
        self._partition = -1
        self._at = 0
        self._silent = 0

    def assign(self, partitions: list[TopicPartition]) -> None:
        (only,) = partitions
        self._partition, self._at = only.partition, max(0, only.offset)
        self._cluster.readers[self._partition] += 1

    def consume(self, num_messages: int = 1, timeout: float = -1) -> list[Message]:
        cluster = self._cluster
        cluster.world.reached(self._worker, "restore")
        end = cluster.stable(self._partition) if self._committed_only else cluster.ends[self._partition]
        until = min(end, self._at + 1 + int(cluster.world.draw() * 60))
        ends_early = until > self._at and cluster.world.trouble()
        if ends_early:
            # A leader just elected tells an end that is behind the one it was asked for before.
            cluster.world.counts["early end"] += 1
            until -= 1 + int(cluster.world.draw() * (until - self._at))
        found = [
            Message(record)
            for record in cluster.changelog[self._partition]
            if self._at <= record.offset < until and self._shows(record)
        ]
        self._at = max(self._at, until)
        if self._tells_end and (self._at >= end or ends_early):
            found.append(Message(None, _END, self._at))
        self._silent += not found
        if self._silent > _SILENT_READS_MAX:
            cluster.world.broken("liveness", "a restore reads on although the changelog is at its end")
        return found

    def close(self) -> None:
        self._cluster.readers[self._partition] -= 1

    def _shows(self, record: Appended) -> bool:
        transaction = record.transaction
        return not self._committed_only or transaction is None or transaction.state is State.COMMITTED


def _report(record: Appended) -> None:
    if record.on_delivery is not None:
        record.on_delivery(None, Message(record))


class SimulatedBrokers:
    """Stands in the place of `streams.engine.brokers.Brokers`, one a worker."""

    def __init__(self, cluster: Cluster, worker: Any, ends: list[int]) -> None:
        self.producers: list[SimulatedProducer] = []
        self._cluster = cluster
        self._worker = worker
        self._ends = ends

    def producer(self, config: dict[str, Any]) -> SimulatedProducer:
        self.producers.append(SimulatedProducer(self._cluster, self._worker, config))
        return self.producers[-1]

    def producer_of(self, partition: int) -> SimulatedProducer:
        """The latest producer of a source partition's transactions."""
        suffix = f"-{partition}"
        return next(made for made in reversed(self.producers) if made.id and made.id.endswith(suffix))

    def consumer(self, config: dict[str, Any]) -> SimulatedConsumer:
        return SimulatedConsumer(self._cluster, self._worker, config)

    def committed(self, partition: int) -> int:
        """The group's offset, which only refuses a state that is behind it: now and then it is lost, and
        nothing else may change.
        """
        self._cluster.world.reached(self._worker, "group offset")
        return 0 if self._cluster.world.draw() < 0.1 else self._cluster.group.get(partition, 0)

    def bounds(self, topic: str, partition: int) -> Bounds:
        if topic == self._cluster.changelog_topic:
            return Bounds(0, self._cluster.stable(partition))
        return Bounds(0, self._ends[partition])


def _error(code: int, *, retriable: bool = False) -> KafkaException:
    fatal = code in (KafkaError._FENCED, KafkaError._FATAL)
    return KafkaException(KafkaError(code, "simulated", fatal, retriable))
