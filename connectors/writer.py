"""How everything is written to `inputs`: idempotent, at least once, never transactional.

A transaction that hangs on `inputs` would hold back every read_committed reader of it, so there is none: a
writer that is restarted writes again, and dedup absorbs the repeats.
"""

from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ops.settings import Settings
from schemas.clock import clock_header
from schemas.codec import encode
from schemas.entitlements import Entitlement
from schemas.entitlements import to_datum as entitlement_datum
from schemas.parked import ParkedDecision
from schemas.parked import to_datum as parked_datum
from schemas.programs import ProgramSpec
from schemas.programs import to_datum as program_datum
from schemas.reversals import ReversalDecision
from schemas.reversals import to_datum as reversal_datum
from schemas.revocations import Revocation
from schemas.revocations import to_datum as revocation_datum
from schemas.silence import silent_header
from schemas.times import Micros
from schemas.topics import INPUTS, PROGRAMS
from schemas.transactions import Transaction, to_datum

CONNECT_TIMEOUT_S = 10.0
DELIVERY_TIMEOUT_S = 60
"""How long a record may wait for the brokers before the load gives up."""
QUEUE_RECORDS_MAX = 100_000
QUEUE_KBYTES_MAX = 65_536

_ROOM_WAIT_S = 0.1
_RECORDS_A_POLL = 1_000

Delivered = Callable[[KafkaError | None, Message], None]


class InputsUnavailable(Exception):
    """The input log cannot be written now; the message says why and what to do."""


def inputs_producer(settings: Settings, *, delivered: Delivered, **overrides: Any) -> Producer:
    """An idempotent producer that puts a member where every other client puts it (murmur2)."""
    return Producer(
        {
            "bootstrap.servers": settings.brokers,
            "client.id": "cashback-inputs",
            "acks": "all",
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            "queue.buffering.max.kbytes": QUEUE_KBYTES_MAX,
            "delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1_000,
            "reconnect.backoff.max.ms": 1_000,
            "linger.ms": 20,
            "on_delivery": delivered,
            # Failures come back to us; librdkafka need not write them on standard error too.
            "log_level": 0,
            **overrides,
        }
    )


def inputs_partitions(producer: Producer, settings: Settings, *, timeout_s: float = CONNECT_TIMEOUT_S) -> int:
    """How many partitions `inputs` has on the broker. Raises `InputsUnavailable`."""
    name = INPUTS.full_name(settings.topic_prefix)
    try:
        # All topics are asked for: to name one in the question could create it.
        known = producer.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise InputsUnavailable(
            f"brokers: no Kafka at {settings.brokers} ({error.args[0].str()}); start one with `cashback up`, "
            "or set CASHBACK_BROKERS"
        ) from error
    if name not in known:
        raise InputsUnavailable(
            f"inputs: there is no topic {name}; create it with `cashback topics --create`"
        )
    return len(known[name].partitions)


class InputsWriter:
    """Writes what `inputs` takes; as a context it waits at the end until all is acknowledged.

    With clock=event every record carries the largest `occurred_at` written so far. `silent`: purchases opened
    by what it writes are history, told to nobody. Every method raises `InputsUnavailable` once a record could
    not be delivered.
    """

    def __init__(self, settings: Settings, *, silent: bool = False) -> None:
        self._prefix = settings.topic_prefix
        self._topic = INPUTS.full_name(settings.topic_prefix)
        self._event_clock = settings.clock == "event"
        self._always = [silent_header()] if silent else []
        self._failure: KafkaError | None = None
        self._producer = inputs_producer(
            settings, delivered=self._delivered, **{"delivery.report.only.error": True}
        )
        self.partitions = inputs_partitions(self._producer, settings)
        self.clock_at: Micros = 0
        """Largest `occurred_at` written, microseconds; 0 before the first."""
        self.written = 0
        """Records handed over to `inputs`, ticks and programs included."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: BaseException | TracebackType | None) -> None:
        if kind is None:
            self.flush()
        else:
            self._producer.purge()

    def write(self, transaction: Transaction) -> None:
        """Append one transaction to its member's partition."""
        headers = self._always
        if self._event_clock:
            if transaction.occurred_at > self.clock_at:
                self.clock_at = transaction.occurred_at
            headers = [clock_header(self.clock_at), *headers]
        self._append_one(encode("Transaction", to_datum(transaction)), transaction.key, headers)

    def write_entitlement(self, said: Entitlement) -> None:
        """Append one entitlement to its member's partition; it does not move the clock.

        A purchase is judged by the entitlements before it: write them first, or in the order of time.
        """
        headers = [clock_header(self.clock_at)] if self._event_clock and self.clock_at else []
        self._append_one(encode("Entitlement", entitlement_datum(said)), said.key, headers)

    def write_revocation(self, revocation: Revocation) -> None:
        """Append one revocation to its member's partition; with clock=event `revoked_at` is its stamp."""
        headers = [clock_header(revocation.revoked_at)] if self._event_clock else None
        value = encode("Revocation", revocation_datum(revocation))
        self._append(self._topic, value, revocation.key, -1, headers)
        self.written += 1

    def write_reversal_decision(self, decision: ReversalDecision) -> None:
        """Append one decision to its member's partition; with clock=event `decided_at` is its stamp."""
        headers = [clock_header(decision.decided_at)] if self._event_clock else None
        value = encode("ReversalDecision", reversal_datum(decision))
        self._append(self._topic, value, decision.key, -1, headers)
        self.written += 1

    def write_parked_decision(self, decision: ParkedDecision, partition: int) -> None:
        """Append one decision to the partition in which its event waits, whoever chose that one.

        With clock=event `decided_at` is its stamp.
        """
        headers = [clock_header(decision.decided_at)] if self._event_clock else None
        value = encode("ParkedDecision", parked_datum(decision))
        self._append(self._topic, value, decision.key, partition, headers)
        self.written += 1

    def write_program(self, program: ProgramSpec) -> None:
        """Append one program version to every partition, then to the catalogue."""
        self.write_programs([program])

    def write_programs(self, programs: Iterable[ProgramSpec]) -> None:
        """Append program versions to every partition and, once all of them are there, to the catalogue.

        What stands in the catalogue is in force everywhere; what a crash left out of it is written again.
        """
        written = [(program.key, encode("Program", program_datum(program))) for program in programs]
        for key, value in written:
            self._append_everywhere(value, key, self.clock_at)
        self.flush()
        for key, value in written:
            self._append(PROGRAMS.full_name(self._prefix), value, key, -1, None)
        self.flush()

    def tick(self, at: Micros) -> None:
        """Append a Tick to every partition; with clock=event it moves the clock to `at`."""
        self.clock_at = max(self.clock_at, at)
        self._append_everywhere(encode("Tick", {"emitted_at": at}), None, self.clock_at)

    def flush(self) -> None:
        """Wait until everything written is acknowledged by the brokers."""
        left = self._producer.flush(DELIVERY_TIMEOUT_S + CONNECT_TIMEOUT_S)
        self._raise_failure()
        if left:
            raise InputsUnavailable(
                f"inputs: {left} records are not acknowledged; look at the broker, then repeat the command"
            )

    def _append_one(self, value: bytes, key: bytes, headers: list[tuple[str, bytes]]) -> None:
        self._append(self._topic, value, key, -1, headers or None)
        self.written += 1
        if self.written % _RECORDS_A_POLL == 0:
            self._producer.poll(0)
            self._raise_failure()

    def _append_everywhere(self, value: bytes, key: bytes | None, at: Micros) -> None:
        headers = [clock_header(at)] if self._event_clock and at else None
        for partition in range(self.partitions):
            self._append(self._topic, value, key, partition, headers)
            self.written += 1

    def _append(self, topic: str, value: bytes, key: bytes | None, partition: int, headers: Any) -> None:
        while True:
            try:
                self._producer.produce(topic, value, key, partition, None, None, 0, headers)
                return
            except BufferError:
                # The brokers are slower than we: wait for room instead of growing.
                self._producer.poll(_ROOM_WAIT_S)
                self._raise_failure()

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        if error is not None and self._failure is None:
            self._failure = error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise InputsUnavailable(
                f"inputs: a record was not accepted ({self._failure.str()}); look at the broker, "
                "then repeat the command: what was written already is recognised"
            )
