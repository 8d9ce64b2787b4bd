"""Writes an input log once more, dealt out over more partitions, in the order of its clocks."""

import time
from collections.abc import Iterator
from typing import Any, cast

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from ops.embedded.jars import Say
from ops.partitions.merge import Entry, merge
from ops.partitions.reading import UNREADABLE_HEADER, Partition, headers_of
from ops.settings import Settings
from schemas.clock import clock_header, clock_of
from schemas.codec import decode, encode
from schemas.errors import Rejected
from schemas.times import Micros
from schemas.topics import INPUTS, PROGRAMS
from streams.engine.transactions import RECORD_BYTES_MAX

QUIET_S = 3.0
"""Nobody writes to the old log when nothing came for so long: a ticker writes every second."""
ANSWER_S = 30.0
"""How long an answer of the brokers is waited for."""


class GrowRefused(Exception):
    """The log is not spread over more partitions; says why and what to do."""


class Copy:
    """Writes the new log from the old one. Any method may raise KafkaException."""

    def __init__(self, old: Settings, new: Settings) -> None:
        self.copied = self.left_out = 0
        self.clocks: dict[int, Micros] = dict.fromkeys(range(old.partitions), 0)
        """How far the clock of each old partition came."""
        self._old = old
        self._to = new.partitions
        self._topic = INPUTS.full_name(new.topic_prefix)
        self._programs = PROGRAMS.full_name(new.topic_prefix)
        self._by_event = old.clock == "event"
        self._failure: KafkaError | None = None
        name = INPUTS.full_name(old.topic_prefix)
        self._logs = [Partition(old.brokers, name, partition) for partition in range(old.partitions)]
        self._producer = Producer(
            {
                "bootstrap.servers": old.brokers,
                "client.id": "cashback-grow",
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "message.max.bytes": RECORD_BYTES_MAX,
                "linger.ms": 20,
                "on_delivery": self._delivered,
                "delivery.report.only.error": True,
                "log_level": 0,
            }
        )

    def run(self, say: Say) -> None:
        """Copy everything, then see that nothing was added meanwhile."""
        ends = {log.partition: log.bounds()[1] for log in self._logs}
        total = sum(ends.values())
        for entry in merge({log.partition: self._entries(log, ends[log.partition]) for log in self._logs}):
            self._write(entry)
            if self.copied % 200_000 == 0:
                say(f"Copied {self.copied:,} of at most {total:,}")
        self._tick()
        self._copy_catalogue()
        self._flush()
        time.sleep(QUIET_S)
        grew = [log.partition for log in self._logs if log.bounds()[1] != ends[log.partition]]
        if grew:
            name = INPUTS.full_name(self._old.topic_prefix)
            raise GrowRefused(
                f"{name}{grew}: records came while it was copied; stop the ticker and all writers, "
                "then run this again with --discard"
            )
        self.left_out = total - self.copied
        left_out = f"left out {self.left_out:,} (ticks, repeated programs, unreadable)"
        say(f"Copied {self.copied:,} records, {left_out}")

    def close(self) -> None:
        """Read no more."""
        for log in self._logs:
            log.close()

    def _entries(self, log: Partition, end: int) -> Iterator[Entry[tuple[int, Message]]]:
        clock: Micros = 0
        for message in log.read(0, end):
            headers = headers_of(message)
            clock = max(clock, self._time_of(message, headers))
            self.clocks[log.partition] = clock
            name = _record_name(message)
            if name == "Tick" or UNREADABLE_HEADER in headers:
                continue
            program = message.value() if name == "Program" else None
            yield Entry(clock, (log.partition, message), program)

    def _time_of(self, message: Message, headers: list[tuple[str, bytes]]) -> Micros:
        if not self._by_event:
            return message.timestamp()[1] * 1_000
        try:
            return clock_of(headers) or 0
        except Rejected:
            return 0

    def _write(self, entry: Entry[tuple[int, Message]]) -> None:
        partition, message = entry.origin
        at_ms = message.timestamp()[1] if self._by_event else entry.clock // 1_000
        headers = headers_of(message)
        if entry.program is not None:
            for each in range(self._to):
                self._produce(message.key(), message.value(), each, at_ms, headers)
        else:
            # Without a key it is nobody's: refused there as here, so any one partition will do.
            to = -1 if message.key() else partition
            self._produce(message.key(), message.value(), to, at_ms, headers)
        self.copied += 1

    def _tick(self) -> None:
        """Bring every new partition to the clock the old ones have reached."""
        at = max(self.clocks.values())
        headers = [clock_header(at)] if self._by_event else []
        if at:
            for partition in range(self._to):
                self._produce(None, encode("Tick", {"emitted_at": at}), partition, at // 1_000, headers)

    def _copy_catalogue(self) -> None:
        log = Partition(self._old.brokers, PROGRAMS.full_name(self._old.topic_prefix), 0)
        try:
            for message in log.read(*log.bounds()):
                self._producer.produce(self._programs, message.value(), message.key())
        finally:
            log.close()

    def _produce(
        self,
        key: bytes | None,
        value: bytes | None,
        partition: int,
        at_ms: int,
        headers: list[tuple[str, bytes]],
    ) -> None:
        while True:
            try:
                self._producer.produce(
                    self._topic, value, key, partition, None, None, at_ms, cast(Any, headers)
                )
                return
            except BufferError:
                self._producer.poll(0.1)
                self._raise_failure()

    def _flush(self) -> None:
        left = self._producer.flush(ANSWER_S)
        self._raise_failure()
        if left:
            raise GrowRefused(f"{self._topic}: {left} records are not acknowledged; look at the brokers")

    def _delivered(self, error: KafkaError | None, _: Message) -> None:
        self._failure = self._failure or error

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise KafkaException(self._failure)


def _record_name(message: Message) -> str | None:
    try:
        return decode(message.value())[0]
    except Rejected:
        return None
