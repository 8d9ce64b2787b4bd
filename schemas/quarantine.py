"""The quarantine as all sides of it agree: places, headers, and what people did about a record.

A record's place is where it came in, partition and offset of `inputs`, not where it lies in the quarantine:
everything else can be made again from that log, and the quarantine then has other offsets.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from schemas.codec import decode, encode
from schemas.errors import Rejected
from schemas.times import Micros, in_range
from schemas.transactions import check_id

ORIGIN_TOPIC = "__connect.errors.topic"
ORIGIN_PARTITION = "__connect.errors.partition"
ORIGIN_OFFSET = "__connect.errors.offset"
STAGE = "__connect.errors.stage"
ERROR = "__connect.errors.exception.class.name"
MESSAGE = "__connect.errors.exception.message"
REASON = "cashback.reason"
FIRST_SEEN = "cashback.first_seen"
REFUSAL_HEADERS = (ORIGIN_TOPIC, ORIGIN_PARTITION, ORIGIN_OFFSET, STAGE, ERROR, MESSAGE, REASON, FIRST_SEEN)
"""What a refusal adds at the end of a record's own headers; the first six are named as Kafka Connect does."""

HEADERS_DROPPED = "cashback.headers_dropped"
VALUE_BYTES = "cashback.value_bytes"
KEY_BYTES = "cashback.key_bytes"
CUT_HEADERS = frozenset({HEADERS_DROPPED, VALUE_BYTES, KEY_BYTES})
"""One of these beside a record: it was too large to be kept whole."""

REQUEUED_FROM = "cashback.requeued_from"
"""On a record of `inputs`: the place of the quarantined one it is a copy of."""

PARKED = "Parked"
"""Stands for the error where the record waited for its purchase before it was set aside."""

REQUEUED = "REQUEUED"
DISCARDED = "DISCARDED"

WHY_LENGTH_MAX = 1_000
"""Characters of a reason."""

_RECORD = "QuarantineResolution"
_DIGITS_MAX = 16

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where a record came in: partition and offset of `inputs`."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place in `partition:offset`. Raises `Rejected`."""
        partition, _, offset = text.partition(":")
        if not (_is_number(partition) and _is_number(offset)):
            remedy = "write partition:offset of the input, as `cashback quarantine list` shows it"
            raise Rejected("place", f"{text!r} is no place", remedy)
        return cls(int(partition), int(offset))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was set aside, and from which topic; `first_seen_ms` since 1970-01-01 UTC."""

    topic: str
    place: Place
    reason: str
    message: str
    error: str
    first_seen_ms: int

    @property
    def was_parked(self) -> bool:
        """Whether the record waited for its purchase before."""
        return self.error == PARKED


def refusal_of(headers: Headers) -> Refusal:
    """What the headers of a quarantined record say. Raises `Rejected` when they are not a refusal's."""
    # The refusal's stand last: a sender's own of the same names do not count.
    said = {name: (content or b"").decode("utf-8", "replace") for name, content in headers}
    for name in (ORIGIN_PARTITION, ORIGIN_OFFSET, FIRST_SEEN):
        if not _is_number(said.get(name, "")):
            raise Rejected(
                "headers", f"{name} is {said.get(name)!r}", "look for who else writes to the quarantine"
            )
    return Refusal(
        topic=said.get(ORIGIN_TOPIC, ""),
        place=Place(int(said[ORIGIN_PARTITION]), int(said[ORIGIN_OFFSET])),
        reason=said.get(REASON, ""),
        message=said.get(MESSAGE, ""),
        error=said.get(ERROR, ""),
        first_seen_ms=int(said[FIRST_SEEN]),
    )


def first_seen_ms(headers: Headers, appended_ms: int) -> int:
    """When an input was first seen: a requeued one says so itself. Never later than it was appended."""
    for name, content in headers:
        if name == FIRST_SEEN and content and _is_number(content.decode("ascii", "replace")):
            return min(int(content), appended_ms)
    return appended_ms


def headers_back(headers: Headers, refusal: Refusal) -> list[tuple[str, bytes | None]]:
    """The headers under which a quarantined record goes back: its own, and where it comes from."""
    kept, added = list(headers), set(REFUSAL_HEADERS)
    while kept and kept[-1][0] in added:
        added.remove(kept.pop()[0])
    return [
        *((name, content) for name, content in kept if name not in (FIRST_SEEN, REQUEUED_FROM)),
        (FIRST_SEEN, b"%d" % refusal.first_seen_ms),
        (REQUEUED_FROM, str(refusal.place).encode()),
    ]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record of the quarantine: what came in, byte for byte unless it was cut, and why it was refused."""

    key: bytes
    value: bytes
    headers: Headers
    refusal: Refusal

    @property
    def place(self) -> Place:
        """Where it came in."""
        return self.refusal.place

    @property
    def is_cut(self) -> bool:
        """Whether it was too large to be kept whole."""
        return any(name in CUT_HEADERS for name, _ in self.headers)

    @property
    def requeued_from(self) -> str | None:
        """The place of the quarantined record it is a copy of."""
        said = dict(self.headers).get(REQUEUED_FROM)
        return None if said is None else said.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What somebody did about a quarantined record. `requeued_offset`: of the copy, in the same partition."""

    place: Place
    action: str
    actor: str
    reason: str
    resolved_at: Micros
    requeued_offset: int | None = None

    def encode(self) -> bytes:
        """The record of the topic."""
        datum = {"partition": self.place.partition, "offset": self.place.offset, "action": self.action}
        more = {"requeued_offset": self.requeued_offset, "resolved_at": self.resolved_at}
        return encode(_RECORD, {**datum, **more, "actor": self.actor, "reason": self.reason})

    @classmethod
    def decode(cls, value: bytes | None) -> Self:
        """The resolution in a record. Raises `Rejected`."""
        record, datum = decode(value)
        if record != _RECORD:
            raise Rejected("value", f"{record} is no {_RECORD}", "look for who else writes to this topic")
        return cls(place=Place(datum.pop("partition"), datum.pop("offset")), **datum)


def check_words(*, actor: str, reason: str, resolved_at: Micros) -> None:
    """Raises `Rejected` unless somebody says who he is and why."""
    check_id("actor", actor)
    check_id("reason", reason, WHY_LENGTH_MAX)
    in_range(resolved_at, "resolved_at")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX
