"""What must hold: after every commit, and of a whole history against the recomputation."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ops.oracle import TermsBook, Window
from ops.oracle.compare import compare_cases, compare_decisions, compare_events
from ops.oracle.recompute import recompute_log
from ops.simulation.arrivals import MAX_SKEW
from ops.simulation.cluster import Appended
from ops.simulation.history import History, PartitionLog
from schemas.codec import decode
from schemas.times import DAY
from schemas.topics import CASHBACK_EVENTS, DECISIONS, QUARANTINE, REVERSAL_CASES, STATE
from streams.engine.position import POSITION_KEY, Position
from streams.fold import CLOCK_KEY

_MAX_AGE = 35 * DAY

FATES_SET_ASIDE = {
    "conflict": "conflict",
    "untimely": "rejected",
    "misplaced": "conflict",
    "expired": "parked_too_long",
    "discarded": "discarded",
    "entitlement_conflict": "conflict",
    "revocation_refused": "rejected",
    "reversal_refused": "rejected",
    "parked_decision_refused": "rejected",
}
"""Why an input is in the quarantine in the end, by what the recomputation says became of it."""


_COUNTED = (
    *("judged", "applied", "duplicate", "conflict", "untimely", "joined", "misplaced", "expired", "parked"),
    *("over_refunded", "created", "cleared", "reverted", "pending", "cases"),
    *("entitlement", "entitlement_repeated", "entitlement_conflict"),
    *("revoked", "revocation_case", "revocation_repeated", "revocation_refused"),
    *("reversal_approved", "reversal_declined", "reversal_repeated", "reversal_refused"),
    *("discarded", "parked_discarded", "parked_requeued"),
    *("parked_decision_repeated", "parked_decision_refused"),
)


class Broken(Exception):
    """A rule does not hold in a simulated history."""

    def __init__(self, rule: str, story: str) -> None:
        super().__init__(f"{rule}: {story}")
        self.rule = rule
        self.story = story


@dataclass(slots=True)
class Published:
    """All that the readers of one source partition's outputs have seen, in order."""

    events: list[dict[str, Any]] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    cases: list[dict[str, Any]] = field(default_factory=list)
    quarantine: list[Appended] = field(default_factory=list)
    position: int = 0
    clock: int = 0
    states: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Cashbacks by id: what their created event said and how they stand."""
    pending: dict[tuple[str, str], str] = field(default_factory=dict)
    """The one cashback that a program has pending on a purchase."""
    cleared: set[str] = field(default_factory=set)
    """Cashbacks that cleared and were not reversed."""
    decided_at: frozenset[int] = frozenset()
    """When decisions about reversal cases were made."""


class StepChecks:
    """Sees every commit when it is decided. Raises Broken."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.partitions = [Published(decided_at=_decided_at(log)) for log in history.logs]
        self.unfinished = set(range(len(history.logs)))
        """Partitions whose log is not committed to its end."""

    def told(self, partition: int, next_offset: int) -> None:
        """The group is told where a partition is: it may lag behind what is committed, never lead."""
        position = self.partitions[partition].position
        if next_offset > position:
            raise Broken("I8", f"the group is told {next_offset}, the state stands at {position}")

    def committed(self, partition: int, records: list[Appended]) -> None:
        """One transaction of a source partition: position and outputs belong together."""
        published, log = self.partitions[partition], self.history.logs[partition]
        position = self._position(records)
        if not published.position <= position <= log.end:
            raise Broken("I8", f"the position went from {published.position} to {position} of {log.end}")
        published.position = position
        if position == log.end:
            self.unfinished.discard(partition)
        at = min(bisect_left(log.offsets, position), len(log.clocks) - 1)
        for record in records:
            if record.topic != STATE.name:
                self._output(published, record, clock=log.clocks[at])
            elif record.key == CLOCK_KEY:
                _tick(published, record.value, clock=log.clocks[at])

    def _position(self, records: list[Appended]) -> int:
        positions = [r.value for r in records if r.topic == STATE.name and r.key == POSITION_KEY]
        if len(positions) != 1 or positions[0] is None:
            raise Broken("I8", f"a commit holds {len(positions)} positions")
        return Position.decode(positions[0]).next_offset

    def _output(self, published: Published, record: Appended, *, clock: int) -> None:
        if record.topic == QUARANTINE.name:
            published.quarantine.append(record)
            return
        name, datum = decode(record.value)
        if record.topic == CASHBACK_EVENTS.name:
            published.events.append(datum)
            _step(published, name, datum, clock)
        elif record.topic == DECISIONS.name:
            published.decisions.append(datum)
        elif record.topic == REVERSAL_CASES.name:
            published.cases.append(datum)
        else:
            raise Broken("topics", f"{name} on {record.topic}")


def _decided_at(log: PartitionLog) -> frozenset[int]:
    return frozenset(line["decided_at"] for _, line in log.lines if "decision" in line)


def _tick(published: Published, row: bytes | None, *, clock: int) -> None:
    """The clock of the state moves forward only, and no further than the log says."""
    said = int.from_bytes(row or b"", "big")
    if not published.clock <= said <= clock:
        raise Broken("I7", f"the clock went from {published.clock} to {said}, the log is at {clock}")
    published.clock = said


def _step(published: Published, name: str, datum: dict[str, Any], clock: int) -> None:
    """A cashback's next transition: once, in order, one pending at a time, none before its time."""
    cashback = datum["cashback_transaction_id"]
    pair = (datum["transaction_id"], datum["program_id"])
    if name == "CashbackCreated":
        if cashback in published.states:
            raise Broken("I4", f"{cashback} is created twice")
        if pair in published.pending:
            raise Broken("I2", f"{cashback} is created while {published.pending[pair]} is pending")
        published.states[cashback] = datum
        published.pending[pair] = cashback
        return
    if datum.get("reason") == "REVERSED":
        if cashback not in published.cleared:
            raise Broken("I4", f"{cashback} is reversed, but stands not cleared")
        published.cleared.remove(cashback)
        return
    if published.pending.get(pair) != cashback:
        raise Broken("I4", f"{name} of {cashback}, which is not pending")
    del published.pending[pair]
    at = datum["timestamp"]
    created = published.states[cashback]
    if name == "CashbackCleared":
        published.cleared.add(cashback)
        # What a decision creates clears at once, by the clock of who decided.
        is_early = at > clock and at not in published.decided_at
        if is_early or at < (created["clear_at"] or 0):
            raise Broken("I7", f"{cashback} cleared for {at}, due {created['clear_at']}, clock {clock}")
    if datum.get("reason") == "AUTH_EXPIRED" and at > clock:
        raise Broken("I7", f"{cashback} expired for {at}, clock {clock}")


def check_history(
    history: History, partitions: list[Published], counts: Counter[str]
) -> Iterator[tuple[str, str]]:
    """What was published against the recomputation of each log: (rule, difference), none where all agrees.

    Adds to `counts` what became of the inputs and of the cashbacks.
    """
    window = Window(_MAX_AGE, MAX_SKEW) if history.clock == "broker" else None
    for number, (log, published) in enumerate(zip(history.logs, partitions, strict=True)):
        book = TermsBook(log.terms, log.published)
        expected = recompute_log(book, log.lines, until=log.clocks[-1], window=window)
        for difference in (
            *compare_events(expected, published.events),
            *compare_decisions(expected, published.decisions),
            *compare_cases(expected, published.cases),
        ):
            yield "I6", f"partition {number}: {difference}"
        yield from _quarantine(log, published, expected.fates)
        if len(expected.fates) != len(log.lines):
            yield "I3", f"partition {number}: {len(log.lines)} inputs, {len(expected.fates)} fates"
        states = expected.counts
        for name in _COUNTED:
            counts[name] += states[name]
        if states["created"] != states["cleared"] + states["reverted"] + len(published.pending):
            yield "I4", f"partition {number}: created, cleared, reverted and pending do not add up"


def _quarantine(log: PartitionLog, published: Published, fates: dict[int, str]) -> Iterator[tuple[str, str]]:
    """Everything set aside is there once, with its reason and its own bytes; nothing else is."""
    expected = Counter(log.refused.items())
    for place, fate in fates.items():
        if fate in FATES_SET_ASIDE:
            expected[log.line_offsets[place], FATES_SET_ASIDE[fate]] += 1
    found: Counter[tuple[int, str]] = Counter()
    for record in published.quarantine:
        headers = dict(record.headers or ())
        offset = int(headers["__connect.errors.offset"])
        found[offset, headers["cashback.reason"].decode()] += 1
        original = log.records[bisect_left(log.offsets, offset)]
        if record.value != (original.value or b""):
            yield "I3", f"the quarantined bytes of offset {offset} are not those of the input"
    for offset, reason in expected - found:
        yield "I3", f"offset {offset} is missing in the quarantine ({reason})"
    for offset, reason in found - expected:
        yield "I3", f"offset {offset} should not be in the quarantine ({reason}), or not twice"
