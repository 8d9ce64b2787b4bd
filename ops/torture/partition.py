"""One partition held against the recomputation of what really lies on it: topics, ledger, webhooks."""

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from ops.oracle import Account, Recomputation, balances, recompute_log
from ops.oracle.compare import (
    compare_cases,
    compare_decisions,
    compare_entries,
    compare_events,
    compare_webhooks,
)
from ops.settings import Settings
from ops.torture.lateness import Arrivals, Outage, late
from ops.torture.load import ACKNOWLEDGED
from ops.torture.poison import HEADER
from ops.torture.records import Record, records
from schemas.clock import CLOCK_HEADER
from schemas.codec import decode
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, QUARANTINE, REVERSAL_CASES, Topic

SHOWN = 8
_ENTRIES = """
SELECT cashback_id, transition::text, posted_at
FROM entries JOIN cashbacks USING (cashback_no) JOIN purchases USING (purchase_no)
WHERE partner_id || ':' || member_id = ANY (%s)
"""
_MESSAGES = """
SELECT webhook_messages.event_id, body
FROM webhook_messages JOIN entries USING (entry_id) JOIN cashbacks USING (cashback_no)
JOIN purchases USING (purchase_no)
WHERE partner_id || ':' || member_id = ANY (%s)
"""


@dataclass
class Judged:
    """What was found in one partition. `wrong`: differences by what was looked at, some of them shown."""

    partition: int
    inputs: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, tuple[int, list[str]]] = field(default_factory=dict)
    balances: dict[Account, int] = field(default_factory=dict)
    entries: int = 0
    """Of the ledger, of this partition's members."""
    webhooks: int = 0
    """Different ones that the receiver has, of this partition."""
    longest_wait_s: float = 0.0
    """From when something could clear to its entry, outages not counted."""

    def note(self, subject: str, differences: Sequence[object]) -> None:
        """Keep how many there are and what the first look like."""
        self.wrong[subject] = len(differences), [str(each) for each in differences[:SHOWN]]


@dataclass(frozen=True, slots=True)
class Lines:
    """A partition of `inputs`: what the recomputation reads, and what must have been set aside."""

    log: list[tuple[int, Mapping[str, Any]]]
    poisoned: dict[int, Record]
    checksums: dict[int, int]
    keys: set[str]
    arrivals: Arrivals

    def read(self, clock: int, datum: Mapping[str, Any], at_ms: int) -> None:
        """Add a line of the log, with the time at which it came."""
        self.log.append((clock, datum))
        self.arrivals.at_ms.append(at_ms)


def judge_partition(
    settings: Settings,
    directory: Path,
    partition: int,
    programs: Sequence[Mapping[str, Any]],
    until: str,
    broken: Sequence[Outage],
) -> Judged:
    """Everything there is to hold against the recomputation, of one partition."""

    def read(topic: Topic) -> Iterator[Record]:
        return records(settings.brokers, topic.full_name(settings.topic_prefix), partition)

    lines = _lines(read(INPUTS))
    expected = recompute_log(programs, lines.log, until=until)
    judged = Judged(partition, inputs=len(lines.log), counts=Counter(expected.counts))
    judged.note("events", compare_events(expected, _data(read(CASHBACK_EVENTS))))
    judged.note("decisions", compare_decisions(expected, _data(read(DECISIONS))))
    judged.note("reversal cases", compare_cases(expected, _data(read(REVERSAL_CASES))))
    judged.note("quarantine", _quarantine(lines, expected, read(QUARANTINE), partition))
    judged.note("acknowledged inputs", _lost(lines, directory / "acknowledged", partition))
    _judge_ledger(judged, settings, lines, expected, directory / "received", broken)
    judged.balances = balances(expected.cashbacks.values(), commission_bps=settings.commission_bps)
    return judged


def _data(found: Iterator[Record]) -> Iterator[dict[str, Any]]:
    return (record.datum for record in found)


def _lines(found: Iterator[Record]) -> Lines:
    lines = Lines([], {}, {}, set(), Arrivals())
    clock = 0
    for record in found:
        lines.checksums[record.offset] = zlib.crc32(record.value or b"")
        clock = max(clock, int(record.said(CLOCK_HEADER) or 0))
        lines.arrivals.moved(clock, record.at_ms)
        if record.said(HEADER) is not None:
            lines.poisoned[record.offset] = record
            lines.read(clock, {}, record.at_ms)
            continue
        name, datum = decode(record.value)
        if name == "Transaction":
            lines.read(clock, datum, record.at_ms)
            lines.keys.add((record.key or b"").decode())
    return lines


def _quarantine(lines: Lines, expected: Recomputation, found: Iterator[Record], partition: int) -> list[str]:
    """Every poisoned input is there once, as it was, for the right reason; and nothing else."""
    wrong: list[str] = []
    seen: set[int] = set()
    for record in found:
        offset = int(record.said("__connect.errors.offset") or -1)
        poisoned = lines.poisoned.get(offset)
        if poisoned is None or record.said("__connect.errors.partition") != str(partition).encode():
            wrong.append(f"{offset} was set aside: {record.said('__connect.errors.exception.message')!r}")
        elif offset in seen:
            wrong.append(f"{offset} was set aside twice")
        elif record.said("cashback.reason") != poisoned.said(HEADER):
            wrong.append(f"{offset} for {record.said('cashback.reason')!r}, not {poisoned.said(HEADER)!r}")
        elif (record.value or b"") != (poisoned.value or b""):
            wrong.append(f"{offset} is not as it came")
        seen.add(offset)
    wrong += [f"{offset} was not set aside" for offset in lines.poisoned.keys() - seen]
    for fate in ("conflict", "misplaced", "expired"):
        if expected.counts[fate]:
            wrong.append(f"the load is not as meant: {expected.counts[fate]} {fate}")
    return wrong


def _lost(lines: Lines, acknowledged: Path, partition: int) -> list[str]:
    """Inputs that were acknowledged and do not lie where the brokers said."""
    data = acknowledged.read_bytes()
    whole = len(data) - len(data) % ACKNOWLEDGED.size
    wrong = []
    for place, offset, checksum in ACKNOWLEDGED.iter_unpack(data[:whole]):
        if place == partition and lines.checksums.get(offset) != checksum:
            wrong.append(f"offset {offset} was acknowledged and is not there")
    return wrong


def _judge_ledger(
    judged: Judged,
    settings: Settings,
    lines: Lines,
    expected: Recomputation,
    received: Path,
    broken: Sequence[Outage],
) -> None:
    keys = sorted(lines.keys)
    with psycopg.connect(settings.database_url, autocommit=True) as connection:
        entries = connection.execute(_ENTRIES, (keys,)).fetchall()
        told = {event_id: bytes(body) for event_id, body in connection.execute(_MESSAGES, (keys,))}
    judged.entries = len(entries)
    judged.note("entries", compare_entries(expected, [row[:2] for row in entries]))
    cleared = ((name, posted_at) for name, transition, posted_at in entries if transition == "cleared")
    judged.longest_wait_s, wrong = late(expected, cleared, lines.arrivals, broken)
    judged.note("late", wrong)
    wanted = {
        cashback.event_id(transition)
        for cashback in expected.cashbacks.values()
        for transition, _ in cashback.transitions()
    }
    receipts = [each for each in received_webhooks(received) if each[0] in wanted]
    judged.webhooks = len({event_id for event_id, _ in receipts})
    judged.note("webhooks", compare_webhooks(expected, receipts))
    judged.note("webhooks against the ledger", sorted(set(receipts) ^ set(told.items())))


def received_webhooks(received: Path) -> Iterator[tuple[str, bytes]]:
    """(event_id, body) of every webhook the receiver took."""
    with received.open("rb") as file:
        for line in file:
            event_id, _, body = line.rstrip(b"\n").partition(b"\t")
            yield event_id.decode(), body
