"""One made-up history: the input log of every partition, and what was truly said in it.

Made for speed: a history takes a fraction of a millisecond, programs are made once and drawn by number.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from ops.oracle.terms import Terms, read_terms
from ops.simulation.programs import BASKETS, SMALL_BASKETS, STARTS, open_campaign, program_versions
from schemas.clock import CLOCK_HEADER, clock_header
from schemas.codec import encode
from schemas.programs import parse_program, to_datum
from schemas.times import DAY, EARLIEST, MINUTE, Micros, from_iso
from schemas.topics import INPUTS

Draw = Callable[[], float]
Line = dict[str, Any]

FAMILIES = 128
"""Programs, with all their versions, that a start and a program_id have to choose from."""
MEMBERS = (("bank", "ann"), ("bank", "ben"), ("wallet", "ann"))
HOUR = 60 * MINUTE
MAX_AGE = 35 * DAY
MAX_SKEW = 5 * MINUTE
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


class Version(NamedTuple):
    """One version of a program, ready to be published and to be recomputed."""

    key: bytes
    value: bytes
    terms: Terms
    contradiction: bytes
    """The same version with another content."""


@dataclass(slots=True)
class PartitionLog:
    """The log of one partition, and beside it what was said, for the recomputation.

    `clocks`: where the clock stands, by record; `lines`: (clock, payment) of each readable payment in order,
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


class Item(NamedTuple):
    """Something that arrives: at one partition or, a program or a last tick, at all of them (-1)."""

    at: Micros
    partition: int
    kind: str
    key: bytes
    value: bytes | None
    line: Line | None = None
    reason: str = ""
    version: Version | None = None


def make_history(seed: int, without: frozenset[int] = frozenset()) -> History:
    """The history of a seed; `without` leaves out some of what arrives, by its number."""
    rng = Random(seed)
    draw = rng.random
    partitions = (1, 1, 1, 2, 2, 2, 3)[int(draw() * 7)]
    by_broker = draw() < 0.6
    beginning = int(draw() * len(BEGINNINGS))
    start = BEGINNINGS[beginning]
    items = _programs(draw, beginning, start)
    payments = _payments(draw, start, partitions)
    items += payments
    items += _spoilt(draw, payments, partitions)
    items.sort(key=lambda item: item.at)
    last = max(item.at for item in items)
    if by_broker:
        items += _ticks(draw, start, last, partitions)
        items.sort(key=lambda item: item.at)
    until = last + (0, 1, 15 * DAY, 31 * DAY, 62 * DAY, 400 * DAY)[int(draw() * 6)]
    items.append(Item(until, -1, "tick", b"tick", _tick(until)))
    kept = [item for number, item in enumerate(items) if number not in without] if without else items
    logs = _Logs(draw, partitions, by_broker)
    return History(
        logs.laid_out(kept),
        clock="broker" if by_broker else "event",
        due_slice=(1, 2, 1000)[int(draw() * 3)],
        bad_input_limit=2 if draw() < 0.3 else 0,
        items=len(items),
        kinds=logs.kinds,
    )


@cache
def family(beginning: int, program_id: str, number: int) -> tuple[Version, ...]:
    """All versions of one program; the same for the same arguments, for ever."""
    rng = Random(f"{beginning} {program_id} {number}")
    start = STARTS[beginning]
    is_open = rng.random() < 0.65
    forms = [open_campaign(rng, program_id, start)] if is_open else program_versions(rng, program_id, start)
    versions = []
    for form in forms:
        spec = parse_program(form)
        other = parse_program({**form, "priority": form.get("priority", 0) + 1})
        key, value = spec.key, encode("Program", to_datum(spec))
        versions.append(Version(key, value, read_terms(form), encode("Program", to_datum(other))))
    return tuple(versions)


def _programs(draw: Draw, beginning: int, start: Micros) -> list[Item]:
    """One to three programs; some versions come in mid-log, some twice, some with another content."""
    items = []
    for slot in range(1 + int(draw() * 3)):
        for version in family(beginning, f"p{slot}", int(draw() * FAMILIES)):
            at = start - DAY if draw() < 0.75 else start + int(draw() * 6 * DAY)
            items.append(Item(at, -1, "program", version.key, version.value, version=version))
            if draw() < 0.08:
                again = at + int(draw() * 6 * DAY)
                items.append(Item(again, -1, "program", version.key, version.value, version=version))
            if draw() < 0.04:
                later = at + 1 + int(draw() * 6 * DAY)
                other = version.contradiction
                items.append(
                    Item(later, -1, "poison", version.key, other, reason="rejected", version=version)
                )
    return items


def _payments(draw: Draw, start: Micros, partitions: int) -> list[Item]:
    """What happened to one to four purchases as it arrives: late, twice, contradicting itself."""
    said: list[tuple[Micros, Line]] = []
    for number in range(1 + int(draw() * 4)):
        for line in _purchase(draw, f"x{number}", start):
            at = line["occurred_at"]
            said.append((at + _span(draw) if draw() < 0.25 else at, line))
    for _ in range(int(draw() * 5)):
        at, line = said[int(draw() * len(said))]
        again = line if draw() < 0.65 else _conflicting(draw, line)
        said.append((at + _span(draw) if draw() < 0.85 else at - DAY, again))
    items = []
    for at, line in said:
        if draw() < 0.02:
            at -= 2 * MAX_SKEW  # said before it happened
        key = f"{line['partner_id']}:{line['member_id']}".encode()
        items.append(Item(at, crc32(key) % partitions, "payment", key, encode("Transaction", line), line))
    return items


def _purchase(draw: Draw, external_id: str, start: Micros) -> list[Line]:
    """What happened to one purchase, in the order it happened."""
    began = start + int(draw() * 4 * 24 * 60) * MINUTE
    partner_id, member_id = MEMBERS[int(draw() * len(MEMBERS))]
    same: Line = {
        "partner_id": partner_id,
        "external_id": external_id,
        "member_id": member_id,
        "merchant_id": "shop" if draw() < 0.8 else "inn",
        "currency": "EUR" if draw() < 0.92 else ("GBP", "JPY")[int(draw() * 2)],
        "channel": "ONLINE" if draw() < 0.5 else "IN_STORE",
        "livemode": draw() < 0.95,
    }
    if draw() < 0.4:
        same["store_id"] = "s1" if draw() < 0.5 else "s2"
        same["mcc"] = "5411" if draw() < 0.5 else "5812"
    lines: list[Line] = []
    for kind, amount in _crowd(draw) if draw() < 0.15 else _steps(draw):
        line = {**same, "kind": kind, "amount_minor": amount}
        line["occurred_at"] = began + _span(draw) if lines else began
        if draw() < 0.9:
            line["part_id"] = f"{kind[0]}{len(lines)}"
        lines.append(line)
    return lines


def _steps(draw: Draw) -> list[tuple[str, int | None]]:
    basket = _basket(draw)
    steps: list[tuple[str, int | None]] = []
    if draw() < 0.1:
        steps.append(("AUTHORIZED", None))
    if draw() < 0.6:
        steps.append(("AUTHORIZED", basket))
    if draw() < 0.15:
        steps.append(("AUTHORIZED", _basket(draw)))
    if draw() < 0.85:
        steps.append(("SETTLED", basket if draw() < 0.7 else _basket(draw)))
    if draw() < 0.2:
        steps.append(("SETTLED", _basket(draw)))
    for _ in range(int(draw() * 4) if draw() < 0.5 else 0):
        steps.append(("REFUNDED", (basket, basket // 3, _basket(draw))[int(draw() * 3)]))
    if draw() < 0.1:
        steps.append(("VOIDED" if draw() < 0.5 else "DECLINED", None))
    return steps or [("REFUNDED", basket)]


def _crowd(draw: Draw) -> list[tuple[str, int | None]]:
    """Many parts in any order, on the amounts where rewards jump."""
    kinds = ("AUTHORIZED", "SETTLED", "SETTLED", "REFUNDED", "REFUNDED")
    steps: list[tuple[str, int | None]] = []
    for _ in range(1 + int(draw() * 8)):
        kind = kinds[int(draw() * 5)] if draw() < 0.95 else "VOIDED"
        unknown = kind == "VOIDED" or (kind == "AUTHORIZED" and draw() < 0.15)
        steps.append((kind, None if unknown else SMALL_BASKETS[int(draw() * len(SMALL_BASKETS))]))
    return steps


def _basket(draw: Draw) -> int:
    return BASKETS[int(draw() * len(BASKETS))]


def _span(draw: Draw) -> Micros:
    """From nothing to weeks; whole days meet holds and expiries to the microsecond."""
    if draw() < 0.35:
        return (1, 2, 5, 14, 30, 60)[int(draw() * 6)] * DAY + (0, 0, 1, -1)[int(draw() * 4)]
    return (0, 1, 60, 60 * 24, 60 * 24 * 3)[int(draw() * 5)] * MINUTE + int(draw() * 90) * MINUTE


def _conflicting(draw: Draw, line: Line) -> Line:
    """The same identity with another content, or an event of the purchase somewhere else."""
    if draw() < 0.5:
        return {**line, "amount_minor": (line["amount_minor"] or 0) + 1}
    other = {"merchant_id": "elsewhere"} if draw() < 0.5 else {"currency": "USD"}
    kind = {"kind": "REFUNDED", "amount_minor": 1} if draw() < 0.3 else {}
    return {**line, "part_id": line.get("part_id") if draw() < 0.5 else "other", **other, **kind}


def _spoilt(draw: Draw, payments: list[Item], partitions: int) -> list[Item]:
    """Records that must be set aside whatever they follow."""
    items = []
    for _ in range(int(draw() * 4) if draw() < 0.5 else 0):
        like = payments[int(draw() * len(payments))]
        key, value, reason = _poison(draw, like)
        partition = int(draw() * partitions)
        items.append(Item(like.at + _span(draw), partition, "poison", key, value, reason=reason))
    return items


def _poison(draw: Draw, like: Item) -> tuple[bytes, bytes | None, str]:
    value, line = like.value or b"", like.line or {}
    match int(draw() * 9):
        case 0:
            return like.key, None, "undecodable"
        case 1:
            return like.key, b"", "undecodable"
        case 2:
            return like.key, b"\x00\x7f\xff\xff\xff" + value[5:], "undecodable"
        case 3:
            return like.key, value[: 5 + int(draw() * (len(value) - 5))], "undecodable"
        case 4:
            return like.key, bytes(1 + int(draw() * 255) for _ in range(12)), "undecodable"
        case 5:
            return b"bank:somebody-else", value, "rejected"
        case 6:
            return like.key, encode("Transaction", {**line, "currency": "ZZZ"}), "rejected"
        case 7:
            return like.key, encode("Transaction", {**line, "amount_minor": -1}), "rejected"
        case _:
            line = {**line, "kind": "SETTLED", "amount_minor": None}
            return like.key, encode("Transaction", line), "rejected"


def _ticks(draw: Draw, start: Micros, last: Micros, partitions: int) -> list[Item]:
    """The ticker, which is now and then away: a few ticks a partition, some on whole days."""
    items = []
    for partition in range(partitions):
        for _ in range(int(draw() * 4)):
            at = start + int(draw() * (last - start))
            at -= at % (DAY if draw() < 0.2 else HOUR)
            items.append(Item(max(at, start), partition, "tick", b"tick", _tick(at)))
    return items


def _tick(at: Micros) -> bytes:
    return encode("Tick", {"emitted_at": at})


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
            if not self.by_broker and item.line is not None:
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
            if item.line["occurred_at"] < self.latest:
                self.kinds["out of order"] += 1
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
    begin = draw()
    return begin, begin + draw() / 2, 1 + int(draw() * (3_600_000, 3 * 86_400_000)[int(draw() * 2)])
