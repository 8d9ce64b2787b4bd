"""Fills a store from its changelog, up to the last stable offset.

Faust's own recovery waits to *consume* the last offset, which never comes when that offset was compacted away
or is a transaction marker. Here the end-of-partition event ends the restore: it says the reader stands at the
last stable offset, whatever lies there. One below the stable offset asked for before is told by a leader just
elected, whose own mark is behind for a moment: the restore reads on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import KafkaError, KafkaException, TopicPartition

from streams.engine.brokers import Bounds, Brokers
from streams.engine.position import POSITION_KEY, UNFINISHED, Position, UnreadablePosition
from streams.engine.settings import EngineSettings
from streams.engine.store import DamagedState, Standing, StateStore

Progress = Callable[[int, int], None]
"""Told how many offsets of the changelog are passed, of how many."""

_READING = {
    "enable.auto.commit": False,
    "auto.offset.reset": "earliest",
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
    "fetch.wait.max.ms": 20,
    "queued.max.messages.kbytes": 32_768,
}


class RestoreCancelled(Exception):
    """The partition was taken away while it was restored."""


class RestoreStuck(Exception):
    """The changelog yields nothing although its end is not reached."""


class PositionOutsideLog(Exception):
    """The state says to read on at an offset the input log does not have: they do not belong together."""


class StateUnfit(Exception):
    """The changelog cannot be used by this code, or is gone; a restart does not help."""


@dataclass(frozen=True, slots=True)
class Restored:
    store: StateStore
    next_offset: int
    rows: int
    """Changelog records read."""
    seconds: float


def restore(
    settings: EngineSettings,
    partition: int,
    store: StateStore,
    *,
    brokers: Brokers,
    topic_id: str,
    cancelled: threading.Event,
    progress: Progress = lambda _passed, _expected: None,
) -> Restored:
    """Read what a store lacks of the changelog, whose former owner is fenced already; check its position.

    Raises RestoreCancelled, RestoreStuck, PositionOutsideLog, StateUnfit, DamagedState, KafkaException.
    """
    started = monotonic()
    bounds = brokers.bounds(settings.changelog_topic, partition)
    standing, rows = store.standing, 0
    if standing is not None and not bounds.low <= standing.changelog_next <= bounds.high:
        raise DamagedState(
            f"it stands at {standing.changelog_next} of the changelog, which spans {bounds.low}-{bounds.high}"
        )
    if bounds.high > (standing.changelog_next if standing else 0):
        rows, standing = _read(settings, partition, store, brokers, cancelled, bounds, progress)
    position = None if standing is None else standing.position
    store.stand_at(standing)
    next_offset = _check(settings, partition, brokers, position, topic_id, len(store))
    return Restored(store, next_offset, rows, monotonic() - started)


def require_changelog(settings: EngineSettings, brokers: Brokers) -> None:
    """Refuse an empty changelog beside outputs: both are written in the same transactions.

    Raises StateUnfit, KafkaException.
    """

    def is_empty(topic: str) -> bool:
        return all(brokers.bounds(topic, partition).high == 0 for partition in range(settings.partitions))

    # The outputs first: what another worker writes meanwhile is then in both.
    written = [topic for topic in settings.output_topics if not is_empty(topic)]
    if written and is_empty(settings.changelog_topic):
        raise StateUnfit(
            f"{settings.changelog_topic}: it is empty, but {' and '.join(written)} hold what was decided: "
            f"it was deleted. To decide everything again would repeat all outputs; {settings.rebuild_remedy}."
        )


def _read(
    settings: EngineSettings,
    partition: int,
    store: StateStore,
    brokers: Brokers,
    cancelled: threading.Event,
    bounds: Bounds,
    progress: Progress,
) -> tuple[int, Standing | None]:
    begin = store.standing.changelog_next if store.standing else 0
    position = store.standing.position.encode() if store.standing else None
    consumer = brokers.consumer(_READING | {"group.id": f"{settings.app_id}-restore"})
    consumer.assign([TopicPartition(settings.changelog_topic, partition, begin)])
    rows, heard_at, load = 0, monotonic(), store.load
    try:
        while True:
            messages = consumer.consume(10_000, 0.1)
            if cancelled.is_set():
                raise RestoreCancelled
            for message in messages:
                if (error := message.error()) is not None:
                    if error.code() == KafkaError._PARTITION_EOF:
                        if (end := message.offset() or 0) < bounds.high:
                            continue
                        progress(bounds.high - bounds.low, bounds.high - bounds.low)
                        return rows, _standing(settings, partition, position, end)
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


def _standing(
    settings: EngineSettings, partition: int, position: bytes | None, changelog_next: int
) -> Standing | None:
    if position is None:
        return None
    try:
        return Standing(Position.decode(position), changelog_next)
    except UnreadablePosition as error:
        raise StateUnfit(f"{_state(settings, partition)}: {error}. {_run_or_rebuild(settings)}") from error


def _check(
    settings: EngineSettings,
    partition: int,
    brokers: Brokers,
    position: Position | None,
    topic_id: str,
    rows: int,
) -> int:
    """The offset to read on at. Whatever does not fit together is refused: nothing is skipped or repeated."""
    if position is None:
        _require_unborn(settings, partition, brokers, rows)
    elif position.state_version == UNFINISHED:
        raise StateUnfit(
            f"{_state(settings, partition)}: a rebuild of it did not end: {settings.rebuild_remedy}."
        )
    elif position.state_version != settings.state_version:
        raise StateUnfit(
            f"{_state(settings, partition)}: its rows have version {position.state_version}, this code has "
            f"{settings.state_version}. {_run_or_rebuild(settings)}"
        )
    log = f"{settings.input_topic}[{partition}]"
    bounds = brokers.bounds(settings.input_topic, partition)
    next_offset = 0 if position is None else position.next_offset
    if position is not None and position.topic_id != topic_id:
        raise PositionOutsideLog(
            f"{log}: the state was made from another topic of this name (id {position.topic_id}, now "
            f"{topic_id}): it was deleted and created anew. Restore the topic that the state belongs to, or "
            "begin anew under another topic prefix."
        )
    if next_offset < bounds.low:
        raise PositionOutsideLog(
            f"{log}: the state stands at {next_offset} but the log begins at {bounds.low}: retention removed "
            "records the state has not seen. Bring them back from the archive, or a state that saw them."
        )
    if next_offset > bounds.high:
        raise PositionOutsideLog(
            f"{log}: the state stands at {next_offset} but the log ends at {bounds.high}: the log lost "
            "records the state has seen. Bring them back from the archive or a replica."
        )
    if position is not None:
        _require_whole(settings, partition, brokers, next_offset)
    return next_offset


def _require_unborn(settings: EngineSettings, partition: int, brokers: Brokers, rows: int) -> None:
    """Without a position nothing may have been decided: it would all be decided again, and sent twice."""
    committed = brokers.committed(partition)
    if rows or committed:
        raise StateUnfit(
            f"{_state(settings, partition)}: it has no position, but "
            + (f"the group has committed offset {committed} of its input" if committed else f"{rows} rows")
            + f": it was deleted or cut. To decide everything again would repeat all outputs; "
            f"{settings.rebuild_remedy}."
        )


def _require_whole(settings: EngineSettings, partition: int, brokers: Brokers, next_offset: int) -> None:
    """The group is told of a position after its commit: one behind the group is that of an older state."""
    committed = brokers.committed(partition)
    if committed > next_offset:
        raise StateUnfit(
            f"{_state(settings, partition)}: it stands at {next_offset} of its input, but the group has "
            f"committed offset {committed}: it lost its end. To decide that again would repeat outputs; "
            f"{settings.rebuild_remedy}. If the group's offset was moved by hand, move it back to "
            f"{next_offset}."
        )


def _state(settings: EngineSettings, partition: int) -> str:
    return f"{settings.changelog_topic}[{partition}]"


def _run_or_rebuild(settings: EngineSettings) -> str:
    return f"Run the code that wrote it, or {settings.rebuild_remedy}."
