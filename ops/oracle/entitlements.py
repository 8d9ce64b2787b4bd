"""What members may use: clips and airdrops, granted and ended, and which of them counts for a purchase."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ops.oracle.facts import BadLineError, check_id, instant, livemode_of

CLIP, AIRDROP = "clip", "airdrop"
FAMILIES = {"CLIPPED": CLIP, "UNCLIPPED": CLIP, "AIRDROPPED": AIRDROP, "REVOKED": AIRDROP}
"""Which family an entitlement's `kind` is of."""

_ALWAYS = ("kind", "partner_id", "member_id", "livemode")
_REQUIRED = {
    "CLIPPED": ("clip_id", "program_id", "granted_at"),
    "UNCLIPPED": ("clip_id", "revoked_at"),
    "AIRDROPPED": ("airdrop_id", "program_id", "variant_id", "creative_id", "granted_at"),
    "REVOKED": ("airdrop_id", "revoked_at"),
}
_ALLOWED = {
    "CLIPPED": ("expires_at",),
    "UNCLIPPED": ("program_id",),
    "AIRDROPPED": ("expires_at",),
    "REVOKED": ("program_id",),
}
_FIELDS = frozenset(_ALWAYS).union(*_REQUIRED.values(), *_ALLOWED.values())


class Holder(NamedTuple):
    """A member, whose alone entitlements, limits, caps and stamps are."""

    livemode: bool
    partner_id: str
    member_id: str


class Grant(NamedTuple):
    """A clipped deal or an airdrop handed out; times in µs, `expires_at` None: never."""

    holder: Holder
    family: str
    id: str
    program_id: str
    variant_id: str | None
    creative_id: str | None
    granted_at: int
    expires_at: int | None

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it apart from the holder's others."""
        return "grant", self.family, self.id, self.granted_at


class End(NamedTuple):
    """The end of every grant of the id that was made before it."""

    holder: Holder
    family: str
    id: str
    revoked_at: int

    @property
    def identity(self) -> tuple[Any, ...]:
        """What tells it apart from the holder's others."""
        return "end", self.family, self.id, self.revoked_at


def read_entitlement(line: Mapping[str, Any]) -> Grant | End:
    """The entitlement in one JSON object of contract.md §3. Raises `BadLineError`."""
    kind = line.get("kind")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise BadLineError(f"kind {kind!r}")
    allowed = (*_ALWAYS, *_REQUIRED[kind], *_ALLOWED[kind])
    for field, value in line.items():
        if field not in _FIELDS or (value is not None and field not in allowed):
            raise BadLineError(f"{kind} has no field {field}")
        if field.endswith("_id"):
            check_id(field, value, optional=field not in _REQUIRED[kind])
    for field in ("partner_id", "member_id", *_REQUIRED[kind]):
        if line.get(field) is None:
            raise BadLineError(f"{field} missing on {kind}")
    if ":" in line["partner_id"]:
        raise BadLineError("partner_id has a colon")
    holder = Holder(livemode_of(line), line["partner_id"], line["member_id"])
    family = FAMILIES[kind]
    name = line[f"{family}_id"]
    if "revoked_at" in _REQUIRED[kind]:
        return End(holder, family, name, instant(line, "revoked_at"))
    granted_at = instant(line, "granted_at")
    expires_at = None if line.get("expires_at") is None else instant(line, "expires_at")
    if expires_at is not None and expires_at <= granted_at:
        raise BadLineError(f"expires_at {line['expires_at']!r} is not after granted_at")
    variant_id, creative_id = line.get("variant_id"), line.get("creative_id")
    return Grant(holder, family, name, line["program_id"], variant_id, creative_id, granted_at, expires_at)


class Holdings:
    """All that is known of one member's entitlements."""

    def __init__(self) -> None:
        self._known: dict[tuple[Any, ...], Grant | End] = {}

    def take(self, entitlement: Grant | End) -> str:
        """Keep it; what became of it: entitlement, entitlement_repeated or entitlement_conflict."""
        known = self._known.setdefault(entitlement.identity, entitlement)
        if known is entitlement:
            return "entitlement"
        return "entitlement_repeated" if known == entitlement else "entitlement_conflict"

    def best(self, family: str, program_id: str, at: int, is_used_up: Callable[[Grant], bool]) -> Grant | str:
        """The grant that a purchase at `at` (µs) goes by, or the reason why there is none."""
        free = [
            grant
            for grant in self._known.values()
            if isinstance(grant, Grant)
            and (grant.family, grant.program_id) == (family, program_id)
            and grant.granted_at <= at
            and not is_used_up(grant)
        ]
        valid = [grant for grant in free if self._counts(grant, at)]
        if valid:
            return min(valid, key=_first_to_go)
        if any(self._ran_out(grant, at) for grant in free):
            return "ENTITLEMENT_EXPIRED"
        return "NOT_ENTITLED"

    def _counts(self, grant: Grant, at: int) -> bool:
        ended_at = self._ended_at(grant)
        return (grant.expires_at is None or at < grant.expires_at) and (ended_at is None or at < ended_at)

    def _ran_out(self, grant: Grant, at: int) -> bool:
        """Whether it was its expiry, and no end before or at it, that ended it."""
        if grant.expires_at is None or grant.expires_at > at:
            return False
        ended_at = self._ended_at(grant)
        return ended_at is None or ended_at > grant.expires_at

    def _ended_at(self, grant: Grant) -> int | None:
        """The first end of its id that is later than the grant."""
        return min(
            (
                end.revoked_at
                for end in self._known.values()
                if isinstance(end, End)
                and (end.family, end.id) == (grant.family, grant.id)
                and end.revoked_at > grant.granted_at
            ),
            default=None,
        )


def _first_to_go(grant: Grant) -> tuple[Any, ...]:
    return grant.expires_at is None, grant.expires_at or 0, grant.granted_at, grant.id
