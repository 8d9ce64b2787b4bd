"""One worker over a preloaded log, and its peers over the same: the bare loop, and stock Faust."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka.admin import AdminClient, NewTopic

from connectors.writer import InputsUnavailable, InputsWriter, inputs_producer
from ops import topics
from ops.bench import bare, history, stock
from ops.bench.history import Input
from ops.bench.measure import Measured, Task, measure, module, rate_of_outputs
from ops.settings import Settings
from schemas.programs import ProgramSpec
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, TOPICS
from streams.topology import APP

START_TIMEOUT_S = 60.0
SLOWEST_PER_S = 500
SLOWEST_STOCK_PER_S = 50
_PEER_EVENTS = "peer-events"
_WRITES_A_POLL = 1_000


@dataclass(frozen=True)
class Pair:
    """A bare run and one of ours, right after each other over the same log."""

    bare: Measured
    ours: Measured

    @property
    def ratio(self) -> float:
        """Our rate as a share of the bare loop's."""
        return self.ours.per_s / self.bare.per_s


def pair_of_runs(settings: Settings, records: list[Input], logs: Path) -> Pair:
    """Measure the bare loop and then our worker over `records`. Raises `BenchFailed`."""
    with preloaded(settings, records) as loaded:
        timeout_s = START_TIMEOUT_S + len(records) / SLOWEST_PER_S
        bare_task = peer("ops.bench.bare", bare.GROUP, loaded)
        return Pair(
            bare=measure(bare_task, loaded, logs / "bare.log", timeout_s=timeout_s),
            ours=measure(worker(loaded), loaded, logs / "worker.log", timeout_s=timeout_s),
        )


def stock_per_s(settings: Settings, records: list[Input], logs: Path, *, outputs: int) -> float:
    """Outputs a second of stock Faust over `records`, from the first of `outputs` to the last."""
    with preloaded(settings, records) as loaded:
        task = peer("ops.bench.stock", stock.GROUP, loaded)
        timeout_s = START_TIMEOUT_S + outputs / SLOWEST_STOCK_PER_S
        return rate_of_outputs(task, loaded, logs / "stock.log", outputs=outputs, timeout_s=timeout_s)


def worker(settings: Settings) -> Task:
    """Our stream worker."""
    outputs = tuple(topic.full_name(settings.topic_prefix) for topic in (CASHBACK_EVENTS, DECISIONS))
    return Task(module("streams.worker"), settings.topic_prefix + APP, outputs)


def peer(name: str, group: str, settings: Settings) -> Task:
    """A peer that writes to the topic made for peers."""
    output = settings.topic_prefix + _PEER_EVENTS
    return Task(module(name, output), settings.topic_prefix + group, (output,))


@contextmanager
def preloaded(
    settings: Settings, records: list[Input], programs: Sequence[ProgramSpec] | None = None
) -> Iterator[Settings]:
    """Topics under a prefix of their own, `inputs` holding programs and `records`; deleted at the end.

    Without `programs` it is the one campaign of the history.
    """
    prefix = f"{settings.topic_prefix}bench-{uuid4().hex[:8]}-"
    loaded = settings.model_copy(update={"topic_prefix": prefix, "clock": "event"})
    admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 3})
    peers = NewTopic(prefix + _PEER_EVENTS, loaded.partitions, 1)
    for answer in admin.create_topics([peers]).values():
        answer.result()
    topics.create(loaded)
    _await_topics(loaded)
    try:
        _load(loaded, records, [history.campaign()] if programs is None else programs)
        yield loaded
    finally:
        made = [topic.full_name(prefix) for topic in TOPICS] + [prefix + _PEER_EVENTS]
        for answer in admin.delete_topics(made).values():
            answer.result()


def _await_topics(settings: Settings) -> None:
    """A topic that was created may take a moment to be known to all of the broker."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while found := topics.differences(settings):
        if time.monotonic() > deadline:
            raise topics.TopicsDiffer(found)
        time.sleep(0.1)


def _load(settings: Settings, records: list[Input], programs: Sequence[ProgramSpec]) -> None:
    with InputsWriter(settings) as writer:
        for program in programs:
            writer.write_program(program)
    topic = INPUTS.full_name(settings.topic_prefix)
    failures: list[Any] = []
    options = {
        "delivery.report.only.error": True,
        "queue.buffering.max.messages": len(records) + 1,
        "queue.buffering.max.kbytes": 2**20,
    }
    producer = inputs_producer(settings, delivered=lambda error, _: failures.append(error), **options)
    for number, record in enumerate(records):
        producer.produce(topic, record.value, record.key, -1, None, None, 0, [record.clock])
        if not number % _WRITES_A_POLL:
            producer.poll(0)
    if producer.flush(START_TIMEOUT_S) or failures:
        raise InputsUnavailable(f"{topic}: the records to measure with could not be written")
