"""The log spread over more partitions, and its state made again: the ledger notices neither."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from connectors.writer import InputsWriter
from ops import topics
from ops.partitions.copying import GrowRefused
from ops.partitions.grow import TIME_TYPE, grow
from ops.partitions.rebuild import RebuildRefused, Rebuilt, rebuild
from ops.settings import Settings
from ops.torture.payments import mixed_inputs
from schemas.codec import encode
from schemas.programs import parse_program
from schemas.times import from_iso
from schemas.topics import BUDGET_REQUESTS, CASHBACK_EVENTS, INPUTS, STATE
from schemas.transactions import from_json
from streams.engine.brokers import Brokers
from streams.engine.position import POSITION_KEY, Position
from streams.fold import CLOCK_KEY, STATE_VERSION
from streams.topology import engine_settings
from tests.e2e.bad_inputs import AT, bytes_of, payment, program
from tests.e2e.book import Book
from tests.e2e.pipeline import WORKERS, Pipeline
from tests.e2e.test_rebuild import directory, unlike, write
from tests.e2e.topic_reading import read_all
from tests.e2e.watch import INPUT, LEDGER, Watch
from tests.engine.raw_records import append_raw
from tests.eventually import eventually
from tests.histories import Line, iso

WORKER = WORKERS[0]
WRITTEN = 1_200
WAIT_S = 120.0
Whole = dict[str, list[tuple[Any, ...]]]


def whole(settings: Settings) -> Whole:
    """Everything the ledger says."""
    book = Book(settings.database_url)
    try:
        return book.whole()
    finally:
        book.close()


def send(settings: Settings, *lines: Line) -> None:
    with InputsWriter(settings) as writer:
        for line in lines:
            writer.write(from_json(line))


def recent_history(seed: int) -> list[Line]:
    """Payments whose holds end days from now, or ended days ago: none while a test runs."""
    start = datetime.now(UTC) - timedelta(days=10)
    return list(mixed_inputs(WRITTEN, seed, members=100, start=start))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_log_grown_from_two_partitions_to_five_leaves_the_ledger_as_it_is_and_goes_on(
    settings: Callable[..., Settings], tmp_path: Path, seed: int
) -> None:
    old = settings(clock="broker", partitions=2)
    history, now = recent_history(seed), datetime.now(UTC)
    mine = payment("mine", occurred_at=iso(now - timedelta(hours=1)))
    with Pipeline(old, directory(tmp_path, "old")) as pipeline, Watch(pipeline, INPUT, LEDGER) as watch:
        pipeline.register("bank")
        pipeline.start(WORKER, "ledger", "ticker")
        with InputsWriter(old) as writer:
            writer.write_program(parse_program(program(hold_days=20)))
        write(old, Random(seed), history)
        send(old, mine)
        unreadable = (b"bank:ann", bytes_of(payment("unreadable")), [(b"\xff", b"")])
        append_raw(old.brokers, INPUTS.full_name(old.topic_prefix), 0, [unreadable])
        # The ticker stops first, or there would always be something to decide.
        pipeline.supervisor.stop("ticker")
        eventually(watch.is_done, timeout_s=WAIT_S)
        pipeline.supervisor.stop(WORKER)
        pipeline.supervisor.stop("ledger")
        before = whole(old)
    assert min(map(len, before.values())) > 0, {name: len(rows) for name, rows in before.items()}

    said: list[str] = []
    grown = grow(old, to=5, prefix=None, discard=False, say=said.append)
    assert grown.new_prefix == old.topic_prefix + "p5-"
    assert (grown.events, grown.cases) == (len(before["entries"]), len(before["cases"]))
    with pytest.raises(GrowRefused, match="is in use; choose a prefix nobody uses"):
        grow(old, to=5, prefix=None, discard=True, say=said.append)

    new = old.model_copy(update={"topic_prefix": grown.new_prefix, "partitions": 5})
    with Pipeline(new, directory(tmp_path, "new")) as pipeline, Watch(pipeline, INPUT, LEDGER) as watch:
        pipeline.start(WORKER, "ledger")
        eventually(watch.is_done, timeout_s=WAIT_S)
        after = whole(new)
        assert {name: unlike(rows, after[name]) for name, rows in before.items() if rows != after[name]} == {}
        assert all(records for records in pipeline.read(INPUTS)), "every new partition has its share"

        pipeline.start("ticker")
        again = whole(new)
        send(new, *history[:50], mine, {**mine, "kind": "REFUNDED", "occurred_at": iso(datetime.now(UTC))})
        send(new, payment("another", occurred_at=iso(datetime.now(UTC))))
        eventually(lambda: "reverted" in transitions(new, "mine"), timeout_s=WAIT_S)
        eventually(lambda: "created" in transitions(new, "another"), timeout_s=WAIT_S)
        posted = {entry[0] for entry in set(whole(new)["entries"]) - set(again["entries"])}
        touched = {row[0] for row in whole(new)["cashbacks"] if row[3] in ("mine", "another")}
        assert posted <= touched, "what was sent again changed nothing"


def transitions(settings: Settings, external_id: str) -> set[str]:
    """What became of the cashbacks of a purchase."""
    book = whole(settings)
    cashbacks = {row[0] for row in book["cashbacks"] if row[3] == external_id}
    return {entry[1] for entry in book["entries"] if entry[0] in cashbacks}


def test_growing_is_refused_with_what_to_do(settings: Callable[..., Settings]) -> None:
    old = settings(clock="event", partitions=2)
    said: list[str] = []

    def refusal(to: int = 5, **changed: Any) -> str:
        with pytest.raises(GrowRefused) as refused:
            grow(old.model_copy(update=changed), to=to, prefix=None, discard=False, say=said.append)
        return str(refused.value)

    assert "set CASHBACK_TOPIC_PREFIX" in refusal()
    topics.ensure(old)
    assert "has 2 partitions already; give more" in refusal(to=2)
    assert "set CASHBACK_PARTITIONS=2" in refusal(partitions=4)
    send(old, payment("first"))
    assert "the worker is 1 records behind; stop writers and ticker" in refusal()
    half = old.model_copy(update={"topic_prefix": f"{old.topic_prefix}p5-", "partitions": 5})
    topics.create(half, [replace(INPUTS, config={TIME_TYPE: "CreateTime"})])
    assert "did not end; run it again with --discard" in refusal()
    lease = {"program_id": "p", "livemode": True, "scope": "total", "partition": 1, "number": 1}
    lease_of_all = encode("BudgetRequest", {**lease, "figure": 10, "wanted": 10, "returned": 0})
    raw = Producer({"bootstrap.servers": old.brokers})
    raw.produce(BUDGET_REQUESTS.full_name(old.topic_prefix), lease_of_all)
    assert raw.flush(30) == 0
    assert "budgets were shared out among 2 partitions" in refusal()
    assert said == []


def test_an_unfinished_growing_is_begun_anew_and_finished(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    old = settings(clock="event", partitions=2)
    half = old.model_copy(update={"topic_prefix": f"{old.topic_prefix}p3-", "partitions": 3})
    with Pipeline(old, tmp_path) as pipeline, Watch(pipeline, INPUT) as watch:
        with InputsWriter(old) as writer:
            writer.write_program(parse_program(program()))
        send(old, *(payment(f"p{number}", member_id=f"m{number}") for number in range(20)))
        pipeline.start(WORKER)
        eventually(watch.is_done, timeout_s=WAIT_S)
        pipeline.supervisor.stop(WORKER)
        topics.create(half, [replace(INPUTS, config={TIME_TYPE: "CreateTime"})])
        said: list[str] = []
        grown = grow(old, to=3, prefix=None, discard=True, say=said.append)
    assert said[0].endswith("deleted, they were not finished")
    assert (grown.partitions, grown.events) == (3, 40)
    assert topics.differences(half) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("state_store", ["memory", "rocksdb"])
def test_a_state_that_is_gone_is_made_again_and_nothing_is_sent_twice(
    settings: Callable[..., Settings], tmp_path: Path, seed: int, state_store: str
) -> None:
    ours = settings(clock="event", partitions=2, state=state_store, state_directory=tmp_path / "state")
    history = recent_history(seed)[:400]
    with Pipeline(ours, tmp_path) as pipeline, Watch(pipeline, INPUT, LEDGER) as watch:
        write(ours, Random(seed), history)
        pipeline.start(WORKER, "ledger")
        eventually(watch.is_done, timeout_s=WAIT_S)
        pipeline.supervisor.stop(WORKER)
        rows, events, before = state(pipeline), watch.tail.pull_to_the_end(), whole(ours)
        published = [len(records) for records in events]

        lose(ours)
        pipeline.begin(WORKER)
        eventually(lambda: refusals(pipeline), timeout_s=WAIT_S)
        assert "run `cashback partitions rebuild`" in refusals(pipeline)[0]
        pipeline.supervisor.stop(WORKER)

        rebuilt = rebuild(ours, lambda _: None)
        assert sum(each.rows for each in rebuilt) == len(rows)
        assert state(pipeline) == rows
        pipeline.start(WORKER)
        send(ours, *history)
        eventually(watch.is_done, timeout_s=WAIT_S)
        assert [len(records) for records in watch.tail.pull_to_the_end()] == published
        assert whole(ours) == before


def test_where_nobody_knows_what_is_decided_everything_is_decided_again_only_when_told(
    settings: Callable[..., Settings],
) -> None:
    ours = settings(clock="event", partitions=2)
    topics.ensure(ours)
    send(ours, payment("first"))
    assert rebuild(ours, lambda _: None) == [Rebuilt(partition, 0, 0, 0) for partition in range(2)]
    assert read_all(ours.brokers, STATE.full_name(ours.topic_prefix), 2) == [[], []]
    producer = Producer({"bootstrap.servers": ours.brokers})
    producer.produce(CASHBACK_EVENTS.full_name(ours.topic_prefix), b"published once", b"bank:ann", 1)
    producer.flush(10)
    with pytest.raises(RebuildRefused, match=r"partition 1: state and group offset are both gone"):
        rebuild(ours, lambda _: None)
    rebuild(ours, lambda _: None, repeat_outputs=True)
    written = read_all(ours.brokers, STATE.full_name(ours.topic_prefix), 2)
    positions = [Position.decode(record.value or b"") for records in written for record in records]
    assert [position.next_offset for position in positions] == [0, 0]


def test_a_state_in_the_midst_of_what_falls_due_is_not_made_again(
    settings: Callable[..., Settings],
) -> None:
    """The worker committed a slice of what is due, so that its clock is ahead of its position."""
    ours = settings(clock="event", partitions=1)
    topics.ensure(ours)
    send(ours, payment("decided"))
    brokers, changelog = Brokers(engine_settings(ours)), STATE.full_name(ours.topic_prefix)
    producer = Producer({"bootstrap.servers": ours.brokers})

    def stand(clock: str) -> None:
        producer.produce(changelog, from_iso(clock, "clock").to_bytes(8, "big"), CLOCK_KEY, 0)
        producer.produce(changelog, Position(1, brokers.verify_topics()).encode(), POSITION_KEY, 0)
        producer.flush(10)

    stand("2025-03-02T00:00:00Z")
    with pytest.raises(RebuildRefused, match="run the old code until it is caught up") as refused:
        rebuild(ours, lambda _: None)
    assert "stands at 2025-03-02T00:00:00Z, the log before offset 1 ends at 2025-03-01" in str(refused.value)
    stand(AT)
    (rebuilt,) = rebuild(ours, lambda _: None)
    assert (rebuilt.next_offset, rebuilt.removed) == (1, 0)
    assert rebuilt.rows > 1


def test_a_changelog_that_lost_its_end_is_made_again_up_to_what_the_group_committed(
    settings: Callable[..., Settings], tmp_path: Path
) -> None:
    ours = settings(clock="event", partitions=1)
    with Pipeline(ours, tmp_path) as pipeline, Watch(pipeline, INPUT) as watch:
        send(ours, payment("first"), payment("second"))
        pipeline.start(WORKER)
        eventually(watch.is_done, timeout_s=WAIT_S)
        pipeline.supervisor.stop(WORKER)
        rows = state(pipeline)
        topic_id = Brokers(engine_settings(ours)).verify_topics()
        producer = Producer({"bootstrap.servers": ours.brokers})
        older = Position(1, topic_id, STATE_VERSION).encode()
        producer.produce(STATE.full_name(ours.topic_prefix), older, POSITION_KEY, 0)
        producer.flush(10)
        pipeline.begin(WORKER)
        eventually(lambda: refusals(pipeline), timeout_s=WAIT_S)
        assert "it stands at 1 of its input, but the group has committed offset 2" in refusals(pipeline)[0]
        pipeline.supervisor.stop(WORKER)
        (rebuilt,) = rebuild(ours, lambda _: None)
        assert rebuilt.next_offset == 2
        assert state(pipeline) == rows


def state(pipeline: Pipeline) -> dict[tuple[int, bytes | None], bytes | None]:
    """The rows of all partitions, positions apart."""
    found: dict[tuple[int, bytes | None], bytes | None] = {}
    for partition, records in enumerate(pipeline.read(STATE)):
        for record in records:
            if record.key != POSITION_KEY:
                found[partition, record.key] = record.value
    return {key: value for key, value in found.items() if value is not None}


def lose(settings: Settings) -> None:
    """Delete the changelog and create it empty."""
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    name = STATE.full_name(settings.topic_prefix)
    admin.delete_topics([name])[name].result(30)
    eventually(lambda: name not in admin.list_topics(timeout=10).topics, timeout_s=30)
    topics.create(settings, [STATE])


def refusals(pipeline: Pipeline) -> list[str]:
    """Why the worker left with state it cannot use."""
    lines = pipeline.log_lines(WORKER, "worker leaves")
    return [line["reason"] for line in lines if line["exit"] == "state_unfit"]
