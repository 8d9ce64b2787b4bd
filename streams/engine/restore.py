"""Fills a store from its changelog, up to the last stable offset.

Faust's own recovery waits to *consume* the last offset, which never comes when that offset was compacted away
or is a transaction marker. Here the end-of-partition event ends the restore: it says the reader stands at the
last stable offset, whatever lies there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.engine.brokers import Bounds, Brokers
from streams.engine.position import POSITION_KEY, Position
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStore

Progress = Callable[[int, int], None]
"""Told how many offsets of the changelog are passed, of how many."""


class RestoreCancelled(Exception):
    """The partition was taken away while it was restored."""


class RestoreStuck(Exception):
    """The changelog yields nothing although its end is not reached."""


class PositionOutsideLog(Exception):
    """The state says to read on at an offset the input log does not have: they do not belong together."""


@dataclass(frozen=True, slots=True)
class Restored:
    store: MemoryStore
    next_offset: int
    rows: int
    """Changelog records read."""
    seconds: float


def restore(
    settings: EngineSettings,
    partition: int,
    *,
    brokers: Brokers,
    topic_id: str,
    cancelled: threading.Event,
    progress: Progress = lambda _passed, _expected: None,
) -> Restored:
    """Read the changelog of a partition whose former owner is fenced already, and check its position.

    Raises RestoreCancelled, RestoreStuck, PositionOutsideLog, UnreadablePosition, KafkaException.
    """
    started = monotonic()
    store = MemoryStore()
    rows = 0
    position: Position | None = None
    bounds = brokers.bounds(settings.changelog_topic, partition)
    if bounds.high > 0:
        rows, encoded = _read(settings, partition, store, brokers, cancelled, bounds, progress)
        position = None if encoded is None else Position.decode(encoded)
    next_offset = _check(settings, partition, brokers, position, topic_id)
    return Restored(store, next_offset, rows, monotonic() - started)


def _read(
    settings: EngineSettings,
    partition: int,
    store: MemoryStore,
    brokers: Brokers,
    cancelled: threading.Event,
    bounds: Bounds,
    progress: Progress,
) -> tuple[int, bytes | None]:
    consumer = brokers.consumer(
        {
            "group.id": f"{settings.app_id}-restore",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "fetch.wait.max.ms": 20,
            "queued.max.messages.kbytes": 32_768,
        }
    )
    consumer.assign([TopicPartition(settings.changelog_topic, partition, 0)])
    rows, position, heard_at, load = 0, None, monotonic(), store.load
    try:
        while True:
            messages = consumer.consume(10_000, 0.1)
            if cancelled.is_set():
                raise RestoreCancelled
            for message in messages:
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        progress(bounds.high - bounds.low, bounds.high - bounds.low)
                        return rows, position
                    if not error.retriable():
                        raise KafkaException(error)
                    continue
                heard_at = monotonic()
                rows += 1
                key = message.key()
                if key == POSITION_KEY:
                    position = message.value()
                elif key is not None:
                    load(key, message.value())
            if messages and (offset := messages[-1].offset()) is not None:
                progress(offset + 1 - bounds.low, bounds.high - bounds.low)
            if monotonic() - heard_at > settings.restore_timeout_ms / 1_000:
                raise RestoreStuck(
                    f"changelog partition {partition}: nothing read for {settings.restore_timeout_ms} ms"
                )
    finally:
        consumer.close()


def _check(
    settings: EngineSettings, partition: int, brokers: Brokers, position: Position | None, topic_id: str
) -> int:
    log = f"{settings.input_topic}[{partition}]"
    bounds = brokers.bounds(settings.input_topic, partition)
    next_offset = 0 if position is None else position.next_offset
    if position is not None and position.topic_id != topic_id:
        raise PositionOutsideLog(
            f"{log}: the state was made from another topic of this name (id {position.topic_id}, now "
            f"{topic_id}): it was deleted and created anew. Rebuild the state from the present log."
        )
    if next_offset < bounds.low:
        raise PositionOutsideLog(
            f"{log}: the state stands at {next_offset} but the log begins at {bounds.low}: retention removed "
            "records the state has not seen. Bring them back from the archive, or a state that saw them."
        )
    if next_offset > bounds.high:
        raise PositionOutsideLog(
            f"{log}: the state stands at {next_offset} but the log ends at {bounds.high}: the log lost "
            "records the state has seen. Rebuild the state from the log as it is."
        )
    return next_offset
