"""I7: how late cashbacks clear, from the input that makes them due to their entry in the ledger."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ops.oracle import Recomputation
from ops.torture.faults import FORMS, Kind
from ops.torture.progress import Felt
from ops.torture.watch import Stage

LATE_S_MAX = 60.0
_ON_THE_WAY = {Stage.INPUT, Stage.LEDGER}

Outage = tuple[float, float]
"""From, to, Unix seconds."""


@dataclass
class Arrivals:
    """When a partition's inputs came (Unix ms): `at_ms` of each place of the log; clock (µs) and time of all
    that moved it.
    """

    at_ms: list[int] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)
    moved_ms: list[int] = field(default_factory=list)

    def moved(self, clock: int, at_ms: int) -> None:
        """The clock stands there from then on."""
        if not self.clocks or clock > self.clocks[-1]:
            self.clocks.append(clock)
            self.moved_ms.append(at_ms)

    def due_ms(self, place: int | None, cleared_at: int) -> int | None:
        """Since when something could be cleared that the input at `place` cleared, or none: the clock alone.

        None when the clock never came that far.
        """
        if place is not None:
            return self.at_ms[place]
        moved = bisect_left(self.clocks, cleared_at)
        return self.moved_ms[moved] if moved < len(self.clocks) else None


def outages(felt: Iterable[Felt], stops: Iterable[Outage] = ()) -> list[Outage]:
    """While a fault kept events from being decided or booked, or the run was stopped; one after the other."""
    merged: list[Outage] = []
    faults = ((each.began_at, each.over_at) for each in felt if _breaks(each))
    for begin, end in sorted([*faults, *stops]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    return merged


def late(
    expected: Recomputation,
    posted: Iterable[tuple[str, datetime]],
    arrivals: Arrivals,
    broken: Sequence[Outage],
) -> tuple[float, list[str]]:
    """The longest wait in seconds, of which outages count nothing; and what waited for too long."""
    longest_s, wrong = 0.0, []
    for cashback_id, posted_at in posted:
        cashback = expected.cashbacks.get(cashback_id)
        if cashback is None or cashback.cleared_at is None:
            continue  # told elsewhere
        due_ms = arrivals.due_ms(expected.cleared_by.get(cashback_id), cashback.cleared_at)
        if due_ms is None:
            wrong.append(f"{cashback_id} cleared, though the clock never came to it")
            continue
        due_s = due_ms / 1_000
        waited_s = posted_at.timestamp() - due_s - _within(broken, due_s, posted_at.timestamp())
        longest_s = max(longest_s, waited_s)
        if waited_s > LATE_S_MAX:
            wrong.append(f"{cashback_id} cleared {waited_s:.1f} s after it could")
    return longest_s, wrong


def _breaks(felt: Felt) -> bool:
    is_on_the_way = bool(_ON_THE_WAY & set(FORMS[felt.kind].stages))
    return is_on_the_way and felt.kind is not Kind.REPLAY and not felt.skipped


def _within(broken: Sequence[Outage], begin: float, end: float) -> float:
    return sum(max(0.0, min(end, until) - max(begin, since)) for since, until in broken)
