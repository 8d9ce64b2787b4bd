"""What arrives at the input logs: programs, payments late and twice, and what is no input at all.

Programs are made once and drawn by number: that is what makes histories quick.
"""

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any, NamedTuple
from zlib import crc32

from ops.oracle.terms import Terms, read_terms
from ops.settings import Settings
from ops.simulation.programs import (
    BASKETS,
    SMALL_BASKETS,
    STARTS,
    any_open_program,
    open_campaign,
    program_versions,
)
from schemas.codec import encode
from schemas.programs import parse_program, to_datum
from schemas.times import DAY, MINUTE, Micros

Draw = Callable[[], float]
"""A number from 0 to 1, the next of a seed."""
Line = dict[str, Any]

FAMILIES = 128
"""Programs, with all their versions, that a start and a program_id have to choose from."""
MEMBERS = (("bank", "ann"), ("bank", "ben"), ("wallet", "ann"))
HOUR = 60 * MINUTE
MAX_SKEW = 5 * MINUTE
LATEST = (Settings.model_fields["refund_horizon_days"].default - 10) * DAY
"""No payment is said later than this after the start: the stages forget a finished purchase in time, the
recomputation never does."""


class Version(NamedTuple):
    """One version of a program, ready to be published and to be recomputed."""

    key: bytes
    value: bytes
    terms: Terms
    contradiction: bytes
    """The same version with another content."""
    form: Line


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


@cache
def family(beginning: int, program_id: str, number: int) -> tuple[Version, ...]:
    """All versions of one program; the same for the same arguments, for ever."""
    rng = Random(f"{beginning} {program_id} {number}")
    start = STARTS[beginning]
    kind = rng.random()
    if kind < 0.45:
        # Budgets are leased by a keeper, who is not here: see tests/streams/test_leases.py.
        forms = [_without_budget(form) for form in any_open_program(rng, program_id, start)]
    else:
        is_open = kind < 0.8
        forms = (
            [open_campaign(rng, program_id, start)] if is_open else program_versions(rng, program_id, start)
        )
    versions = []
    for form in forms:
        spec = parse_program(form)
        other = parse_program({**form, "priority": form.get("priority", 0) + 1})
        key, value = spec.key, encode("Program", to_datum(spec))
        versions.append(Version(key, value, read_terms(form), encode("Program", to_datum(other)), form))
    return tuple(versions)


def _without_budget(form: Line) -> Line:
    return {name: value for name, value in form.items() if name != "budget"}


def programs(draw: Draw, beginning: int, start: Micros) -> list[Item]:
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


def payments(draw: Draw, start: Micros, partitions: int) -> list[Item]:
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
        at = min(at, start + LATEST)
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


def spoilt(draw: Draw, paid: list[Item], partitions: int) -> list[Item]:
    """Records that must be set aside whatever they follow."""
    items = []
    for _ in range(int(draw() * 4) if draw() < 0.5 else 0):
        like = paid[int(draw() * len(paid))]
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


def ticks(draw: Draw, start: Micros, last: Micros, partitions: int) -> list[Item]:
    """The ticker, which is now and then away: a few ticks a partition, some on whole days."""
    items = []
    for partition in range(partitions):
        for _ in range(int(draw() * 4)):
            at = start + int(draw() * (last - start))
            at -= at % (DAY if draw() < 0.2 else HOUR)
            items.append(Item(max(at, start), partition, "tick", b"tick", tick(at)))
    return items


def tick(at: Micros) -> bytes:
    return encode("Tick", {"emitted_at": at})
