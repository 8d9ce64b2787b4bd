"""The input log is the truth: read into an empty system it gives the same events and the same ledger."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from random import Random
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from connectors.writer import InputsWriter
from ops.settings import Settings
from ops.torture.payments import mixed_inputs, mixed_programs
from schemas.programs import parse_program
from schemas.times import from_iso
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, QUARANTINE, REVERSAL_CASES, STATE
from schemas.transactions import from_json
from streams.topology import APP
from tests.e2e.bad_inputs import bad_inputs
from tests.e2e.book import Book
from tests.e2e.pipeline import WORKERS, Pipeline
from tests.e2e.watch import INPUT, LEDGER, Watch
from tests.eventually import eventually
from tests.histories import Line, iso

WRITTEN = 3_000
WAIT_S = 120.0
DERIVED = (CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES, QUARANTINE, STATE)
"""Everything but the log itself and the catalogue."""

Everything = dict[str, list[Any]]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("clock", ["event", "broker"])
def test_the_same_inputs_read_into_an_empty_system_give_the_same_events_and_ledger(
    settings: Callable[..., Settings],
    empty_database: Callable[[], str],
    tmp_path: Path,
    seed: int,
    clock: str,
) -> None:
    first = settings(clock=clock)
    before = lived(Pipeline(first, directory(tmp_path, "first")), Random(seed))
    empty(first)
    second = first.model_copy(update={"database_url": empty_database()})
    after = rebuilt(Pipeline(second, directory(tmp_path, "second")))

    assert before.keys() == after.keys()
    different = {name: unlike(before[name], after[name]) for name in before if before[name] != after[name]}
    assert not different
    assert all(before.values()), {name: len(rows) for name, rows in before.items()}
    reasons = {headers["cashback.reason"] for _, _, headers in before[QUARANTINE.name]}
    assert reasons == {"undecodable", "rejected", "conflict"}


def lived(pipeline: Pipeline, rng: Random) -> Everything:
    """A life of today, as the clock may be the broker's: two workers, bad input, kills."""
    now = datetime.now(UTC)
    lines = list(mixed_inputs(WRITTEN, rng.randrange(2**32), members=100, start=now - timedelta(days=20)))
    with pipeline, Watch(pipeline, INPUT, LEDGER) as watch:
        pipeline.register("bank")
        pipeline.start(*WORKERS, "ledger")
        write(pipeline.settings, rng, lines[: WRITTEN // 2])
        eventually(lambda: decided(watch) > WRITTEN // 8, timeout_s=WAIT_S)
        for name in (WORKERS[0], "ledger"):
            pipeline.supervisor.kill(name)
        write(pipeline.settings, rng, lines[WRITTEN // 2 :])
        if pipeline.settings.clock == "event":
            with InputsWriter(pipeline.settings) as writer:
                writer.tick(from_iso(iso(now + timedelta(days=60)), "now"))
        eventually(watch.is_done, timeout_s=WAIT_S)
        return everything(pipeline)


def rebuilt(pipeline: Pipeline) -> Everything:
    """What comes of the log when nothing disturbs."""
    with pipeline, Watch(pipeline, INPUT, LEDGER) as watch:
        pipeline.register("bank")
        pipeline.start(WORKERS[0], "ledger")
        eventually(watch.is_done, timeout_s=WAIT_S)
        return everything(pipeline)


def write(settings: Settings, rng: Random, lines: Sequence[Line]) -> None:
    """Programs, payments, contradictions of some of them, and one of every bad input among them."""
    bad = {rng.randrange(len(lines)): row for row in bad_inputs()}
    raw = Producer({"bootstrap.servers": settings.brokers, "partitioner": "murmur2_random"})
    with InputsWriter(settings) as writer:
        for program in mixed_programs():
            writer.write_program(parse_program(program))
        for number, line in enumerate(lines):
            writer.write(from_json(line))
            if rng.random() < 0.02:
                writer.write(from_json({**line, "amount_minor": line["amount_minor"] + 1}))
            if number in bad:
                raw.produce(INPUTS.full_name(settings.topic_prefix), bad[number].value, bad[number].key)
    assert raw.flush(30) == 0


def decided(watch: Watch) -> int:
    """How many inputs are decided."""
    return sum(place.done for place in watch.look()[INPUT].values())


def empty(settings: Settings) -> None:
    """Take away all that was derived from the log: topics, state, positions. The log stays."""
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
    names = [topic.full_name(settings.topic_prefix) for topic in DERIVED]
    for deleted in admin.delete_topics(names).values():
        deleted.result(30)
    eventually(lambda: not set(names) & set(admin.list_topics(timeout=10).topics), timeout_s=30)
    eventually(lambda: forgotten(admin, settings.topic_prefix + APP), timeout_s=60, every_s=0.5)


def forgotten(admin: AdminClient, group: str) -> bool:
    """Whether the group could be deleted: only once the sessions of its static members are over."""
    try:
        admin.delete_consumer_groups([group])[group].result(30)
    except KafkaException:
        return False
    return True


def everything(pipeline: Pipeline) -> Everything:
    """All that came of the log, byte for byte: each topic by partition in its order, and the ledger."""
    found: Everything = {}
    for topic in (CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES):
        found[topic.name] = [
            [(record.key, record.value) for record in records] for records in pipeline.read(topic)
        ]
    # A record with a wrong key may have left its partition: in the order of the log then.
    refused = sorted(
        (record for records in pipeline.read(QUARANTINE) for record in records), key=attrgetter("origin")
    )
    found[QUARANTINE.name] = [(record.key, record.value, record.said) for record in refused]
    states = [{record.key: record.value for record in records} for records in pipeline.read(STATE)]
    found[STATE.name] = [sorted(state.items()) for state in states]
    book = Book(pipeline.settings.database_url)
    try:
        return {**found, **book.whole()}
    finally:
        book.close()


def unlike(before: list[Any], after: list[Any]) -> str:
    """Where two lists part."""
    for place, (one, other) in enumerate(zip(before, after, strict=False)):
        if one != other:
            inside = unlike(one, other) if isinstance(one, list) else f"{one} / {other}"
            return f"[{place}] {inside}"
    return f"{len(before)} and {len(after)} of them"


def directory(above: Path, name: str) -> Path:
    """A new directory."""
    made = above / name
    made.mkdir()
    return made
