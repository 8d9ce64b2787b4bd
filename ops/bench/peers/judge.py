"""Reads back what a program sent, and compares it with what it was given."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from ops.bench.peers.step import PAYMENT, REWARD, STATE, Given
from schemas.codec import codecs_of

READ_TIMEOUT_S = 30.0
RECORDS_A_CALL = 10_000


@dataclass(frozen=True)
class Outcome:
    """What came of it. All zero but `outputs`: exactly once.

    lost: payments without an output. doubled: outputs beyond the first of a payment. miscounted: outputs that
    state another count than there is left to state for their member.
    """

    outputs: int
    lost: int
    doubled: int
    miscounted: int

    @property
    def exact(self) -> bool:
        """Whether every payment had its one true output."""
        return not (self.lost or self.doubled or self.miscounted)


@dataclass(frozen=True)
class StateError:
    """How far the rows are from the truth: members that count too many or too few, and by how many in all."""

    members_over: int
    over: int
    members_under: int
    under: int


def outcome(brokers: str, topic: str, given: Given) -> Outcome:
    """Judge the committed outputs. Raises `Unreadable`."""
    read = next(iter(codecs_of([PAYMENT, REWARD]).values())).decode
    seen = bytearray(given.payments)
    outputs = doubled = 0
    counts: Counter[bytes] = Counter()
    highest: Counter[bytes] = Counter()
    for message in committed(brokers, topic):
        _, reward = read(message.value())
        number, member, count = int(reward["payment_id"][4:]), message.key() or b"", reward["count"]
        outputs += 1
        doubled += seen[number]
        seen[number] = 1
        counts[member] += count
        highest[member] = max(highest[member], count)
    wrong = sum(
        1
        for member, payments in given.by_member.items()
        if counts[member] != payments * (payments + 1) // 2 or highest[member] != payments
    )
    return Outcome(outputs, given.payments - sum(seen), doubled, wrong)


def state_error(brokers: str, changelog: str, given: Given) -> StateError:
    """Judge the rows in a changelog whose values are rows of `STATE`. Raises `Unreadable`."""
    rows: dict[bytes, int] = {}
    for message in committed(brokers, changelog):
        key, value = message.key() or b"", message.value()
        if key in given.by_member and value is not None:
            rows[key] = STATE.unpack(value)[0]
    errors = [rows.get(member, 0) - payments for member, payments in given.by_member.items()]
    over, under = [each for each in errors if each > 0], [-each for each in errors if each < 0]
    return StateError(len(over), sum(over), len(under), sum(under))


def committed(brokers: str, topic: str) -> Iterator[Message]:
    """All committed records of a topic, partition after partition. Raises `Unreadable`."""
    options = {
        "bootstrap.servers": brokers,
        "group.id": "judge",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "fetch.wait.max.ms": 50,
    }
    with closing(Consumer(options)) as consumer:
        left = set(consumer.list_topics(topic, timeout=READ_TIMEOUT_S).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in left])
        deadline = monotonic() + READ_TIMEOUT_S
        while left:
            messages = consumer.consume(RECORDS_A_CALL, 1.0)
            if messages:
                deadline = monotonic() + READ_TIMEOUT_S
            elif monotonic() > deadline:
                raise Unreadable(f"{topic}: no record and no end of it for {READ_TIMEOUT_S} s")
            for message in messages:
                error = message.error()
                if error is None:
                    yield message
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition())
                else:
                    raise Unreadable(f"{topic}: {error}")


class Unreadable(Exception):
    """A topic to judge by cannot be read."""
