"""What a member may use, as partners say it: a clipped deal or a granted airdrop, or the end of one."""

from typing import Any

import msgspec

from schemas.errors import Rejected
from schemas.times import Micros, from_iso, in_range, to_iso
from schemas.transactions import check_id, check_partner

CLIPPED = "CLIPPED"
UNCLIPPED = "UNCLIPPED"
AIRDROPPED = "AIRDROPPED"
REVOKED = "REVOKED"
KINDS = (CLIPPED, UNCLIPPED, AIRDROPPED, REVOKED)


class Entitlement(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """One grant, or the end of one; valid by construction of `checked`. Times in microseconds UTC."""

    kind: str
    partner_id: str
    member_id: str
    clip_id: str | None = None
    airdrop_id: str | None = None
    program_id: str | None = None
    variant_id: str | None = None
    creative_id: str | None = None
    granted_at: Micros | None = None
    expires_at: Micros | None = None
    revoked_at: Micros | None = None
    livemode: bool = True

    @property
    def key(self) -> bytes:
        """Message key: all that is said of one member lies in one partition."""
        return f"{self.partner_id}:{self.member_id}".encode()

    @property
    def is_clip(self) -> bool:
        """Whether it speaks of a clip; else of an airdrop."""
        return self.kind in (CLIPPED, UNCLIPPED)

    @property
    def id(self) -> str:
        """Id of the clip or airdrop."""
        return (self.clip_id if self.is_clip else self.airdrop_id) or ""


FIELDS = Entitlement.__struct_fields__
_IDS = ("partner_id", "member_id", "clip_id", "airdrop_id", "program_id", "variant_id", "creative_id")
_TIMES = ("granted_at", "expires_at", "revoked_at")
_REQUIRED = {
    CLIPPED: ("clip_id", "program_id", "granted_at"),
    UNCLIPPED: ("clip_id", "revoked_at"),
    AIRDROPPED: ("airdrop_id", "program_id", "variant_id", "creative_id", "granted_at"),
    REVOKED: ("airdrop_id", "revoked_at"),
}
_ALLOWED = {
    CLIPPED: ("expires_at",),
    UNCLIPPED: ("program_id",),
    AIRDROPPED: ("expires_at",),
    REVOKED: ("program_id",),
}


def checked(datum: dict[str, Any]) -> Entitlement:
    """The entitlement in a decoded Avro datum. Raises `Rejected` naming the first field that is wrong."""
    entitlement = Entitlement(**datum)
    kind = entitlement.kind
    for field in _IDS:
        value = getattr(entitlement, field)
        if value is not None:
            check_id(field, value)
    check_partner(entitlement.partner_id)
    for field in _REQUIRED[kind]:
        if getattr(entitlement, field) is None:
            raise Rejected(field, "missing", f"it is required on {kind}")
    for field in (*_IDS[2:], *_TIMES):
        if field not in (*_REQUIRED[kind], *_ALLOWED[kind]) and getattr(entitlement, field) is not None:
            raise Rejected(field, f"does not belong to {kind}", "leave it out")
    for field in _TIMES:
        at = getattr(entitlement, field)
        if at is not None:
            in_range(at, field)
    granted_at, expires_at = entitlement.granted_at, entitlement.expires_at
    if granted_at is not None and expires_at is not None and expires_at <= granted_at:
        problem = f"{to_iso(expires_at)} is not after granted_at {to_iso(granted_at)}"
        raise Rejected("expires_at", problem, "it is the first instant that counts no more")
    return entitlement


def from_json(line: object) -> Entitlement:
    """The entitlement in one JSON object (timestamps ISO 8601 with a zone, optional fields may be missing).

    Raises `Rejected` naming the first field that is wrong.
    """
    if not isinstance(line, dict):
        problem = "not a JSON object"
        raise Rejected("line", problem, "write one object a line, with the fields of an Entitlement")
    for field in line:
        if field not in FIELDS:
            raise Rejected(str(field), "unknown field", f"use only {', '.join(FIELDS)}")
    datum = {field: value for field, value in line.items() if value is not None}
    for field in ("kind", "partner_id", "member_id"):
        if field not in datum:
            raise Rejected(field, "missing", "it is required on every entitlement")
    if datum["kind"] not in KINDS:
        raise Rejected("kind", f"{datum['kind']!r} is not a kind", f"use one of {', '.join(KINDS)}")
    for field in _IDS:
        if field in datum and not isinstance(datum[field], str):
            raise Rejected(field, f"{datum[field]!r} is not a string", "quote it")
    if type(datum.get("livemode", True)) is not bool:
        raise Rejected("livemode", f"{datum['livemode']!r} is not a boolean", "send true or false")
    for field in _TIMES:
        if field in datum:
            datum[field] = from_iso(datum[field], field)
    return checked(datum)


def to_json(entitlement: Entitlement) -> dict[str, Any]:
    """The JSON form of `from_json`; fields at their default are left out."""
    line: dict[str, Any] = msgspec.to_builtins(entitlement)
    for field in _TIMES:
        if field in line:
            line[field] = to_iso(line[field])
    return line


def to_datum(entitlement: Entitlement) -> dict[str, Any]:
    """The Avro datum of an entitlement."""
    return msgspec.structs.asdict(entitlement)
