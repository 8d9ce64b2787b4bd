"""An accounting user's word on a reversal case: whether a cleared cashback is taken back."""

from hashlib import sha256
from typing import Any
from unicodedata import category, normalize

import msgspec

from schemas.errors import Rejected
from schemas.revocations import REASON_MAX
from schemas.times import Micros, in_range
from schemas.transactions import check_id, check_partner

APPROVED = "APPROVED"
DECLINED = "DECLINED"

_encode = msgspec.msgpack.Encoder().encode


class ReversalDecision(msgspec.Struct, frozen=True, gc=False):
    """Which case in which revision, what was decided, by whom, why and when (microseconds UTC).

    Valid by construction of `checked`.
    """

    partner_id: str
    member_id: str
    external_id: str
    program_id: str
    sequence: int
    revision: int
    decision: str
    actor: str
    reason: str
    decided_at: Micros
    second_actor: str | None = None
    livemode: bool = True

    @property
    def key(self) -> bytes:
        """Message key: that of the member."""
        return f"{self.partner_id}:{self.member_id}".encode()

    @property
    def digest(self) -> bytes:
        """Eight bytes that tell two decisions about one cashback apart."""
        return sha256(_encode(self)).digest()[:8]


def checked(datum: dict[str, Any]) -> ReversalDecision:
    """The decision in a decoded Avro datum. Raises `Rejected` naming the first field that is wrong."""
    decision = ReversalDecision(**datum)
    for field in ("partner_id", "member_id", "external_id", "program_id", "actor"):
        check_id(field, getattr(decision, field))
    check_partner(decision.partner_id)
    if not decision.reason.strip():
        raise Rejected("reason", "empty", "say why; it is kept")
    check_id("reason", decision.reason, REASON_MAX)
    for field in ("sequence", "revision"):
        if getattr(decision, field) < 1:
            raise Rejected(field, f"{getattr(decision, field)} is below 1", f"{field}s count from 1")
    if decision.second_actor is not None:
        check_id("second_actor", decision.second_actor)
        if is_same(decision.actor, decision.second_actor):
            raise Rejected("second_actor", f"{decision.actor} again", "let another person approve")
    in_range(decision.decided_at, "decided_at")
    return decision


def person(actor: str) -> str:
    """A name in one form: case, blanks, width and signs that nobody sees do not make two people of one."""
    seen = "".join(sign for sign in normalize("NFKC", actor).casefold() if category(sign) != "Cf")
    return " ".join(normalize("NFKC", seen).split())


def is_same(actor: str, other: str) -> bool:
    """Whether two names are one person's."""
    return person(actor) == person(other)


def to_datum(decision: ReversalDecision) -> dict[str, Any]:
    """The Avro datum of a decision."""
    return msgspec.structs.asdict(decision)
