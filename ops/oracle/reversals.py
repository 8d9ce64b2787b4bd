"""What people say of cashbacks that cleared: an operator wants one back, accounting decides on its case."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ops.oracle.facts import BadLineError, Purchase, check_id, instant, livemode_of

_IDS = ("partner_id", "member_id", "external_id", "program_id")
_FIELDS = frozenset(
    (*_IDS, "sequence", "revision", "decision", "livemode", "actor", "second_actor", "reason", "decided_at")
)
_REASON_MAX = 1_000
_MARKS = frozenset({"decision", "decided_at"})


class Decision(NamedTuple):
    """Which revision of the case of which cashback, and what was decided; `decided_at` in µs."""

    purchase: Purchase
    program_id: str
    sequence: int
    revision: int
    is_approval: bool
    actor: str
    second_actor: str | None
    reason: str
    decided_at: int


@dataclass(slots=True)
class Dispute:
    """What the case of a cashback does not tell.

    `refunded`: what refunds leave too much of it, as last looked at while an operator wanted all of it back;
    of a declined case what was accepted. `decisions`: those that were taken.
    """

    refunded: int = 0
    is_wanted_back: bool = False
    wanted_at: int = 0
    decisions: set[Decision] = field(default_factory=set)


def is_decision(line: Mapping[str, Any]) -> bool:
    """Whether an input means to be one."""
    return line.keys() >= _MARKS


def read_decision(line: Mapping[str, Any]) -> Decision:
    """The decision in one JSON object. Raises `BadLineError`."""
    if not line.keys() <= _FIELDS:
        raise BadLineError(f"unknown field {min(line.keys() - _FIELDS)}")
    for name in (*_IDS, "actor"):
        check_id(name, line.get(name))
    if ":" in line["partner_id"]:
        raise BadLineError("partner_id has a colon")
    second = line.get("second_actor")
    check_id("second_actor", second, optional=True)
    if second is not None and second.strip().casefold() == line["actor"].strip().casefold():
        raise BadLineError(f"second_actor {second!r} is the first")
    reason = line.get("reason")
    if not isinstance(reason, str) or not reason.strip() or len(reason) > _REASON_MAX:
        raise BadLineError(f"reason {reason!r}")
    if any(c < " " or c == "\x7f" or "\ud800" <= c <= "\udfff" for c in reason):
        raise BadLineError(f"reason {reason!r} has a control character")
    for name in ("sequence", "revision"):
        if type(line.get(name)) is not int or line[name] < 1:
            raise BadLineError(f"{name} {line.get(name)!r}")
    if line["decision"] not in ("APPROVED", "DECLINED"):
        raise BadLineError(f"decision {line['decision']!r}")
    partner_id, member_id, external_id, program_id = (line[name] for name in _IDS)
    return Decision(
        Purchase(livemode_of(line), partner_id, member_id, external_id),
        program_id,
        line["sequence"],
        line["revision"],
        line["decision"] == "APPROVED",
        line["actor"],
        second,
        reason,
        instant(line, "decided_at"),
    )
