"""The client: writes inputs while everything breaks, and keeps account of every write.

A write is ok, failed (the brokers have it not) or indeterminate (nobody can say). What is not ok is written
again under the same identity; dedup absorbs what was there already.
"""

import json
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from struct import Struct
from threading import Event
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from connectors.writer import inputs_producer
from ops.settings import Settings
from ops.torture.payments import mixed_inputs
from ops.torture.poison import HEADER, poison
from schemas.clock import clock_header
from schemas.codec import encode
from schemas.programs import ProgramSpec
from schemas.programs import to_datum as program_datum
from schemas.times import Micros
from schemas.topics import INPUTS
from schemas.transactions import from_json, to_datum

POISONED = 0.001
PARTNERS = ("bank", "wallet", "club")
PURCHASES_A_MEMBER = 20
PURCHASES_AN_INPUT = 0.37
SPAN_S = 75 * 86_400.0
"""Event time that all inputs last: holds end and refunds come within, nothing is forgotten meanwhile."""
DELIVERY_TIMEOUT_S = 15
_AGAIN_S = 0.5
_NOT_WRITTEN = frozenset({KafkaError._PURGE_QUEUE, KafkaError.MSG_SIZE_TOO_LARGE})

ACKNOWLEDGED = Struct("<HqI")
"""Partition, offset and CRC of the value of every acknowledged input."""

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record for `inputs`; partition -1: by its key."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    partition: int = -1


def payments(inputs: int, seed: int) -> Iterator[tuple[Micros, Outgoing]]:
    """Exactly `inputs` records with the time at which each happened (0: a poisoned one)."""
    rng = Random(f"{seed} poison")
    purchases = inputs * PURCHASES_AN_INPUT
    lines = mixed_inputs(
        inputs,
        seed,
        members=max(50, round(purchases / PURCHASES_A_MEMBER / len(PARTNERS))),
        partners=PARTNERS,
        seconds_between=SPAN_S / max(1.0, purchases),
    )
    for number in range(inputs):
        if rng.random() < POISONED:
            bad = poison(rng, number)
            yield 0, Outgoing(bad.key, bad.value, ((HEADER, bad.reason.encode()),))
        else:
            payment = from_json(next(lines))
            yield payment.occurred_at, Outgoing(payment.key, encode("Transaction", to_datum(payment)), ())


class Client:
    """Writes batches, one after the other; not for several threads at once."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._settings = settings
        self._topic = INPUTS.full_name(settings.topic_prefix)
        self._log = (directory / "operations.jsonl").open("a")
        self._acknowledged = (directory / "acknowledged").open("ab")
        self._producer: Producer | None = None
        self.clock_at: Micros = 0
        """Largest time written; every record carries it."""
        self.outcomes = {"ok": 0, "failed": 0, "indeterminate": 0}
        """Write operations by what their client knows of them."""
        self.acknowledged = 0
        self.is_writing = False

    def write(self, records: Sequence[Outgoing], *, stop: Event) -> None:
        """Write all of them, again and again until each is acknowledged or `stop` is set."""
        left, attempt = list(records), 0
        self.is_writing = True
        while left and not stop.is_set():
            attempt += 1
            began_s = time.monotonic()
            left, outcome = self._attempt(left)
            self.outcomes[outcome] += 1
            line = {"records": len(records), "attempt": attempt, "outcome": outcome, "left": len(left)}
            self._log.write(json.dumps({**line, "s": round(time.monotonic() - began_s, 3)}) + "\n")
            if left:
                self._log.flush()
                stop.wait(_AGAIN_S)
        self.is_writing = False

    def stamped(self, happened_at: Micros, record: Outgoing) -> Outgoing:
        """The record with the clock as it stands after it."""
        self.clock_at = max(self.clock_at, happened_at)
        return Outgoing(
            record.key, record.value, (*record.headers, clock_header(self.clock_at)), record.partition
        )

    def everywhere(self, value: bytes, key: bytes | None, at: Micros) -> list[Outgoing]:
        """The same record for each partition."""
        self.clock_at = max(self.clock_at, at)
        headers = (clock_header(self.clock_at),) if self.clock_at else ()
        return [Outgoing(key, value, headers, each) for each in range(self._settings.partitions)]

    def programs(self, specs: Sequence[ProgramSpec]) -> list[Outgoing]:
        """The programs, for every partition."""
        return [
            record
            for spec in specs
            for record in self.everywhere(encode("Program", program_datum(spec)), spec.key, 0)
        ]

    def ticks(self, at: Micros) -> list[Outgoing]:
        """A Tick for every partition."""
        return self.everywhere(encode("Tick", {"emitted_at": at}), None, at)

    def close(self) -> None:
        """Everything known is in the files."""
        self._log.close()
        self._acknowledged.close()

    def _attempt(self, records: list[Outgoing]) -> tuple[list[Outgoing], str]:
        """What is left to write, and what is known of the attempt."""
        if self._producer is None:
            timeouts = {"delivery.timeout.ms": DELIVERY_TIMEOUT_S * 1_000, "request.timeout.ms": 5_000}
            self._producer = inputs_producer(self._settings, delivered=_ignore, **timeouts)
        answers: list[KafkaError | Message | None] = [None] * len(records)
        for index, record in enumerate(records):
            self._produce(record, answers, index)
        self._producer.flush(DELIVERY_TIMEOUT_S + 5)
        left = [
            record for record, answer in zip(records, answers, strict=True) if not isinstance(answer, Message)
        ]
        self._note_acknowledged(answers)
        if not left:
            return [], "ok"
        errors = [answer for answer in answers if isinstance(answer, KafkaError)]
        unsure = len(errors) < len(left) or any(error.code() not in _NOT_WRITTEN for error in errors)
        self._producer.purge()
        self._producer = None
        return left, "indeterminate" if unsure else "failed"

    def _produce(self, record: Outgoing, answers: list[KafkaError | Message | None], index: int) -> None:
        assert self._producer is not None

        def answered(error: KafkaError | None, message: Message) -> None:
            answers[index] = message if error is None else error

        headers: Any = list(record.headers)
        try:
            self._producer.produce(
                self._topic, record.value, record.key, record.partition, answered, headers=headers
            )
        except KafkaException as error:  # fatal: the idempotent producer lost its place
            answers[index] = error.args[0]

    def _note_acknowledged(self, answers: Sequence[KafkaError | Message | None]) -> None:
        for answer in answers:
            if isinstance(answer, Message):
                partition, offset, value = answer.partition(), answer.offset(), answer.value()
                assert partition is not None
                assert offset is not None
                crc = zlib.crc32(value if isinstance(value, bytes) else b"")
                self._acknowledged.write(ACKNOWLEDGED.pack(partition, offset, crc))
                self.acknowledged += 1
        self._acknowledged.flush()


def _ignore(_: KafkaError | None, __: Message) -> None:
    """Every record has its own answer."""
