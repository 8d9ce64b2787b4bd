"""Bad input on a real topic: it is set aside with its reason, and the stream goes on."""

from collections.abc import Callable, Sequence
from operator import attrgetter
from pathlib import Path

from confluent_kafka import Producer

from connectors.writer import InputsWriter
from ops.health import NotReady, Readiness, Ready, ask_readiness
from ops.settings import Settings
from schemas.programs import parse_program
from schemas.topics import CASHBACK_EVENTS, INPUTS, QUARANTINE
from tests.e2e.bad_inputs import Bad, bad_inputs, bytes_of, payment, program
from tests.e2e.pipeline import Pipeline
from tests.e2e.topic_reading import Record
from tests.e2e.watch import INPUT, Watch
from tests.engine.raw_records import append_raw
from tests.eventually import eventually

WORKER = "worker-1"
WAIT_S = 60.0


Raw = tuple[bytes, bytes | None]
"""Key and value of a record."""


def append(settings: Settings, records: Sequence[Raw], partition: int) -> None:
    """Write raw bytes to `inputs`, as a partner's own producer may."""
    producer = Producer({"bootstrap.servers": settings.brokers, "partitioner": "murmur2_random"})
    for key, value in records:
        producer.produce(INPUTS.full_name(settings.topic_prefix), value, key, partition)
    assert producer.flush(30) == 0


def publish(settings: Settings) -> None:
    """Put the one program in force."""
    with InputsWriter(settings) as writer:
        writer.write_program(parse_program(program()))


def quarantined(pipeline: Pipeline) -> list[Record]:
    """All that was set aside, in the order in which it lay on `inputs`."""
    records = [record for partition in pipeline.read(QUARANTINE) for record in partition]
    return sorted(records, key=attrgetter("origin"))


def rewarded(pipeline: Pipeline) -> list[str]:
    """The external ids for which a cashback was created, sorted."""
    events = [record.datum for records in pipeline.read(CASHBACK_EVENTS) for record in records]
    return sorted(event["transaction_ref"] for event in events if "amount" in event)


def test_every_bad_input_ends_in_quarantine_with_field_and_remedy_and_good_ones_are_rewarded(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    rows = bad_inputs()
    good = [f"good-{number:02}" for number in range(len(rows) + 1)]
    with Pipeline(settings(clock="event", bad_input_limit=len(rows)), tmp_path) as pipeline:
        publish(pipeline.settings)
        records: list[Raw] = [(b"bank:ann", bytes_of(payment(good[0])))]
        for row, external_id in zip(rows, good[1:], strict=True):
            records += [(row.key, row.value), (b"bank:ann", bytes_of(payment(external_id)))]
        append(pipeline.settings, records, partition=1)
        pipeline.start(WORKER)
        with Watch(pipeline, INPUT) as watch:
            eventually(watch.is_done, timeout_s=WAIT_S)
        refused = quarantined(pipeline)
        wrong = [fault for row, record in zip(rows, refused, strict=True) for fault in faults(row, record)]
        assert not wrong, "\n".join(wrong)
        inputs = INPUTS.full_name(pipeline.settings.topic_prefix)
        assert {record.said["__connect.errors.topic"] for record in refused} == {inputs}
        assert rewarded(pipeline) == good
        assert isinstance(readiness(pipeline), Ready)


def test_a_header_key_that_is_not_utf8_is_set_aside_and_the_stream_goes_on(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    with Pipeline(settings(clock="event"), tmp_path) as pipeline:
        inputs = INPUTS.full_name(pipeline.settings.topic_prefix)
        publish(pipeline.settings)
        good = [(b"bank:ann", bytes_of(payment(name)), ()) for name in ("first", "last")]
        bad = (b"bank:ann", bytes_of(payment("bad")), [(b"trace", b"1"), (b"\xff\xfe", b"2")])
        append_raw(pipeline.settings.brokers, inputs, 1, [good[0], bad, good[1]])
        pipeline.start(WORKER)
        eventually(lambda: rewarded(pipeline) == ["first", "last"], timeout_s=WAIT_S)
        (refused,) = quarantined(pipeline)
        row = Bad("a header key", bad[1], "undecodable", "headers", "name headers in UTF-8")
        assert faults(row, refused) == []
        assert (refused.said["trace"], refused.said["\\xff\\xfe"]) == ("1", "2")


def faults(row: Bad, record: Record) -> list[str]:
    """What of a quarantined record is not as its sender needs it."""
    said = record.said
    message = said["__connect.errors.exception.message"]
    problem, _, remedy = message.partition("; ")
    is_so = {
        "reason": said["cashback.reason"] == row.reason,
        "field": problem.split(":")[0].split(".")[0] == row.field,
        "remedy": remedy.startswith(row.remedy) and len(remedy) > 0,
        "bytes": (record.value or None) == row.value,
        "first seen": said["cashback.first_seen"].isdigit(),
    }
    return [f"{row.name}: {what} of {message!r}, {said}" for what, right in is_so.items() if not right]


def test_inputs_that_are_all_bad_pause_the_worker_until_an_operator_lets_it_go_on(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    limit = 20
    first = settings(clock="event", bad_input_limit=limit)
    with Pipeline(first, tmp_path) as pipeline:
        publish(first)
        bad = [
            (f"{partner}:ann".encode(), bytes_of(payment("bad", partner), amount_minor=-1))
            for partner in ("bank", "wallet")
        ] * limit
        append(first, [*bad, (b"bank:ann", bytes_of(payment("good")))], partition=1)
        pipeline.begin(WORKER)

        reason = eventually(lambda: reason_of_pause(pipeline), timeout_s=WAIT_S)
        assert "several partners" in reason
        assert "amount_minor: -1 is negative; send minor units" in reason
        eventually(lambda: len(quarantined(pipeline)) == limit, timeout_s=WAIT_S)
        assert rewarded(pipeline) == []

        pipeline.supervisor.stop(WORKER)
        pipeline.settings = first.model_copy(update={"bad_input_limit": 10 * limit})
        pipeline.start(WORKER)
        eventually(lambda: rewarded(pipeline) == ["good"], timeout_s=WAIT_S)
        assert [record.origin for record in quarantined(pipeline)] == [(1, 1 + n) for n in range(2 * limit)]
        assert isinstance(readiness(pipeline), Ready)


def readiness(pipeline: Pipeline) -> Readiness:
    """What the worker says on /readyz."""
    return ask_readiness(pipeline.supervisor.health_port(WORKER))


def reason_of_pause(pipeline: Pipeline) -> str:
    """Why the worker says on /readyz that it is paused; empty while it does not."""
    match readiness(pipeline):
        case NotReady(reason, {"state": "paused"}):
            return reason
    return ""
