"""One made-up history: the input log of every partition, and what was truly said in it."""

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from ops.oracle.terms import Terms
from ops.simulation import arrivals, parked, reversals, said
from ops.simulation.arrivals import Draw, Item, Line
from ops.simulation.programs import STARTS
from schemas.clock import CLOCK_HEADER, clock_header
from schemas.times import DAY, EARLIEST, Micros, from_iso
from schemas.topics import INPUTS

BEGINNINGS = tuple(from_iso(start.isoformat(), "start") for start in STARTS)


@dataclass(slots=True)
class Record:
    """A record of the input log, as the engine takes it."""

    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    topic: str = INPUTS.name


@dataclass(slots=True)
class PartitionLog:
    """The log of one partition, and beside it what was said, for the recomputation.

    `clocks`: where the clock stands, by record; `lines`: (clock, input) of each readable input in order,
    `line_offsets` its place; `refused`: why others must be set aside; `published`: how many lines lie before
    a version.
    """

    records: list[Record] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    clocks: list[Micros] = field(default_factory=list)
    lines: list[tuple[Micros, Line]] = field(default_factory=list)
    line_offsets: list[int] = field(default_factory=list)
    refused: dict[int, str] = field(default_factory=dict)
    published: dict[tuple[str, int], int] = field(default_factory=dict)
    terms: list[Terms] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The offset after the last record."""
        return self.offsets[-1] + 1


@dataclass(slots=True)
class History:
    """`clock`, `due_slice` and `bad_input_limit` are the settings of that name."""

    logs: list[PartitionLog]
    clock: str
    due_slice: int
    bad_input_limit: int
    items: int
    kinds: Counter[str]
    """How often what is in it."""


def make_history(seed: int, without: frozenset[int] = frozenset()) -> History:
    """The history of a seed; `without` leaves out some of what arrives, by its number."""
    rng = Random(seed)
    draw = rng.random
    partitions = (1, 1, 1, 2, 2, 2, 3)[int(draw() * 7)]
    by_broker = draw() < 0.6
    beginning = int(draw() * len(BEGINNINGS))
    start = BEGINNINGS[beginning]
    items = arrivals.programs(draw, beginning, start)
    payments = arrivals.payments(draw, start, partitions)
    versions = [item.version for item in items if item.version is not None]
    items += payments
    items += said.grants(draw, start, versions, payments, partitions)
    items += said.revocations(draw, versions, payments, partitions)
    # By numbers of its own: the seeds of before it are the same histories, where it says nothing.
    items += parked.decisions(Random(f"parked {seed}").random, start, payments, partitions)
    items += reversals.decisions(draw, start, versions, items, partitions)
    items += arrivals.spoilt(draw, payments, partitions)
    items.sort(key=lambda item: item.at)
    last = max(item.at for item in items)
    if by_broker:
        items += arrivals.ticks(draw, start, last, partitions)
        items.sort(key=lambda item: item.at)
    until = last + (0, 1, 15 * DAY, 31 * DAY, 62 * DAY, 400 * DAY)[int(draw() * 6)]
    items.append(Item(until, -1, "tick", b"tick", arrivals.tick(until)))
    due_slice, bad_input_limit = (1, 2, 1000)[int(draw() * 3)], 2 if draw() < 0.3 else 0
    kept = [item for number, item in enumerate(items) if number not in without] if without else items
    # Drawn last: what is left out must change nothing else.
    logs = _Logs(draw, partitions, by_broker)
    return History(
        logs.laid_out(kept),
        clock="broker" if by_broker else "event",
        due_slice=due_slice,
        bad_input_limit=bad_input_limit,
        items=len(items),
        kinds=logs.kinds,
    )


class _Logs:
    """Lays items out in partitions, with offsets, timestamps and the clock that each record carries."""

    def __init__(self, draw: Draw, partitions: int, by_broker: bool) -> None:
        self.draw = draw
        self.by_broker = by_broker
        self.logs = [PartitionLog() for _ in range(partitions)]
        self.has_gaps = draw() < 0.3
        self.behind = _behind(draw) if draw() < 0.3 else (0.0, 0.0, 0)
        self.lag = 0
        self.clock = EARLIEST
        self.latest = EARLIEST
        self.kinds: Counter[str] = Counter()

    def laid_out(self, items: list[Item]) -> list[PartitionLog]:
        begin, end, lag = self.behind
        for number, item in enumerate(items):
            self.lag = lag if begin <= number / len(items) < end else 0
            self.kinds[item.kind] += 1
            if not self.by_broker and item.line is not None and item.kind == "payment":
                self.clock = max(self.clock, item.line["occurred_at"])
            if not self.by_broker and item is items[-1]:
                self.clock = max(self.clock, item.at)
            for partition in range(len(self.logs)) if item.partition < 0 else (item.partition,):
                self._append(partition, item)
        return self.logs

    def _append(self, partition: int, item: Item) -> None:
        log, draw = self.logs[partition], self.draw
        named = item.version and (item.version.terms.program_id, item.version.terms.version)
        if item.reason and named and named not in log.published:
            return  # contradicts nothing: what came first was left out
        offset = log.offsets[-1] + 1 if log.offsets else 0
        if self.has_gaps and draw() < 0.15:
            offset += 1 + int(draw() * 3)
        before = log.clocks[-1] if log.clocks else EARLIEST
        timestamp, clock = item.at // 1_000, self.clock
        headers: tuple[tuple[str, bytes], ...] = ()
        if self.by_broker:
            if self.lag:
                self.kinds["clock behind"] += 1
                timestamp -= self.lag
            clock = timestamp * 1_000
        elif draw() < 0.03 and before > EARLIEST:
            self.kinds["damaged clock"] += 1
            headers, clock = ((CLOCK_HEADER, b"soon"),), before
        else:
            headers = (clock_header(clock),)
        clock = max(before, clock)
        log.records.append(Record(partition, offset, timestamp, item.key, item.value, headers))
        log.offsets.append(offset)
        log.clocks.append(clock)
        if item.line is not None:
            if item.kind == "payment":
                self.kinds["out of order"] += item.line["occurred_at"] < self.latest
                self.latest = max(self.latest, item.line["occurred_at"])
            log.lines.append((clock, item.line))
            log.line_offsets.append(offset)
        elif item.reason:
            log.refused[offset] = item.reason
        elif item.version is not None and named and named not in log.published:
            log.published[named] = len(log.lines)
            self.kinds["program in mid-log"] += bool(log.lines)
            log.terms.append(item.version.terms)


def _behind(draw: Draw) -> tuple[float, float, int]:
    """Another leader, whose clock is behind: which part of the log it appends, and by how many ms."""
    begin = draw() / 2
    most = (3_600_000, 3 * 86_400_000, 30 * 86_400_000)[int(draw() * 3)]
    return begin, begin + draw(), 1 + int(draw() * most)
