"""Faults on a schedule, struck while inputs are written, each measured until the stage it hit goes on."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from time import monotonic

from connectors.writer import InputsWriter
from ops.health import Ready, ask_readiness
from schemas.programs import parse_program
from schemas.times import SECOND, Micros
from schemas.transactions import from_json
from tests.e2e.pipeline import GUEST, WORKERS, Pipeline
from tests.e2e.watch import INPUT, LEDGER, WEBHOOKS, Stages, Watch
from tests.eventually import eventually
from tests.histories import Line

GIVE_UP_S = 90.0
"""A fault that is not healed by then fails the run at once."""
SUSPENDED_S = 8.0
"""How long a stopped worker stays stopped: past its session of six seconds."""
CHUNK = 250
INPUTS_PER_S = 1_500
LEAD = 0.06
"""How far, as a share of the inputs, writing may be ahead of the faults that are due."""
KILLS = 10


class Blow(StrEnum):
    KILL = "kill -9"
    SUSPEND = "SIGSTOP"
    WAKE = "SIGCONT"
    JOIN = "join"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True)
class Step:
    """A blow to a process when that share of the inputs is written."""

    share: float
    blow: Blow
    target: str


@dataclass(frozen=True, slots=True)
class Fault:
    """A blow that was struck; `pause_s`: from the blow until every place of its stage had gone on."""

    step: Step
    stage: str
    pause_s: float

    def __str__(self) -> str:
        step = self.step
        return f"{self.pause_s:5.1f} s  {step.blow} {step.target} at {step.share:.1%} ({self.stage})"


def worker_steps(rng: Random) -> list[Step]:
    """For the first half two workers: kills, a sleep past the session, a storm; then kills of the one.

    The last one strikes when all that is held falls due at once.
    """
    blocks: list[list[tuple[Blow, str]]] = [[(Blow.KILL, rng.choice(WORKERS))] for _ in range(KILLS // 2)]
    sleeper = rng.choice(WORKERS)
    blocks.append([(Blow.SUSPEND, sleeper), (Blow.WAKE, sleeper)])
    come_and_go = [(Blow.JOIN, GUEST), (Blow.LEAVE, GUEST)]
    blocks.append([*come_and_go, (Blow.LEAVE, WORKERS[1]), (Blow.JOIN, WORKERS[1]), *come_and_go * 2])
    rng.shuffle(blocks)
    first = [blow for block in blocks for blow in block]
    second = [(Blow.LEAVE, WORKERS[1])] + [(Blow.KILL, WORKERS[0])] * (KILLS - KILLS // 2)
    last = Step(1.0, Blow.KILL, WORKERS[0])
    return [*_spread(rng, first, 0.01, 0.49), *_spread(rng, second, 0.5, 0.98), last]


def sink_steps(rng: Random, sink: str) -> list[Step]:
    """Kills over the whole run, and one when all that is held falls due."""
    return [*_spread(rng, [(Blow.KILL, sink)] * KILLS, 0.01, 0.98), Step(1.0, Blow.KILL, sink)]


def _spread(rng: Random, blows: Sequence[tuple[Blow, str]], start: float, end: float) -> list[Step]:
    shares = sorted(rng.uniform(start, end) for _ in blows)
    return [Step(share, blow, target) for share, (blow, target) in zip(shares, blows, strict=True)]


@dataclass
class Storm:
    """Writes the inputs and strikes; `faults` afterwards tell what happened."""

    pipeline: Pipeline
    watch: Watch
    programs: Sequence[Line]
    inputs: Sequence[Line]
    until: Micros
    """To what the clock moves after the last input."""
    lanes: dict[str, list[Step]]
    """The steps of each stage, one after the other; stages are struck independently of each other."""
    faults: list[Fault] = field(default_factory=list)
    _written: float = 0.0
    _ahead: dict[str, float] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _over: bool = False

    def run(self) -> None:
        """Returns when all inputs are written and every fault is healed; raises what went wrong first."""
        self._ahead = dict.fromkeys(self.lanes, 0.0)
        jobs = [self._write, *(lambda s=stage: self._strike_all(s) for stage in self.lanes)]
        with ThreadPoolExecutor(len(jobs)) as pool:
            for future in [pool.submit(self._guarded, job) for job in jobs]:
                future.result()

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            with self._changed:
                self._over = True
                self._changed.notify_all()
            raise

    def _write(self) -> None:
        with InputsWriter(self.pipeline.settings) as writer:
            for program in self.programs:
                writer.write_program(parse_program(program))
            for start in range(0, len(self.inputs), CHUNK):
                for line in self.inputs[start : start + CHUNK]:
                    writer.write(from_json(line))
                self._tell_written(min(start + CHUNK, len(self.inputs)) / (len(self.inputs) + 1))
                with self._changed:
                    self._changed.wait_for(lambda: self._over, CHUNK / INPUTS_PER_S)
                    self._changed.wait_for(self._may_go_on)
                if self._over:
                    return
            # Of a tick that a crash cuts short the position alone may be left to commit, which is not urgent:
            # the second one makes it so.
            writer.tick(self.until - SECOND)
            writer.tick(self.until)
            writer.flush()
            self._tell_written(1.0)

    def _tell_written(self, share: float) -> None:
        with self._changed:
            self._written = share
            self._changed.notify_all()

    def _may_go_on(self) -> bool:
        return self._over or self._written < min(self._ahead.values()) + LEAD

    def _strike_all(self, stage: str) -> None:
        for step in self.lanes[stage]:
            self._wait_for(step.share, stage)
            if self._over:
                return
            pause_s = self._strike(step, stage)
            self.faults.append(Fault(step, stage, pause_s))

    def _wait_for(self, share: float, stage: str) -> None:
        with self._changed:
            self._ahead[stage] = share
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._over or self._written >= share)

    def _strike(self, step: Step, stage: str) -> float:
        supervisor, target = self.pipeline.supervisor, step.target
        if step.blow is Blow.SUSPEND:  # one that is only starting has no session to lose
            eventually(lambda: self._is_ready(target), timeout_s=GIVE_UP_S)
        elif step.blow is not Blow.JOIN:
            eventually(lambda: self._is_there(target), timeout_s=GIVE_UP_S)
        struck_s = monotonic()
        match step.blow:
            case Blow.KILL:
                supervisor.kill(target)
            case Blow.SUSPEND:
                supervisor.pause(target)
            case Blow.LEAVE:
                supervisor.stop(target)
            case Blow.JOIN:
                self.pipeline.begin(target)
                eventually(lambda: self._is_ready(target), timeout_s=GIVE_UP_S)
            case Blow.WAKE:
                self._wake(target)
        before = self.watch.look()
        is_back = self._is_ready if step.blow in (Blow.KILL, Blow.WAKE) else lambda _: True
        try:
            eventually(
                lambda: is_back(target) and has_gone_on(self.watch.look(), before, stage),
                timeout_s=GIVE_UP_S,
            )
        except AssertionError as error:
            raise AssertionError(f"{step}: {stage} did not go on: {self.watch.look()[stage]}") from error
        pause_s = monotonic() - struck_s
        if step.blow is Blow.SUSPEND:
            with self._changed:
                self._changed.wait_for(lambda: self._over, max(0.0, SUSPENDED_S - pause_s))
        return pause_s

    def _wake(self, target: str) -> None:
        """A worker that slept past its session must find out, and leave."""
        supervisor = self.pipeline.supervisor
        slept = supervisor.pid(target)
        supervisor.resume(target)
        eventually(lambda: self._is_there(target) and supervisor.pid(target) != slept, timeout_s=GIVE_UP_S)

    def _is_there(self, target: str) -> bool:
        try:
            return self.pipeline.supervisor.pid(target) > 0
        except ProcessLookupError:
            return False

    def _is_ready(self, target: str) -> bool:
        return isinstance(ask_readiness(self.pipeline.supervisor.health_port(target)), Ready)


def has_gone_on(now: Stages, before: Stages, stage: str) -> bool:
    """Whether every place of the stage moved since, or has nothing to do."""
    return all(place.has_gone_on_since(before[stage][name]) for name, place in now[stage].items())


def lanes(seed: int) -> dict[str, list[Step]]:
    """The whole schedule of a seed."""
    return {
        INPUT: worker_steps(Random(f"{seed} workers")),
        LEDGER: sink_steps(Random(f"{seed} ledger"), "ledger"),
        WEBHOOKS: sink_steps(Random(f"{seed} webhooks"), "webhooks"),
    }
