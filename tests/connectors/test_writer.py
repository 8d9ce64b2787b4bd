"""What a writer leaves on a real broker."""

from typing import Any, cast

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from connectors.writer import InputsUnavailable, InputsWriter, inputs_partitions, inputs_producer
from ops.demo.grocer import PROGRAMS_FILE
from ops.settings import Settings
from schemas.clock import Headers, clock_of
from schemas.codec import decode
from schemas.parked import ParkedDecision, checked
from schemas.program_files import read_programs
from schemas.programs import from_datum
from schemas.revocations import Revocation
from schemas.silence import is_silent
from schemas.times import DAY, Micros, from_iso
from tests.connectors.conftest import ReadAll
from tests.connectors.payments import clip, payment
from tests.eventually import eventually


def clock(record: Message) -> Micros | None:
    """The clock a record carries."""
    return clock_of(cast(Headers | None, record.headers()))


START = from_iso("2017-03-01T00:00:00Z", "start")


def test_every_record_carries_the_largest_time_so_far_and_a_member_stays_in_one_partition(
    settings: Settings, read_all: ReadAll
) -> None:
    days = (1, 3, 2, 5)
    with InputsWriter(settings) as writer:
        for day in days:
            at = f"2017-03-0{day}T00:00:00Z"
            writer.write(payment(occurred_at=at, external_id=f"order-{day}"))
    records = read_all("inputs")
    assert {record.partition() for record in records} == {records[0].partition()}
    assert [record.key() for record in records] == [b"publisher:ann"] * 4
    assert [decode(record.value())[1]["external_id"] for record in records] == [
        f"order-{day}" for day in days
    ]
    clocks = [clock(record) for record in records]
    assert clocks == [START + (day - 1) * DAY for day in (1, 3, 3, 5)]


def test_the_brokers_clock_needs_no_header(settings: Settings, read_all: ReadAll) -> None:
    with InputsWriter(settings.model_copy(update={"clock": "broker"})) as writer:
        writer.write(payment())
        writer.tick(START)
    assert [record.headers() for record in read_all("inputs")] == [None] * 4


def test_an_entitlement_lies_in_its_member_s_partition_and_does_not_move_the_clock(
    settings: Settings, read_all: ReadAll
) -> None:
    with InputsWriter(settings) as writer:
        writer.write_entitlement(clip(clip_id="before", granted_at="2017-06-01T00:00:00Z"))
        writer.write(payment(occurred_at="2017-03-01T00:00:00Z"))
        writer.write_entitlement(clip(clip_id="after", granted_at="2017-06-01T00:00:00Z"))
    records = read_all("inputs")
    assert len({record.partition() for record in records}) == 1
    assert [record.key() for record in records] == [b"publisher:ann"] * 3
    assert [clock(record) for record in records] == [None, START, START]
    datum = decode(records[2].value())[1]
    assert (datum["clip_id"], datum["program_id"]) == ("after", "deal")


@pytest.mark.parametrize("of", ["event", "broker"])
def test_what_is_written_silently_says_so_on_every_payment(
    of: str, settings: Settings, read_all: ReadAll
) -> None:
    settings = settings.model_copy(update={"clock": of})
    with InputsWriter(settings, silent=True) as writer:
        writer.write(payment(external_id="old"))
    with InputsWriter(settings) as writer:
        writer.write(payment(external_id="new"))
    said = [is_silent(cast(Any, record.headers()) or ()) for record in read_all("inputs")]
    assert said == [True, False]


def test_a_decision_on_a_parked_event_goes_to_the_partition_where_that_waits(
    settings: Settings, read_all: ReadAll
) -> None:
    said = ParkedDecision("publisher", "ann", "order-1", "REFUNDED", None, "DISCARDED", "eve", "so", START)
    with InputsWriter(settings) as writer:
        for partition in range(3):
            writer.write_parked_decision(said, partition)
    records = read_all("inputs")
    assert [record.partition() for record in records] == [0, 1, 2]
    assert {(record.key(), clock(record)) for record in records} == {(b"publisher:ann", START)}
    assert checked(decode(records[0].value())[1]) == said


def test_programs_come_before_payments_in_every_partition_and_stand_in_the_catalogue(
    settings: Settings, read_all: ReadAll
) -> None:
    programs = read_programs(PROGRAMS_FILE).programs
    with InputsWriter(settings) as writer:
        for program in programs:
            writer.write_program(program)
        for member in range(30):
            writer.write(payment(member_id=f"member-{member}"))
    records = read_all("inputs")
    for partition in range(3):
        kinds = [decode(record.value())[0] for record in records if record.partition() == partition]
        assert kinds[: len(programs)] == ["Program"] * len(programs)
        assert set(kinds[len(programs) :]) == {"Transaction"}
    catalogue = read_all("programs")
    assert [record.key() for record in catalogue] == [program.key for program in programs]
    assert [from_datum(decode(record.value())[1]) for record in catalogue] == programs


def test_a_tick_moves_the_clock_of_every_partition_and_never_back(
    settings: Settings, read_all: ReadAll
) -> None:
    with InputsWriter(settings) as writer:
        writer.tick(START + DAY)
        writer.tick(START)
    clocks = [(record.partition(), clock(record)) for record in read_all("inputs")]
    assert clocks == [(partition, START + DAY) for partition in (0, 0, 1, 1, 2, 2)]


def test_members_are_spread_as_java_clients_spread_them(settings: Settings, read_all: ReadAll) -> None:
    # murmur2 of Kafka's own clients, three partitions
    with InputsWriter(settings) as writer:
        for member in ("ann", "bob", "eve"):
            writer.write(payment(member_id=member))
    found = {record.key(): record.partition() for record in read_all("inputs")}
    assert found == {key: (murmur2(key or b"") & 0x7FFFFFFF) % 3 for key in found}


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2, from its protocol documentation."""
    mask, multiplier = 0xFFFFFFFF, 0x5BD1E995
    value = 0x9747B28C ^ len(key)
    whole = len(key) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * multiplier & mask
        word = (word ^ word >> 24) * multiplier & mask
        value = value * multiplier & mask ^ word
    if key[whole:]:
        value = (value ^ int.from_bytes(key[whole:], "little")) * multiplier & mask
    value = (value ^ value >> 13) * multiplier & mask
    return value ^ value >> 15


def test_a_missing_topic_and_a_missing_broker_are_said_with_the_remedy(settings: Settings) -> None:
    with pytest.raises(InputsUnavailable, match=r"no topic other-inputs.*cashback topics --create"):
        InputsWriter(settings.model_copy(update={"topic_prefix": "other-"}))
    nowhere = settings.model_copy(update={"brokers": "127.0.0.1:1"})
    producer = inputs_producer(nowhere, delivered=lambda *_: None)
    with pytest.raises(InputsUnavailable, match=r"no Kafka at 127\.0\.0\.1:1 .*CASHBACK_BROKERS"):
        inputs_partitions(producer, nowhere, timeout_s=0.2)


def test_a_record_the_broker_refuses_is_noticed(settings: Settings) -> None:
    admin = AdminClient({"bootstrap.servers": settings.brokers})
    tiny = ConfigEntry("max.message.bytes", "10", incremental_operation=AlterConfigOpType.SET)
    inputs = ConfigResource(ResourceType.TOPIC, settings.topic_prefix + "inputs", incremental_configs=[tiny])
    admin.incremental_alter_configs([inputs])[inputs].result()
    writer = InputsWriter(settings)

    def is_noticed() -> bool:
        writer.write(payment())
        try:
            writer.flush()
        except InputsUnavailable as error:
            return "was not accepted" in str(error)
        return False

    eventually(is_noticed)


def test_a_revocation_lies_in_the_partition_of_its_member_and_moves_no_clock(
    settings: Settings, read_all: ReadAll
) -> None:
    with InputsWriter(settings) as writer:
        for member in ("ann", "bob", "eve"):
            at = "2017-03-01T00:00:00Z"
            writer.write(payment(member_id=member, occurred_at=at))
            said = (f"order-of-{member}", "one", 1, "dora", "stolen card")
            writer.write_revocation(Revocation("publisher", member, *said, revoked_at=START))
    records = read_all("inputs")
    found = {
        record.key(): {other.partition() for other in records if other.key() == record.key()}
        for record in records
    }
    assert [len(partitions) for partitions in found.values()] == [1, 1, 1]
    revoked = [record for record in records if decode(record.value())[0] == "Revocation"]
    assert [clock(record) for record in revoked] == [START] * 3
