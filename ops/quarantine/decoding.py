"""Bytes as far as they can be read, for people."""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from schemas.codec import decode
from schemas.errors import Rejected
from schemas.registry import latest, locked_schemas
from schemas.times import to_iso

_HEAD_BYTES = 5


@dataclass(frozen=True)
class Decoded:
    """`record`: what the bytes are or claim to be; `fields`: what they say, times ISO 8601; or `problem`."""

    record: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None


def decoded(value: bytes) -> Decoded:
    """A value in our wire format, as far as it can be read. Never raises."""
    try:
        record, datum = decode(value)
    except Rejected as error:
        return Decoded(record=_claimed(value), problem=str(error))
    times = _times(record)
    return Decoded(record, {name: _instant(said) if name in times else said for name, said in datum.items()})


def whose(key: bytes, value: Decoded) -> tuple[str | None, str | None]:
    """Partner and member: those a record names, of an unreadable one those of its key; None where none is."""
    if value.problem is None:
        return value.fields.get("partner_id"), value.fields.get("member_id")
    partner, colon, member = key.decode("utf-8", "replace").partition(":")
    return (partner, member) if colon else (None, None)


def _claimed(value: bytes) -> str | None:
    """The record whose schema id leads the bytes."""
    if len(value) < _HEAD_BYTES or value[0] != 0:
        return None
    claimed = int.from_bytes(value[1:_HEAD_BYTES], "big")
    known = (each.record for each in locked_schemas() if claimed in (each.schema_id, *each.former_ids))
    return next(known, None)


@lru_cache
def _times(record: str) -> frozenset[str]:
    fields = latest(record).document()["fields"]
    return frozenset(each["name"] for each in fields if "timestamp-micros" in str(each["type"]))


def _instant(at: int | None) -> int | str | None:
    try:
        return None if at is None else to_iso(at)
    except OverflowError:  # a unit error of its sender: there is no such year
        return at
