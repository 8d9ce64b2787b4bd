"""Decisions on events that wait for their purchase, by somebody who mostly knows which of them do."""

from collections.abc import Iterator, Sequence
from zlib import crc32

from ops.oracle.facts import OPENING_KINDS, TAKING_KINDS
from ops.simulation.arrivals import LATEST, MAX_SKEW, Draw, Item, Line
from schemas.codec import encode
from schemas.times import DAY, MINUTE, Micros

_PURCHASE = ("livemode", "partner_id", "member_id", "external_id")
_HISTORIES = 0.4
"""In which anybody decides anything, of those in which something may wait."""


def decisions(draw: Draw, start: Micros, payments: Sequence[Item], partitions: int) -> list[Item]:
    """What is said of refunds, voids and declines, of most while they wait."""
    taking = [item for item in payments if item.line is not None and item.line["kind"] in TAKING_KINDS]
    if not taking or draw() >= _HISTORIES:
        return []
    waiting = list(_early(payments))
    made: list[Item] = []
    for _ in range(1 + int(draw() * 3)):
        among = waiting if waiting and draw() < 0.85 else taking
        made += _decided(draw, start, among[int(draw() * len(among))], partitions)
    return made


def _early(payments: Sequence[Item]) -> Iterator[Item]:
    """What is said before its purchase is."""
    known: dict[tuple[object, ...], Micros] = {}
    for item in payments:
        if item.line is not None and item.line["kind"] in OPENING_KINDS:
            purchase = _purchase(item.line)
            known[purchase] = min(item.at, known.get(purchase, item.at))
    for item in payments:
        if item.line is not None and item.line["kind"] in TAKING_KINDS:
            at = known.get(_purchase(item.line))
            if at is None or item.at < at:
                yield item


def _purchase(line: Line) -> tuple[object, ...]:
    return tuple(line[name] for name in _PURCHASE)


def _decided(draw: Draw, start: Micros, about: Item, partitions: int) -> list[Item]:
    """One decision, mostly while the event waits; now and then said twice, or another one after it."""
    at = about.at + int(draw() ** 2 * 70 * 24 * 60) * MINUTE
    line = _decision(draw, about.line or {}, at)
    made = []
    for each in (line, *_again(draw, line)):
        at = min(at, start + LATEST)
        value = encode("ParkedDecision", each)
        made.append(Item(at, crc32(about.key) % partitions, "parked decision", about.key, value, each))
        at += int(draw() * 3 * 24 * 60) * MINUTE
    return made


def _decision(draw: Draw, said: Line, at: Micros) -> Line:
    """Made about when it is said: now and then too far from it, or about another event."""
    off = 0 if draw() < 0.9 else (MAX_SKEW // 2, -40 * DAY, 2 * MAX_SKEW, -2 * DAY)[int(draw() * 4)]
    return {
        **{name: said[name] for name in ("partner_id", "member_id", "livemode", "kind")},
        "external_id": said["external_id"] if draw() < 0.97 else "x9",
        "part_id": said.get("part_id") if draw() < 0.95 else "other",
        "action": "DISCARDED" if draw() < 0.6 else "REQUEUED",
        "actor": "pat",
        "reason": "sent by mistake",
        "decided_at": at + off,
    }


def _again(draw: Draw, line: Line) -> list[Line]:
    """The same once more, or another decision later."""
    chance = draw()
    if chance < 0.2:
        return [line]
    later = {**line, "decided_at": line["decided_at"] + 3 * DAY}
    return [{**later, "action": "DISCARDED" if draw() < 0.7 else "REQUEUED"}] if chance < 0.4 else []
