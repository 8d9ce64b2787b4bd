"""What people say of facts that wait for their purchase: one is discarded, or waits anew."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ops.oracle.facts import TAKING_KINDS, BadLineError, Purchase, check_id, instant, livemode_of

_IDS = ("partner_id", "member_id", "external_id")
_FIELDS = frozenset((*_IDS, "kind", "part_id", "action", "livemode", "actor", "reason", "decided_at"))
_REASON_MAX = 1_000
_MARKS = frozenset({"action", "decided_at"})


class ParkedWord(NamedTuple):
    """Which fact of which purchase, and what becomes of it; `decided_at` in µs."""

    purchase: Purchase
    kind: str
    part_id: str | None
    is_discard: bool
    decided_at: int

    @property
    def identity(self) -> tuple[str, str | None]:
        """That of the fact it speaks of."""
        return self.kind, self.part_id


class Heard(NamedTuple):
    """A word as it lies in the log; the clock (µs) already stands at this record."""

    place: int
    clock: int
    word: ParkedWord


def is_parked_word(line: Mapping[str, Any]) -> bool:
    """Whether an input means to be one."""
    return line.keys() >= _MARKS


def read_parked_word(line: Mapping[str, Any]) -> ParkedWord:
    """The word in one JSON object. Raises `BadLineError`."""
    if not line.keys() <= _FIELDS:
        raise BadLineError(f"unknown field {min(line.keys() - _FIELDS)}")
    for name in (*_IDS, "actor"):
        check_id(name, line.get(name))
    check_id("part_id", line.get("part_id"), optional=True)
    if ":" in line["partner_id"]:
        raise BadLineError("partner_id has a colon")
    if line.get("kind") not in TAKING_KINDS:
        raise BadLineError(f"kind {line.get('kind')!r}")
    if line["action"] not in ("DISCARDED", "REQUEUED"):
        raise BadLineError(f"action {line['action']!r}")
    reason = line.get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > _REASON_MAX:
        raise BadLineError(f"reason {reason!r}")
    if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in reason):
        raise BadLineError(f"reason {reason!r} has a control character")
    return ParkedWord(
        Purchase(livemode_of(line), *(line[name] for name in _IDS)),
        line["kind"],
        line.get("part_id"),
        line["action"] == "DISCARDED",
        instant(line, "decided_at"),
    )
