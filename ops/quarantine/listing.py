"""Which quarantined records are meant, oldest first, as rows for people and scripts."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from heapq import nsmallest

from ops.quarantine.decoding import decoded, whose
from ops.quarantine.reading import Lying, Resolutions
from schemas.times import to_iso

OPEN = "open"


@dataclass(frozen=True)
class Wanted:
    """What a record must be like; None: anything. `since_ms`: set aside at or after, ms since 1970 UTC."""

    reason: str | None = None
    partner: str | None = None
    since_ms: int = 0
    only_open: bool = True


@dataclass(frozen=True)
class Row:
    """One record that waits or waited. `age_s`: since it was first seen; `status`: open, or what was done."""

    source: str
    place: str
    status: str
    reason: str
    message: str
    first_seen: str
    age_s: int
    record: str | None
    partner_id: str | None
    member_id: str | None
    requeued_from: str | None = None
    lies_at: str | None = None


@dataclass
class Selected:
    """The oldest of what is wanted, and how many there are by reason, also beyond those."""

    oldest: list[Lying] = field(default_factory=list)
    by_reason: Counter[str] = field(default_factory=Counter)


def select(records: Iterable[Lying], resolutions: Resolutions, wanted: Wanted, *, most: int) -> Selected:
    """The `most` oldest of the records that are wanted."""
    selected = Selected()
    selected.oldest = nsmallest(
        most,
        _counted(records, resolutions, wanted, selected.by_reason),
        key=lambda lying: (lying.record.refusal.first_seen_ms, lying.place),
    )
    return selected


def row_of(lying: Lying, resolutions: Resolutions, *, now_ms: int) -> Row:
    """A record as a row."""
    record, refusal = lying.record, lying.record.refusal
    value = decoded(record.value)
    partner_id, member_id = whose(record.key, value)
    return Row(
        source="stream",
        place=str(lying.place),
        status=status_of(lying, resolutions),
        reason=refusal.reason,
        message=refusal.message,
        first_seen=to_iso(refusal.first_seen_ms * 1_000),
        age_s=max(0, now_ms - refusal.first_seen_ms) // 1_000,
        record=value.record,
        partner_id=partner_id,
        member_id=member_id,
        requeued_from=record.requeued_from,
        lies_at=lying.lies_at,
    )


def status_of(lying: Lying, resolutions: Resolutions) -> str:
    """Open, or what was done last."""
    done = resolutions.get(lying.place)
    return done[-1].action.lower() if done else OPEN


def _counted(
    records: Iterable[Lying], resolutions: Resolutions, wanted: Wanted, by_reason: Counter[str]
) -> Iterator[Lying]:
    for lying in records:
        if _is_wanted(lying, resolutions, wanted):
            by_reason[lying.record.refusal.reason] += 1
            yield lying


def _is_wanted(lying: Lying, resolutions: Resolutions, wanted: Wanted) -> bool:
    record = lying.record
    if wanted.only_open and lying.place in resolutions:
        return False
    if wanted.reason not in (None, record.refusal.reason) or lying.since_ms < wanted.since_ms:
        return False
    return wanted.partner is None or whose(record.key, decoded(record.value))[0] == wanted.partner
