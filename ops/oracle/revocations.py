"""An operator's word that a cashback is to be taken back."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ops.oracle.facts import BadLineError, Purchase, check_id, instant, livemode_of

_IDS = ("partner_id", "member_id", "external_id", "program_id")
_FIELDS = frozenset((*_IDS, "sequence", "livemode", "actor", "reason", "revoked_at"))
_REASON_MAX = 1_000
_MARKS = frozenset({"revoked_at", "sequence"})


class Revocation(NamedTuple):
    """Which cashback of which purchase, by whom and why; `revoked_at` in µs."""

    purchase: Purchase
    program_id: str
    sequence: int
    revoked_at: int
    actor: str
    reason: str


def is_revocation(line: Mapping[str, Any]) -> bool:
    """Whether an input means to be one."""
    return line.keys() >= _MARKS


def read_revocation(line: Mapping[str, Any]) -> Revocation:
    """The revocation in one JSON object. Raises `BadLineError`."""
    if not line.keys() <= _FIELDS:
        raise BadLineError(f"unknown field {min(line.keys() - _FIELDS)}")
    for field in _IDS:
        check_id(field, line.get(field))
    if ":" in line["partner_id"]:
        raise BadLineError("partner_id has a colon")
    check_id("actor", line.get("actor"))
    reason = line.get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > _REASON_MAX:
        raise BadLineError(f"reason {reason!r}")
    sequence = line["sequence"]
    if type(sequence) is not int or sequence < 1:
        raise BadLineError(f"sequence {sequence!r}")
    partner_id, member_id, external_id, program_id = (line[field] for field in _IDS)
    purchase = Purchase(livemode_of(line), partner_id, member_id, external_id)
    return Revocation(purchase, program_id, sequence, instant(line, "revoked_at"), line["actor"], reason)
