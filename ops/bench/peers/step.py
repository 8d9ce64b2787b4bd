"""The reference step: its records, its state, its topics."""

import struct
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, field
from importlib.resources import files
from io import BytesIO
from itertools import islice
from random import Random
from typing import Any

from confluent_kafka.admin import AdminClient, NewTopic
from fastavro import schemaless_reader, schemaless_writer

from connectors.writer import InputsUnavailable, inputs_producer
from ops.settings import Settings
from schemas.codec import codecs_of
from schemas.registry import LockedSchema

PARTITIONS = 4
MEMBERS = 50_000
STATE = struct.Struct(">qq")
"""A row: payments so far, their sum in minor units."""
HEAD_BYTES = 5

_HERE = files("ops.bench.peers")
PAYMENT = LockedSchema(1, "Payment", 1, "", directory=_HERE)
REWARD = LockedSchema(2, "Reward", 1, "", directory=_HERE)
_FLUSH_TIMEOUT_S = 60.0
_QUEUED_MAX = 200_000
_WRITES_A_POLL = 1_000

Step = Callable[[bytes, bytes | None], tuple[bytes, bytes]]
"""From a payment and its member's row (None: there is none) to the row after it and the output."""


@dataclass
class Given:
    """What a log holds: payments numbered from zero, and how many each member made."""

    payments: int = 0
    by_member: Counter[bytes] = field(default_factory=Counter)


@dataclass(frozen=True)
class Place:
    """Where a program works. The changelog is the program's own, or made by it; times in milliseconds."""

    brokers: str
    group: str
    input_topic: str
    output_topic: str
    changelog_topic: str
    directory: str
    commit_interval_ms: int

    def arguments(self) -> tuple[str, ...]:
        """As the command line of a program."""
        return tuple(str(value) for value in astuple(self))

    @classmethod
    def of_command_line(cls) -> tuple["Place", list[str]]:
        """The place this process was given, and what else stands on its command line."""
        brokers, group, inputs, outputs, changelog, directory, commit_interval_ms, *others = sys.argv[1:]
        place = cls(brokers, group, inputs, outputs, changelog, directory, int(commit_interval_ms))
        return place, others


def step_with(codec: str) -> Step:
    """The step with our `compiled` codec, or with `fastavro` as anybody would use it."""
    return _with_fastavro() if codec == "fastavro" else _with_compiled()


def has_compiled_codec() -> bool:
    """Whether the package was built with a C compiler."""
    return "compiled" in codecs_of([PAYMENT, REWARD])


def payments(wanted: int, *, members: int = MEMBERS, seed: int = 7) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of the input log. The number of a payment is the end of its id."""
    rnd = Random(seed)
    write = next(iter(codecs_of([PAYMENT, REWARD]).values())).encode
    for number in range(wanted):
        member_id = f"member-{rnd.randrange(members):08d}"
        payment = {
            "payment_id": f"pay-{number:012d}",
            "member_id": member_id,
            "merchant_id": f"merchant-{rnd.randrange(5_000):06d}",
            "amount_minor": rnd.randrange(100, 100_000),
            "currency": "GBP",
            "paid_at": 1_700_000_000_000 + number * 10,
            "card": f"tok_{rnd.getrandbits(128):032x}",
            "mcc": rnd.randrange(1_000, 9_999),
            "status": "SETTLED",
            "country": "GB",
            "channel": "ECOM",
            "note": "x" * 120,
        }
        yield member_id.encode(), write("Payment", payment)


def create_topics(brokers: str, *topics: NewTopic) -> None:
    """Create them; raises KafkaException."""
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 3})
    for answer in admin.create_topics(list(topics)).values():
        answer.result()


class PaymentsWriter:
    """Writes payments to a topic and keeps count of them."""

    def __init__(self, brokers: str, topic: str, wanted: int, *, members: int = MEMBERS) -> None:
        self.given = Given()
        self._topic = topic
        self._failures: list[Any] = []
        self._left = payments(wanted, members=members)
        options = {
            "delivery.report.only.error": True,
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 2**20,
        }
        failed = self._failures.append
        self._producer = inputs_producer(
            Settings(brokers=brokers), delivered=lambda error, _: failed(error), **options
        )

    def write(self, wanted: int) -> None:
        """Hand over so many more, or what is left."""
        for key, value in islice(self._left, wanted):
            self._producer.produce(self._topic, value, key)
            self.given.payments += 1
            self.given.by_member[key] += 1
        self._producer.poll(0)
        while len(self._producer) > _QUEUED_MAX:
            self._producer.poll(0.1)

    def finish(self) -> Given:
        """Return when all are acknowledged. Raises `InputsUnavailable`."""
        if self._producer.flush(_FLUSH_TIMEOUT_S) or self._failures:
            raise InputsUnavailable(f"{self._topic}: the payments to measure with could not be written")
        return self.given


def preload(brokers: str, topic: str, wanted: int, *, members: int = MEMBERS) -> Given:
    """Create `topic` and write so many payments to it. Raises `InputsUnavailable`."""
    create_topics(brokers, NewTopic(topic, PARTITIONS, 1))
    writer = PaymentsWriter(brokers, topic, wanted, members=members)
    while writer.given.payments < wanted:
        writer.write(_WRITES_A_POLL)
    return writer.finish()


def _with_compiled() -> Step:
    compiled = codecs_of([PAYMENT, REWARD])["compiled"]
    read, write, pack, unpack = compiled.decode_fields, compiled.encode, STATE.pack, STATE.unpack

    def step(value: bytes, row: bytes | None) -> tuple[bytes, bytes]:
        _, payment, _ = read(value)
        amount_minor = payment[3]
        count, total_minor = (0, 0) if row is None else unpack(row)
        count, total_minor = count + 1, total_minor + amount_minor
        reward = {
            "payment_id": payment[0],
            "member_id": payment[1],
            "amount_minor": amount_minor,
            "reward_minor": amount_minor // 100,
            "total_minor": total_minor,
            "count": count,
            "paid_at": payment[5],
        }
        return pack(count, total_minor), write("Reward", reward)

    return step


def _with_fastavro() -> Step:
    reader, writer = PAYMENT.parsed(), REWARD.parsed()
    head, pack, unpack = b"\0" + REWARD.schema_id.to_bytes(HEAD_BYTES - 1, "big"), STATE.pack, STATE.unpack

    def step(value: bytes, row: bytes | None) -> tuple[bytes, bytes]:
        body = BytesIO(value)
        body.seek(HEAD_BYTES)
        payment: Any = schemaless_reader(body, reader, None)
        amount_minor = payment["amount_minor"]
        count, total_minor = (0, 0) if row is None else unpack(row)
        count, total_minor = count + 1, total_minor + amount_minor
        reward = {
            "payment_id": payment["payment_id"],
            "member_id": payment["member_id"],
            "amount_minor": amount_minor,
            "reward_minor": amount_minor // 100,
            "total_minor": total_minor,
            "count": count,
            "paid_at": payment["paid_at"],
        }
        out = BytesIO()
        out.write(head)
        schemaless_writer(out, writer, reward)
        return pack(count, total_minor), out.getvalue()

    return step
