"""A failing seed made as small as it goes while the same rule still breaks."""

from __future__ import annotations

from dataclasses import dataclass

from ops.simulation.sweep import Violation, attempt
from ops.simulation.world import World

_TRIES_MAX = 400


@dataclass(frozen=True, slots=True)
class Smallest:
    """What is left of a failing history: `without` these inputs, with at most so many faults."""

    violation: Violation
    without: frozenset[int]
    faults: int
    world: World

    @property
    def replay(self) -> str:
        """The command that shows just this."""
        left_out = ",".join(str(number) for number in sorted(self.without))
        return f"cashback simulation --seed {self.violation.seed} --faults {self.faults}" + (
            f" --without {left_out}" if left_out else ""
        )


def shrink(seed: int) -> Smallest | None:
    """Leave out inputs and faults as long as the rule stays broken; None when the seed is sound."""
    world = World(seed, traced=True)
    faults, without = world.faults_left, frozenset[int]()
    violation = attempt(world)
    if violation is None:
        return None
    smallest = Smallest(violation, without, faults, world)
    for fewer in range(faults):
        if smaller := _still(smallest, without, fewer):
            smallest = smaller
            break
    size, tries = max(1, world.history.items // 2), 0
    while size:
        for first in range(0, world.history.items, size):
            some = frozenset(range(first, first + size)) - smallest.without
            tries += 1
            if some and tries < _TRIES_MAX:
                smallest = _still(smallest, smallest.without | some, smallest.faults) or smallest
        size //= 2
    return smallest


def _still(smallest: Smallest, without: frozenset[int], faults: int) -> Smallest | None:
    """The history with less in it, if it breaks the same rule."""
    world = World(smallest.violation.seed, without=without, faults=faults, traced=True)
    violation = attempt(world)
    if violation is None or violation.rule != smallest.violation.rule:
        return None
    return Smallest(violation, without, faults, world)
