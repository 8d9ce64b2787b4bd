"""The schedule of a seed: which fault strikes when which share of the inputs is written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from ops.torture.faults import FORMS, Kind

FIRST, LAST = 0.01, 0.985
"""Shares of the inputs between which faults strike."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The `number`-th fault of a run; `seed` is that of everything random in it."""

    number: int
    kind: Kind
    share: float
    seed: str

    def __str__(self) -> str:
        return f"{self.number} {self.kind} at {self.share:.1%}"


def schedule(seed: int, counts: Mapping[Kind, int]) -> list[Fault]:
    """So many faults of each kind, in the order in which they strike."""
    rng = Random(f"{seed} schedule")
    chosen = [kind for kind in Kind for _ in range(counts.get(kind, 0))]
    faults = len(chosen)
    rng.shuffle(chosen)
    step = (LAST - FIRST) / max(1, faults)
    return [
        Fault(number, kind, FIRST + step * (number + rng.random()), f"{seed} {number} {kind}")
        for number, kind in enumerate(chosen)
    ]


def apportioned(faults: int, kinds: Sequence[Kind] = tuple(Kind)) -> dict[Kind, int]:
    """`faults` faults shared among kinds by their weight, after one of each, the heaviest first."""
    by_weight = sorted(kinds, key=lambda kind: -FORMS[kind].weight)
    counts = dict.fromkeys(by_weight[:faults], 1)
    total = sum(FORMS[kind].weight for kind in kinds)
    while sum(counts.values()) < faults:
        total_now = sum(counts.values()) + 1
        neediest = max(counts, key=lambda kind: FORMS[kind].weight * total_now / total - counts[kind])
        counts[neediest] += 1
    return counts
