"""The real state machine of the partitions over a log held in memory, with commits and crashes between.

What a crash undoes is what one Kafka transaction would: state, outputs and offset since the last commit.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from zlib import crc32

from ops.settings import Settings
from schemas.clock import clock_header
from schemas.codec import decode, encode
from schemas.programs import parse_program, to_datum
from schemas.times import EARLIEST, from_iso
from schemas.topics import INPUTS
from schemas.transactions import from_json
from schemas.transactions import to_datum as transaction_datum
from streams.engine.store import MemoryStore
from streams.fold import CashbackFold
from streams.quarantine import BadRun
from tests.histories import History

Datum = dict[str, Any]

CRASHES_MAX = 50
"""Of one partition, so that an unlucky run ends."""


@dataclass
class Record:
    """A record of the input log."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    topic: str = INPUTS.name
    timestamp: int = 0


@dataclass
class Published:
    """What came out, by topic: decoded, in the order of each partition; the quarantine as headers."""

    by_topic: dict[str, list[Datum]] = field(default_factory=dict)
    crashes: int = 0

    def of(self, topic: str) -> list[Datum]:
        """What was published on `topic`."""
        return self.by_topic.get(topic, [])


def run_partitions(history: History, rng: Random, *, partitions: int, crash_percent: int) -> Published:
    """Lay the history out over partitions as the loader does, and run each to its end."""
    published = Published()
    settings = Settings(clock="event", due_slice=rng.choice((1, 2, 1000)))
    for log in logs(history, partitions):
        _Partition(log, settings, rng, crash_percent, published).run()
    return published


def logs(history: History, partitions: int) -> list[list[Record]]:
    """The log of each partition: programs, its members' inputs with the clock of the whole file, a Tick."""
    built: list[list[Record]] = [[] for _ in range(partitions)]

    def append(partition: int, key: bytes, value: bytes, clock: int) -> None:
        log = built[partition]
        log.append(Record(partition, len(log), key, value, (clock_header(clock),)))

    for program in history.programs:
        spec = parse_program(program)
        for partition in range(partitions):
            append(partition, spec.key, encode("Program", to_datum(spec)), EARLIEST)
    clock = EARLIEST
    for line in history.transactions:
        transaction = from_json(line)
        clock = max(clock, transaction.occurred_at)
        partition = crc32(transaction.key) % partitions
        append(partition, transaction.key, encode("Transaction", transaction_datum(transaction)), clock)
    if history.until is not None:
        clock = max(clock, from_iso(history.until, "until"))
    for partition in range(partitions):
        append(partition, b"tick", encode("Tick", {"emitted_at": clock}), clock)
    return built


class _Partition:
    def __init__(
        self, log: list[Record], settings: Settings, rng: Random, crash_percent: int, published: Published
    ) -> None:
        self.log = log
        self.settings = settings
        self.rng = rng
        self.crash_percent = crash_percent
        self.published = published
        self.rows: dict[bytes, bytes] = {}
        self.uncommitted: list[tuple[str, Datum]] = []
        self.next_offset = 0
        self.crashes = 0

    def run(self) -> None:
        """Work until all is committed, however often it crashes."""
        while self.next_offset < len(self.log):
            self._life()

    def _life(self) -> None:
        """From a restart to the next crash, or to the end of the log."""
        store = MemoryStore()
        for key, value in self.rows.items():
            store.load(key, value)
        fold = CashbackFold(
            self.log[0].partition,
            store,
            self._send,
            self.settings,
            input_topic=INPUTS.name,
            bad_run=BadRun(0),
            report=lambda _: None,
            pause=_never,
        )
        fold.restored()
        self.uncommitted = []
        for record in self.log[self.next_offset :]:
            while fold.advance(record):
                self._commit(fold, store, record.offset)
                if self._crashes():
                    return
            fold.apply(record)
            if self._crashes():
                return
            if self.rng.randint(0, 2) == 0 or record is self.log[-1]:
                self._commit(fold, store, record.offset + 1)

    def _crashes(self) -> bool:
        if self.crashes == CRASHES_MAX or self.rng.randint(0, 99) < 100 - self.crash_percent:
            return False
        self.crashes += 1
        self.published.crashes += 1
        return True

    def _commit(self, fold: CashbackFold, store: MemoryStore, next_offset: int) -> None:
        fold.before_commit()
        for key, value in store.drain_dirty().items():
            if value is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = value
        for topic, datum in self.uncommitted:
            self.published.by_topic.setdefault(topic, []).append(datum)
        self.uncommitted = []
        self.next_offset = next_offset

    def _send(
        self, topic: str, key: bytes, value: bytes, headers: Iterable[tuple[str, bytes]] | None = None, /
    ) -> None:
        datum = dict(headers or ()) if topic == "quarantine" else decode(value)[1]
        self.uncommitted.append((topic, datum))


def _never(reason: str) -> None:
    raise AssertionError(f"paused: {reason}")
