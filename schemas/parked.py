"""An operator's word on a parked event: a refund, void or decline that waits for its purchase."""

from typing import Any

import msgspec

from schemas.errors import Rejected
from schemas.quarantine import DISCARDED, REQUEUED
from schemas.revocations import REASON_MAX
from schemas.times import Micros, in_range
from schemas.transactions import check_id, check_partner

ACTIONS = (DISCARDED, REQUEUED)
"""It is given up, or it waits anew from when that was decided."""


class ParkedDecision(msgspec.Struct, frozen=True, gc=False):
    """Which event, what becomes of it, who decided it, why and when (microseconds UTC).

    The event is named by its identity (`kind`, `part_id`) and not by its place: this lies on the input log
    itself, and when that is spread over more partitions places change. Valid by construction of `checked`.
    """

    partner_id: str
    member_id: str
    external_id: str
    kind: str
    part_id: str | None
    action: str
    actor: str
    reason: str
    decided_at: Micros
    livemode: bool = True

    @property
    def key(self) -> bytes:
        """Message key: that of the member."""
        return f"{self.partner_id}:{self.member_id}".encode()


def checked(datum: dict[str, Any]) -> ParkedDecision:
    """The decision in a decoded Avro datum. Raises `Rejected` naming the first field that is wrong."""
    decision = ParkedDecision(**datum)
    for field in ("partner_id", "member_id", "external_id", "actor"):
        check_id(field, getattr(decision, field))
    check_partner(decision.partner_id)
    if decision.part_id is not None:
        check_id("part_id", decision.part_id)
    if decision.action not in ACTIONS:
        problem = f"{decision.action} is nothing this version does"
        raise Rejected("action", problem, f"send one of {', '.join(ACTIONS)}, or update the worker")
    if not decision.reason.strip():
        raise Rejected("reason", "empty", "say why; it is kept")
    check_id("reason", decision.reason, REASON_MAX)
    in_range(decision.decided_at, "decided_at")
    return decision


def to_datum(decision: ParkedDecision) -> dict[str, Any]:
    """The Avro datum of a decision."""
    return msgspec.structs.asdict(decision)
