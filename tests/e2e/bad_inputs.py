"""Inputs that no reader may accept, one of each kind, as they would lie on the topic."""

from dataclasses import dataclass
from typing import Any

from schemas.codec import encode
from schemas.programs import parse_program
from schemas.programs import to_datum as program_datum
from schemas.times import DAY, from_iso
from schemas.transactions import from_json, to_datum
from tests.histories import Line

AT = "2025-03-01T12:00:00Z"
MEMBER = "bank:ann"
CENTURY = 36_525 * DAY


@dataclass(frozen=True, slots=True)
class Bad:
    """A record, why it must be refused, and what its sender must be told: field first, remedy last."""

    name: str
    value: bytes | None
    reason: str
    field: str
    remedy: str
    key: bytes = MEMBER.encode()


def payment(external_id: str, partner_id: str = "bank", **changed: Any) -> Line:
    """A payment that one percent of is earned on, with fields changed."""
    line: Line = {"kind": "SETTLED", "amount_minor": 5_000, "currency": "EUR", "occurred_at": AT}
    line |= {"partner_id": partner_id, "member_id": "ann", "external_id": external_id}
    return {**line, "merchant_id": "grocer", "channel": "ONLINE", **changed}


def bytes_of(line: Line, **changed: Any) -> bytes:
    """A payment on the wire; fields changed after every check that a loader would make."""
    return encode("Transaction", {**to_datum(from_json(line)), **changed})


def bad_inputs() -> list[Bad]:
    """Each bad-input row once."""
    good = bytes_of(payment("bad"))
    return [
        *_unreadable(good),
        *_wrong(payment("bad")),
        Bad("another member's key", good, "rejected", "key", "key the message", key=b"bank:ben"),
        Bad("no key", good, "rejected", "key", "key the message", key=b""),
        *_wrong_programs(),
    ]


def _unreadable(good: bytes) -> list[Bad]:
    unknown_schema = good[:1] + (999_999).to_bytes(4, "big") + good[5:]
    framing = "use the Confluent wire format"
    return [
        Bad("truncated Avro", good[:-9], "undecodable", "value", "encode it with the schema of its id"),
        Bad("an unknown schema id", unknown_schema, "undecodable", "value", "use an id that"),
        Bad("not Avro at all", b'{"kind": "SETTLED"}', "undecodable", "value", framing),
        Bad("nothing", None, "undecodable", "value", framing),
    ]


def _wrong(line: Line) -> list[Bad]:
    def bad(name: str, field: str, value: Any, remedy: str) -> Bad:
        return Bad(name, bytes_of(line, **{field: value}), "rejected", field, remedy)

    empty = [
        bad(f"an empty {field}", field, "", "send 1 to 128 characters")
        for field in ("partner_id", "external_id", "member_id", "merchant_id", "part_id")
    ]
    return [
        *empty,
        bad("a negative amount", "amount_minor", -1, "send minor units"),
        bad("a missing amount", "amount_minor", None, "send the amount"),
        bad("an unknown currency", "currency", "EUT", "send three capitals"),
        bad("a time a century ahead", "occurred_at", from_iso(AT, "at") + CENTURY, "send microseconds"),
        bad("a time a century ago", "occurred_at", from_iso(AT, "at") - CENTURY, "send microseconds"),
    ]


def program(**changed: Any) -> Line:
    """A campaign of one percent without a hold."""
    terms: Line = {"program_id": "one", "version": 1, "type": "campaign", "currency": "EUR", "hold_days": 0}
    terms |= {"valid_from": "2025-01-01T00:00:00Z", "reward": {"type": "percent", "bps": 100}}
    return {**terms, **changed}


def _wrong_programs() -> list[Bad]:
    datum = program_datum(parse_program(program(program_id="other")))
    flat = {"type": "flat", "amount": 50}
    brackets = [{"up_to_minor": end, "reward": flat} for end in (2_000, 1_000, None)]
    ladder = {"type": "tiered", "unit": "currency", "brackets": brackets}

    def bad(name: str, field: str, value: Any, remedy: str) -> Bad:
        return Bad(name, encode("Program", {**datum, field: value}), "rejected", field, remedy, b"other:1")

    return [
        bad("a hold of 31 days", "hold_days", 31, "correct the value"),
        bad("brackets out of order", "reward", ladder, ""),
    ]
