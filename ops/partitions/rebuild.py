"""Makes the state of every partition again from the input log, without sending anything.

For a changelog that is gone, damaged or of another version of the code. State is a fold of the log, so the
log is folded once more up to the offset that is decided already, with nobody listening; then the rows take
the changelog's place. Until the last of them is in, the position says so, and no worker starts on it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from confluent_kafka import KafkaException

from ops.embedded.jars import Say
from ops.partitions.reading import Input, Partition
from ops.settings import Settings
from schemas.times import Micros, to_iso
from schemas.topics import CASHBACK_EVENTS
from streams.engine.brokers import Brokers
from streams.engine.position import POSITION_KEY, UNFINISHED, Position, UnreadablePosition
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStore
from streams.engine.transactions import PartitionTransactions
from streams.fold import CLOCK_KEY, CashbackFold
from streams.quarantine import BadRun
from streams.topology import engine_settings

_ROWS_A_COMMIT = 20_000
_CLOCK_BYTES = 8


class RebuildRefused(Exception):
    """The state cannot be made again; says why and what to do."""


@dataclass(frozen=True)
class Rebuilt:
    """What one partition came to."""

    partition: int
    next_offset: int
    rows: int
    removed: int
    """Rows of the old state that the new one does not have."""


@dataclass(frozen=True)
class _Old:
    """What the changelog holds, of whatever version."""

    keys: set[bytes]
    position: bytes | None
    clock: Micros
    """0 when it has none, or one this code cannot read."""


def rebuild(settings: Settings, say: Say, *, repeat_outputs: bool = False) -> list[Rebuilt]:
    """Rebuild all partitions; a partition that nobody has ever decided anything in is left as it is.

    `repeat_outputs`: where nobody knows what is decided, let the worker decide everything again.

    Raises RebuildRefused, TopicsUnfit, KafkaException.
    """
    engine = engine_settings(settings)
    brokers = Brokers(engine)
    topic_id = brokers.verify_topics()
    found = []
    for partition in range(engine.partitions):
        rebuilt = _rebuild(settings, engine, brokers, partition, topic_id, repeat_outputs)
        found.append(rebuilt)
        say(
            f"partition {partition}: {rebuilt.rows} rows as of offset {rebuilt.next_offset}, "
            f"{rebuilt.removed} old ones removed"
        )
    say("The state is made again: start the workers")
    return found


def _rebuild(
    settings: Settings,
    engine: EngineSettings,
    brokers: Brokers,
    partition: int,
    topic_id: str,
    repeat_outputs: bool,
) -> Rebuilt:
    # What must be refused is, before anybody is thrown out; where the group has an offset nothing has to be.
    if brokers.committed(partition) == 0:
        position = _changelog(engine, partition).position
        _decided(settings, engine, brokers, partition, position, repeat_outputs)
    transactions = PartitionTransactions(engine, partition, brokers)
    try:
        # A worker that still runs is fenced off, and we are when it comes back.
        transactions.fence()
        return _replaced(settings, engine, brokers, transactions, partition, topic_id, repeat_outputs)
    except KafkaException as error:
        if transactions.fenced(error):
            raise RebuildRefused(
                f"partition {partition}: a worker took it back; stop all workers, then run this again"
            ) from error
        raise
    finally:
        transactions.close()


def _replaced(
    settings: Settings,
    engine: EngineSettings,
    brokers: Brokers,
    transactions: PartitionTransactions,
    partition: int,
    topic_id: str,
    repeat_outputs: bool,
) -> Rebuilt:
    old = _changelog(engine, partition)
    next_offset = _decided(settings, engine, brokers, partition, old.position, repeat_outputs)
    if next_offset == 0 and not old.keys and not repeat_outputs:
        return Rebuilt(partition, 0, 0, 0)
    rows = _folded(settings, engine, partition, next_offset)
    if not repeat_outputs:
        _require_caught_up(partition, next_offset, old.clock, _clock(rows.get(CLOCK_KEY)))
    removed = old.keys - rows.keys()
    changes: Iterator[tuple[bytes, bytes | None]] = iter(
        [*rows.items(), *((key, None) for key in sorted(removed))]
    )
    while some := dict(islice(changes, _ROWS_A_COMMIT)):
        transactions.commit(some, Position(next_offset, topic_id, UNFINISHED))
    transactions.commit({}, Position(next_offset, topic_id, engine.state_version))
    return Rebuilt(partition, next_offset, len(rows), len(removed))


def _require_caught_up(partition: int, next_offset: int, old: Micros, new: Micros) -> None:
    """What falls due is published in slices, and the position moves after the last of them."""
    if old > new:
        raise RebuildRefused(
            f"partition {partition}: the old state stands at {to_iso(old)}, the log before offset "
            f"{next_offset} ends at {to_iso(new)}: part of what fell due between is published, and would be "
            "once more; run the old code until it is caught up, then run this again"
        )


def _clock(row: bytes | None) -> Micros:
    return int.from_bytes(row, "big") if row is not None and len(row) == _CLOCK_BYTES else 0


def _changelog(engine: EngineSettings, partition: int) -> _Old:
    log = Partition(engine.brokers, engine.changelog_topic, partition)
    keys: set[bytes] = set()
    position, clock = None, 0
    try:
        for message in log.read(*log.bounds()):
            key, value = message.key(), message.value()
            if key == POSITION_KEY:
                position = value
            elif key is not None and value is not None:
                keys.add(key)
                clock = _clock(value) if key == CLOCK_KEY else clock
            elif key is not None:
                keys.discard(key)
    finally:
        log.close()
    return _Old(keys, position, clock)


def _decided(
    settings: Settings,
    engine: EngineSettings,
    brokers: Brokers,
    partition: int,
    position: bytes | None,
    repeat_outputs: bool,
) -> int:
    """The first offset that is not decided: of state and group, who remembers more."""
    committed = brokers.committed(partition)
    if position is not None:
        try:
            return max(committed, Position.decode(position).next_offset)
        except UnreadablePosition:
            pass  # of a newer code; the group knows it as far as it was told
    if committed == 0 and not repeat_outputs:
        events = Partition(engine.brokers, CASHBACK_EVENTS.full_name(settings.topic_prefix), partition)
        try:
            _, high = events.bounds()
        finally:
            events.close()
        if high > 0:
            raise RebuildRefused(
                f"partition {partition}: state and group offset are both gone, but events were published: "
                "nobody knows up to where. With --repeat-outputs the worker decides everything again and "
                "publishes it once more under the same ids, of which the ledger takes none twice"
            )
    return committed


def _folded(settings: Settings, engine: EngineSettings, partition: int, end: int) -> dict[bytes, bytes]:
    log = Partition(engine.brokers, engine.input_topic, partition)
    try:
        low, high = log.bounds()
        if low > 0 or high < end:
            raise RebuildRefused(
                f"{engine.input_topic}[{partition}]: {end} records are decided, the log has those from {low} "
                f"to {high}: bring the others back from the archive"
            )
        store = MemoryStore()
        fold = CashbackFold(
            partition,
            store,
            lambda _topic, _key, _value, _headers=None: None,
            settings,
            input_topic=engine.input_topic,
            bad_run=BadRun(0),
            report=lambda _: None,
            pause=lambda _: None,
        )
        fold.restored()
        for message in log.read(0, end):
            record = Input(message)
            while fold.advance(record):
                pass
            fold.apply(record)
        fold.before_commit()
    finally:
        log.close()
    return dict(store.items())
