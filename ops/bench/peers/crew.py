"""Workers that are struck and started again, as a supervisor would; driven from one thread."""

import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from ops.bench.measure import BenchFailed
from ops.embedded.children import start_tethered, stop

STOP_TIMEOUT_S = 10.0
SETTLED_S = 10.0
"""A worker that was killed has its partitions back by then."""
WOKEN_S = 2.0


@dataclass(frozen=True)
class Strike:
    """Kill -9 a worker `at_s` seconds after the start; with `stopped_s` stop it, and wake it after that."""

    at_s: float
    worker: int
    stopped_s: float | None = None


def schedule(
    seed: int, *, seconds: float, kills: int, zombies: int, stopped_s: float, workers: int
) -> list[Strike]:
    """Strikes at moments drawn from the seed, none in the last fifth of the time; one zombie at a time.

    Zombies are at work before and left to wake: a kill around that time hits another worker.

    Raises `BenchFailed` when the time is too short for the zombies, one after the other.
    """
    rnd = Random(seed)
    until_s = seconds * 0.8
    if zombies * stopped_s > until_s:
        raise BenchFailed(
            f"{zombies} zombies of {stopped_s:.0f} s do not fit into {seconds:.0f} s: fewer, or longer"
        )
    asleep: list[Strike] = []
    for number in range(zombies):
        slot_s = until_s / zombies
        at_s = number * slot_s + rnd.uniform(0, max(0.0, slot_s - stopped_s))
        asleep.append(Strike(at_s, rnd.randrange(workers), stopped_s))
    struck: list[Strike] = []
    while len(struck) < kills:
        at_s = rnd.uniform(0, until_s)
        spared = {each.worker for each in asleep if -SETTLED_S <= at_s - each.at_s <= stopped_s + WOKEN_S}
        if len(spared) < workers:
            struck.append(Strike(at_s, rnd.choice([each for each in range(workers) if each not in spared])))
    return sorted(asleep + struck, key=lambda strike: strike.at_s)


@dataclass
class Crew:
    """So many processes of a program; `look` does what is due by now."""

    command: Callable[[int], Sequence[str]]
    workers: int
    strikes: list[Strike]
    logs: Path
    exits: Counter[int] = field(default_factory=Counter)
    _children: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _asleep: dict[int, float] = field(default_factory=dict)

    def start(self) -> None:
        """All of them."""
        self._children = [self._start(worker) for worker in range(self.workers)]

    def look(self, now_s: float) -> None:
        """Strike and wake whoever is due `now_s` seconds after the start; start again whoever ended."""
        while self.strikes and self.strikes[0].at_s <= now_s:
            self._strike(self.strikes.pop(0))
        for worker, until_s in list(self._asleep.items()):
            if until_s <= now_s:
                self._wake(worker)
        for worker, child in enumerate(self._children):
            if (code := child.poll()) is not None:
                self.exits[code] += 1
                self._children[worker] = self._start(worker)

    @property
    def is_left_alone(self) -> bool:
        """No strike is left and nobody sleeps."""
        return not self.strikes and not self._asleep

    def stop(self) -> None:
        """End all of them."""
        for child in self._children:
            stop(child, timeout_s=STOP_TIMEOUT_S)

    def _start(self, worker: int) -> subprocess.Popen[bytes]:
        return start_tethered(self.command(worker), log=self.logs / f"worker-{worker}.log")

    def _strike(self, strike: Strike) -> None:
        child = self._children[strike.worker]
        if strike.stopped_s is None:
            self._asleep.pop(strike.worker, None)
            child.kill()
            child.wait()
        else:
            child.send_signal(signal.SIGSTOP)
            self._asleep[strike.worker] = strike.at_s + strike.stopped_s

    def _wake(self, worker: int) -> None:
        del self._asleep[worker]
        self._children[worker].send_signal(signal.SIGCONT)
