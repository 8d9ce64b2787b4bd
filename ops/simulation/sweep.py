"""Many seeds on several processes, and one seed retold as short as it can be."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from ops.simulation.checks import Broken
from ops.simulation.world import World

CHUNK = 200
"""Seeds a process takes at a time."""
VIOLATIONS_MAX = 20
"""After so many a sweep stops: they are likely the same."""
_SAY_EVERY_S = 5.0


@dataclass(frozen=True, slots=True)
class Violation:
    """A history in which a rule does not hold: I2 to I8 as `ops.torture.judgement` lists them, or another."""

    seed: int
    rule: str
    story: str

    def __str__(self) -> str:
        return f"seed {self.seed}: {self.rule}: {self.story}; {self.replay}"

    @property
    def replay(self) -> str:
        """The command that shows it."""
        return f"cashback simulation --seed {self.seed}"


@dataclass(slots=True)
class Report:
    """What was run; `counts` says how often each thing happened."""

    first_seed: int
    histories: int = 0
    inputs: int = 0
    seconds: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)
    violations: list[Violation] = field(default_factory=list)

    def add(self, other: Report) -> None:
        """Take in the next seeds."""
        self.histories += other.histories
        self.inputs += other.inputs
        self.counts.update(other.counts)
        self.violations += other.violations

    def as_json(self) -> dict[str, Any]:
        return {
            "histories": self.histories,
            "first_seed": self.first_seed,
            "last_seed": self.first_seed + self.histories - 1,
            "inputs": self.inputs,
            "seconds": round(self.seconds, 1),
            "histories_per_s": round(self.histories / self.seconds, 1) if self.seconds else None,
            "counts": dict(sorted(self.counts.items())),
            "violations": [
                {"seed": v.seed, "rule": v.rule, "story": v.story, "replay": v.replay}
                for v in self.violations
            ],
        }


def sweep(
    first_seed: int,
    histories: int,
    *,
    jobs: int = 1,
    violations_max: int = VIOLATIONS_MAX,
    say: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run seeds `first_seed` to `first_seed + histories - 1`; stops early after so many violations.

    `say` hears how far it is, and each violation at once. A KeyboardInterrupt ends it with what is done.
    """
    report = Report(first_seed)
    started = said = monotonic()
    try:
        for part in _parts(first_seed, histories, jobs, violations_max):
            report.add(part)
            report.seconds = monotonic() - started
            for violation in part.violations:
                say(str(violation))
            if monotonic() - said > _SAY_EVERY_S:
                said = monotonic()
                say(_progress(report, histories))
            if len(report.violations) >= violations_max:
                break
    except KeyboardInterrupt:
        say(f"interrupted; go on with --from-seed {first_seed + report.histories}")
    report.seconds = monotonic() - started
    return report


def run_seeds(first_seed: int, histories: int, violations_max: int = VIOLATIONS_MAX) -> Report:
    """Run some seeds in this process; stops early after so many violations."""
    report = Report(first_seed)
    for seed in range(first_seed, first_seed + histories):
        world = World(seed)
        violation = attempt(world)
        report.histories += 1
        report.inputs += world.inputs
        report.counts.update(world.counts)
        if violation is not None:
            report.violations.append(violation)
            if len(report.violations) >= violations_max:
                break
    return report


def collect_less() -> None:
    """Histories are thousands of short-lived objects: the cycle collector's defaults cost a fifth."""
    gc.set_threshold(100_000, 50, 100)


def _begin() -> None:
    """A process of the pool: it ends when its parent says so, not by the terminal's Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_less()


def attempt(world: World) -> Violation | None:
    """Run a world; None when all holds."""
    try:
        world.run()
    except Broken as broken:
        return Violation(world.seed, broken.rule, broken.story)
    except Exception as error:  # noqa: BLE001 - what the stages must never do is a finding, too
        where = traceback.extract_tb(error.__traceback__)[-1]
        return Violation(world.seed, "exception", f"{error!r} at {where.filename}:{where.lineno}")
    return None


def _parts(first_seed: int, histories: int, jobs: int, violations_max: int) -> Iterator[Report]:
    ranges = [
        (seed, min(CHUNK, first_seed + histories - seed), violations_max)
        for seed in range(first_seed, first_seed + histories, CHUNK)
    ]
    if jobs == 1 or len(ranges) == 1:
        for seeds in ranges:
            yield run_seeds(*seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs, initializer=_begin) as pool:
        yield from pool.imap(_run_range, ranges)


def _run_range(seeds: tuple[int, int, int]) -> Report:
    return run_seeds(*seeds)


def _progress(report: Report, histories: int) -> str:
    rate = report.histories / report.seconds
    left = (histories - report.histories) / rate
    return (
        f"{report.histories:,} of {histories:,} done, {rate:,.0f}/s, {len(report.violations)} violations, "
        f"next seed {report.first_seed + report.histories}, {left:,.0f} s to go"
    )
