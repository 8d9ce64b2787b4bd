"""An operator's word that a pending cashback is taken back."""

from typing import Any

import msgspec

from schemas.errors import Rejected
from schemas.times import Micros, in_range
from schemas.transactions import check_id, check_partner

REASON_MAX = 1_000
"""Characters of a reason for people."""


class Revocation(msgspec.Struct, frozen=True, gc=False):
    """Which cashback, who decided it, why and when (microseconds UTC); valid by construction of `checked`."""

    partner_id: str
    member_id: str
    external_id: str
    program_id: str
    sequence: int
    actor: str
    reason: str
    revoked_at: Micros
    livemode: bool = True

    @property
    def key(self) -> bytes:
        """Message key: that of the member."""
        return f"{self.partner_id}:{self.member_id}".encode()


def checked(datum: dict[str, Any]) -> Revocation:
    """The revocation in a decoded Avro datum. Raises `Rejected` naming the first field that is wrong."""
    revocation = Revocation(**datum)
    for field in ("partner_id", "member_id", "external_id", "program_id", "actor"):
        check_id(field, getattr(revocation, field))
    check_partner(revocation.partner_id)
    if not revocation.reason.strip():
        raise Rejected("reason", "empty", "say why; it is kept")
    if len(revocation.reason) > REASON_MAX:
        raise Rejected("reason", f"{len(revocation.reason)} characters long", f"at most {REASON_MAX}")
    if revocation.sequence < 1:
        raise Rejected("sequence", f"{revocation.sequence} is below 1", "sequences count from 1")
    in_range(revocation.revoked_at, "revoked_at")
    return revocation


def to_datum(revocation: Revocation) -> dict[str, Any]:
    """The Avro datum of a revocation."""
    return msgspec.structs.asdict(revocation)
