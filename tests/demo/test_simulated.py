"""The year over several partitions is the year as `simulate` judges it; and the comparison is not blind."""

from collections import defaultdict
from collections.abc import Iterator
from zlib import crc32

import pytest
from confluent_kafka import Message

from ops.demo.grocer import PROGRAMS_FILE, UNTIL, Payments, payments
from ops.demo.simulated import COMPARED, Simulated, compare_topic, simulate_year
from ops.demo.source import grocery_year
from ops.settings import Settings
from schemas.clock import clock_header
from schemas.codec import decode, encode
from schemas.entitlements import Entitlement
from schemas.entitlements import to_datum as entitlement_datum
from schemas.program_files import read_programs
from schemas.programs import to_datum as program_datum
from schemas.topics import CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES
from schemas.transactions import to_datum
from tests.streams.test_fold import Partition, Record

HOUSEHOLDS, SEED = 25, 1
SETTINGS = Settings(clock="event", refund_horizon_days=730)
PARTITIONS = 3

Streamed = dict[str, list[Message]]


def stream(made: Payments) -> Streamed:
    """What the worker's state machine publishes of the year, by topic."""
    partitions = [Partition(SETTINGS) for _ in range(PARTITIONS)]
    for program in read_programs(PROGRAMS_FILE).programs:
        for partition in partitions:
            partition.take(Record(encode("Program", program_datum(program)), key=program.key))
    clock = 0
    for arrival in made.in_order():
        if isinstance(arrival, Entitlement):
            value = encode("Entitlement", entitlement_datum(arrival))
        else:
            clock = max(clock, arrival.occurred_at)
            value = encode("Transaction", to_datum(arrival))
        partition = partitions[crc32(arrival.key) % PARTITIONS]
        headers = [clock_header(clock)] if clock else []
        partition.take(Record(value, key=arrival.key, headers=headers))
    end = Record(encode("Tick", {"emitted_at": UNTIL}), key=None, headers=[clock_header(UNTIL)])
    published = defaultdict(list)
    for number, partition in enumerate(partitions):
        partition.take(end)
        assert partition.quarantined() == []
        for topic, value, _ in partition.sent:
            message = Message(topic=topic, partition=number, key=member_key(value), value=value)
            published[topic].append(message)
    return published


def member_key(value: bytes) -> bytes:
    datum = decode(value)[1]
    return f"{datum['partner_id']}:{datum['member_id']}".encode()


@pytest.fixture(scope="module")
def streamed() -> Streamed:
    return stream(payments(grocery_year(HOUSEHOLDS, SEED)))


@pytest.fixture(scope="module")
def simulated() -> Simulated:
    return simulate_year(SETTINGS, HOUSEHOLDS, SEED)


def test_the_stream_publishes_what_simulate_says_byte_for_byte(
    streamed: Streamed, simulated: Simulated
) -> None:
    for topic in COMPARED:
        compared, differences = compare_topic(simulated, topic, streamed[topic.name])
        assert differences == []
        assert compared == len(streamed[topic.name]) > 0


def test_every_kind_of_program_limit_and_source_is_in_it(streamed: Streamed) -> None:
    events = [decode(message.value()) for message in streamed[CASHBACK_EVENTS.name]]
    sources = {datum["source"]["type"] for record, datum in events if record == "CashbackCreated"}
    assert sources == {"campaign", "airdrop", "clip", "loyalty_program_redemption"}
    words = {word["decision"] for word in words_of(streamed)}
    assert words >= {
        *("REWARDED", "OUTRANKED", "MEMBER_LIMIT", "MEMBER_CAP", "NOT_ENTITLED", "NOT_NEW_MEMBER"),
        *("THRESHOLD_NOT_REACHED", "OUTSIDE_VALIDITY", "OUTSIDE_SCHEDULE", "BELOW_MIN_SPEND"),
    }


def words_of(streamed: Streamed) -> Iterator[dict[str, object]]:
    for message in streamed[DECISIONS.name]:
        yield from decode(message.value())[1]["decisions"]


def test_one_lost_one_doubled_and_one_changed_record_are_found(
    streamed: Streamed, simulated: Simulated
) -> None:
    cases = streamed[REVERSAL_CASES.name]
    last = cases[-1]
    _, differences = compare_topic(simulated, REVERSAL_CASES, cases[:-1])
    assert ["is missing" in str(each) for each in differences] == [True]
    _, differences = compare_topic(simulated, REVERSAL_CASES, [*cases, last])
    assert ["should not exist" in str(each) for each in differences] == [True]
    record, datum = decode(last.value())
    changed = Message(topic=last.topic(), key=last.key(), value=encode(record, datum | {"amount": 1}))
    _, differences = compare_topic(simulated, REVERSAL_CASES, [*cases[:-1], changed])
    assert len(differences) == 1
