"""Transactions of a source partition: outputs, changelog rows, position, all or nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message

from streams.engine.brokers import Brokers
from streams.engine.failpoints import Failpoint, Place
from streams.engine.position import POSITION_KEY, Position
from streams.engine.settings import EngineSettings

_FENCED = frozenset(
    {
        KafkaError._FENCED,
        KafkaError.INVALID_PRODUCER_EPOCH,
        KafkaError.INVALID_PRODUCER_ID_MAPPING,
        KafkaError.FENCED_INSTANCE_ID,
    }
)
"""Errors that mean: somebody else owns this transactional id now."""


class QueueStuck(Exception):
    """Output waited longer than half the transaction timeout for room in the producer's queue."""


RECORD_BYTES_MAX = 4 * 1024 * 1024
"""Largest output or state row; the topics must allow as much."""


class PartitionTransactions:
    """One transactional producer. A new one with the same id fences this one: its next call to Kafka fails.

    Not safe for concurrent use; the partition runner's lock sees to that. Every method may raise
    KafkaException, after which the transaction must not be carried on.
    """

    def __init__(
        self,
        settings: EngineSettings,
        partition: int,
        brokers: Brokers,
        failpoint: Failpoint | None = None,
        *,
        wants_standing: bool = False,
    ) -> None:
        self._settings = settings
        self._partition = partition
        self._failpoint = failpoint
        self._lost: KafkaError | None = None
        self.opened_at: float | None = None
        self._changelog_next = 0
        self._on_position: dict[str, Any] = {}
        reports: dict[str, Any] = {"delivery.report.only.error": True, "on_delivery": self._on_delivery_error}
        if wants_standing:
            # Every delivery is reported, which costs little: we are called for the position alone.
            # Anything else that is not delivered fails the commit.
            reports = {}
            self._on_position = {"on_delivery": self._on_position_delivered}
        self._producer = brokers.producer(
            {
                "transactional.id": settings.transactional_id(partition),
                "transaction.timeout.ms": settings.transaction_timeout_ms,
                # The default of 100 ms is slept once or twice in every small transaction: 95 ms instead of 5.
                "retry.backoff.ms": 5,
                # A record we could not pass on would stop its partition for ever; the default is 1 MB.
                "message.max.bytes": RECORD_BYTES_MAX,
                # A commit flushes at once; until then larger batches cost a quarter of the CPU of small ones.
                "linger.ms": 50,
                "batch.size": 262_144,
                "queue.buffering.max.messages": 1_000_000,
                "queue.buffering.max.kbytes": settings.queue_kbytes_max,
                # Java's partitioner, so that any client finds a key where ours put it.
                "partitioner": "murmur2_random",
                **reports,
            }
        )
        self._produce = self._producer.produce

    def fence(self) -> None:
        """Take the transactional id over: what its former owner left open is aborted, its next call fails."""
        deadline = monotonic() + 3 * self._settings.half_transaction_s
        self._retry(self._producer.init_transactions, deadline)

    def prove_ownership(self) -> None:
        """Return if no other worker took the id over since `fence`; call it only before the process ends.

        Raises KafkaException, of which `fenced` tells whether another worker took the id over.
        """
        # Only what is written is checked for its epoch, so a row is; the transaction is never committed.
        self._producer.begin_transaction()
        self._put_changelog(POSITION_KEY, None, **self._on_position)
        deadline = monotonic() + self._settings.half_transaction_s
        while len(self._producer):  # not flush(): it goes on over the error that says we are fenced
            self._producer.poll(0.05)
            if monotonic() > deadline:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "no broker says whose it is"))
        self.serve()

    def send(
        self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None, /
    ) -> None:
        """Add one output record, partitioned by key. Waits while the queue is full; raises QueueStuck."""
        if self.opened_at is None:
            self._begin()
        try:
            if headers is None:
                self._produce(topic, value, key)
            else:
                self._produce(topic, value, key, headers=cast(Any, headers))
        except BufferError:
            self._wait_for_room(lambda: self._produce(topic, value, key, headers=cast(Any, headers or [])))

    def commit(self, rows: Mapping[bytes, bytes | None], position: Position) -> int:
        """Commit the outputs sent so far together with the changed rows and the position.

        Returns where the changelog goes on after it; 0 when made without `wants_standing`.
        """
        if self.opened_at is None:
            self._begin()
        deadline = monotonic() + self._settings.half_transaction_s
        produce, changelog, partition = self._produce, self._settings.changelog_topic, self._partition
        for key, value in rows.items():
            try:
                produce(changelog, value, key, partition)
            except BufferError:
                self._put_changelog(key, value)
        self._put_changelog(POSITION_KEY, position.encode(), **self._on_position)
        if self._failpoint is not None:
            self._producer.flush(self._settings.half_transaction_s)
        self._pass(Place.AFTER_PRODUCE)
        self._pass(Place.BEFORE_COMMIT)
        self._retry(self._producer.commit_transaction, deadline)
        self._producer.poll(0)
        if self._lost is not None:
            raise KafkaException(self._lost)
        self.opened_at = None
        self._pass(Place.AFTER_COMMIT)
        return self._changelog_next

    def serve(self) -> None:
        """Let the producer report errors; call once a batch."""
        self._producer.poll(0)
        if self._lost is not None:
            raise KafkaException(self._lost)

    def fenced(self, error: KafkaException) -> bool:
        """True if an error raised here means that another worker owns the partition now."""
        try:
            # After a fatal error calls say "fatal" only; the first reason waits among the events.
            self._producer.poll(0)
        except KafkaException as first:
            return first.args[0].code() in _FENCED
        return error.args[0].code() in _FENCED

    def close(self) -> None:
        """Give the producer up; whatever is open stays uncommitted."""
        # Not Producer.close(): it would abort first, which a fenced or failed producer cannot.
        del self._producer, self._produce

    def _begin(self) -> None:
        self._producer.begin_transaction()
        self.opened_at = monotonic()
        self._pass(Place.BEFORE_PRODUCE)

    def _put_changelog(self, key: bytes, value: bytes | None, **more: Any) -> None:
        topic, partition = self._settings.changelog_topic, self._partition
        try:
            self._produce(topic, value, key, partition, **more)
        except BufferError:
            self._wait_for_room(lambda: self._produce(topic, value, key, partition, **more))

    def _wait_for_room(self, produce: Callable[[], None]) -> None:
        deadline = monotonic() + self._settings.half_transaction_s
        while True:
            self._producer.poll(0.01)
            try:
                return produce()
            except BufferError as error:
                if monotonic() > deadline:
                    raise QueueStuck(
                        f"partition {self._partition}: output queue full for "
                        f"{self._settings.half_transaction_s} s: the brokers do not take what the fold makes"
                    ) from error

    def _retry(self, call: Callable[[float], object], deadline: float) -> None:
        """Repeat what Kafka says may be repeated, until the deadline; all else is raised."""
        while True:
            try:
                call(max(0.1, deadline - monotonic()))
                return
            except KafkaException as error:
                if not error.args[0].retriable() or monotonic() > deadline:
                    raise

    def _on_delivery_error(self, error: KafkaError | None, _message: object) -> None:
        if error is not None:
            self._lost = error

    def _on_position_delivered(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._lost = error
        elif (offset := message.offset()) is not None:
            self._changelog_next = offset + 1

    def _pass(self, place: Place) -> None:
        if self._failpoint is not None:
            self._failpoint.reached(place)
