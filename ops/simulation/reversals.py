"""Decisions on reversal cases, by somebody who mostly knows them: right, stale, twice, contradicting."""

from collections.abc import Iterator, Sequence
from zlib import crc32

from ops.oracle import Case, Cashback, TermsBook
from ops.oracle.recompute import recompute_log
from ops.simulation.arrivals import LATEST, MAX_SKEW, Draw, Item, Line, Version
from schemas.codec import encode
from schemas.times import DAY, MINUTE, Micros

_HISTORIES = 0.5
"""In which accounting decides anything: to know the cases costs as much again as proving a history."""


def decisions(
    draw: Draw, start: Micros, versions: Sequence[Version], items: Sequence[Item], partitions: int
) -> list[Item]:
    """Two rounds: what is decided in the first may lead to cases for the second."""
    made: list[Item] = []
    for _ in range(2 if draw() < _HISTORIES else 0):
        for case, cashback in _cases(versions, [*items, *made]):
            if draw() < 0.8:
                made += _decided(draw, start, case, cashback, partitions)
    return made


def _cases(versions: Sequence[Version], items: Sequence[Item]) -> Iterator[tuple[Case, Cashback]]:
    """The cases that come of what is said, if all of it arrives when it should."""
    said = sorted((item for item in items if item.line is not None), key=lambda item: item.at)
    records = [(item.at, item.line) for item in said if item.line is not None]
    result = recompute_log(TermsBook([version.terms for version in versions]), records, budgets=False)
    for case in result.cases.values():
        if case.is_open:
            yield case, result.cashbacks[case.cashback_transaction_id]


def _decided(draw: Draw, start: Micros, case: Case, cashback: Cashback, partitions: int) -> list[Item]:
    at = case.updated_at + int(draw() ** 2 * 10 * 24 * 60) * MINUTE
    key = f"{cashback.partner_id}:{cashback.member_id}".encode()
    made = []
    first = _decision(draw, case, cashback, at)
    for line in (first, *_again(draw, first)):
        at = min(at, start + LATEST)
        value = encode("ReversalDecision", line)
        made.append(Item(at, crc32(key) % partitions, "reversal", key, value, line))
        at += int(draw() * 24 * 60) * MINUTE
    return made


def _decision(draw: Draw, case: Case, cashback: Cashback, at: Micros) -> Line:
    """A decision on a case, made about when it is said: now and then too far from it, or of another case."""
    off = 0 if draw() < 0.85 else (MAX_SKEW // 2, -40 * DAY, 2 * MAX_SKEW)[int(draw() * 3)]
    return {
        "partner_id": cashback.partner_id,
        "member_id": cashback.member_id,
        "external_id": cashback.transaction_ref if draw() < 0.97 else "x9",
        "livemode": cashback.livemode,
        "program_id": cashback.program_id if draw() < 0.97 else "p9",
        "sequence": cashback.sequence + (draw() < 0.05),
        "revision": case.revision + (draw() < 0.08),
        "decision": "APPROVED" if draw() < 0.6 else "DECLINED",
        "actor": "kim",
        "second_actor": "lou" if draw() < 0.3 else None,
        "reason": "as agreed",
        "decided_at": at + off,
    }


def _again(draw: Draw, line: Line) -> list[Line]:
    """The same once more, or the contrary."""
    chance = draw()
    if chance < 0.15:
        return [line]
    contrary = "DECLINED" if line["decision"] == "APPROVED" else "APPROVED"
    return [{**line, "decision": contrary}, line] if chance < 0.3 else []
