"""One history with one schedule: workers, their group and what befalls them, all drawn from the seed.

First everything may go wrong, as often as the budget of faults allows. Then nothing does any more, and all
partitions must reach the end of their logs in a bounded number of steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from ops.settings import Settings
from ops.simulation.checks import Broken, StepChecks, check_history
from ops.simulation.cluster import Appended, Cluster, Transaction
from ops.simulation.disk import Disk, RealDisk
from ops.simulation.faults import FAULTS
from ops.simulation.history import History, make_history
from ops.simulation.undisturbed import compare_state
from ops.simulation.worker import Ended, Held, Worker
from schemas.topics import INPUTS, STATE
from streams.engine.fold import FoldFactory, Send
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStores, Store, Stores
from streams.fold import CashbackFold
from streams.quarantine import BadRun

FAULTS_MAX = 12
"""A history; a third of the histories have few of them, and some none."""
_STEPS_A_RECORD = 8
_COMPARED_EVERY = 8
"""Histories of which the whole state is compared, too: it costs a third of running them."""
_INTERLUDE = 0.06
_CRASH = 0.02
_TROUBLE = 0.02


class World:
    """Runs one seed. `trace` is kept only when `traced`; `state_directory`: state is really kept there."""

    def __init__(
        self,
        seed: int,
        *,
        without: frozenset[int] = frozenset(),
        faults: int | None = None,
        traced: bool = False,
        state_directory: Path | None = None,
    ) -> None:
        self.seed = seed
        self.history: History = make_history(seed, without)
        rng = Random(f"schedule {seed}")
        self.draw = rng.random
        self.counts: Counter[str] = Counter(self.history.kinds)
        self.trace: list[str] | None = [] if traced else None
        logs = self.history.logs
        self.engine_settings = EngineSettings(
            brokers="simulated",
            app_id="cashback",
            input_topic=INPUTS.name,
            changelog_topic=STATE.name,
            partitions=len(logs),
            state_directory=None if state_directory is None else str(state_directory),
        )
        self.on_real_disks = state_directory is not None
        self.cluster = Cluster(self, STATE.name, len(logs))
        self.checks = StepChecks(self.history)
        self.workers: list[Worker] = []
        self.owner: dict[int, Worker] = {}
        self.faults_left = int(self.draw() ** 2 * (FAULTS_MAX + 1))
        if faults is not None:
            self.faults_left = min(self.faults_left, faults)
        self._has_disks = self.draw() < 0.4
        self.disks: list[Disk] = []
        self._depth = 0
        self._started = 0

    @property
    def inputs(self) -> int:
        """Records of the input log."""
        return sum(len(log.records) for log in self.history.logs)

    def run(self) -> None:
        """The whole history. Raises Broken."""
        try:
            self._run()
        finally:
            for worker in self.workers:
                worker.end()

    def _run(self) -> None:
        self._guarded(self._begin)
        steps = 60 + _STEPS_A_RECORD * self.inputs
        while steps and self.checks.unfinished:
            steps -= 1
            self._step()
        self._calm(steps=200 + 2 * _STEPS_A_RECORD * self.inputs)
        for rule, story in check_history(self.history, self.checks.partitions, self.counts):
            self.broken(rule, story)
        if self.seed % _COMPARED_EVERY == 0:
            compare_state(self)

    # What the cluster and the workers ask of the world

    def fold_factory(self, worker: Worker) -> FoldFactory:
        """The folds of a worker: the real ones, with the settings of the history."""
        settings = _settings(self.history.clock, self.history.due_slice)
        bad_run = BadRun(self.history.bad_input_limit)

        def pause(reason: str) -> None:
            self.counts["pause"] += 1
            self.told(worker, "pauses: {}", reason)
            worker.pauses.append(reason)

        def fold(partition: int, store: Store, send: Send) -> CashbackFold:
            return CashbackFold(
                partition,
                store,
                worker.failing(send),
                settings,
                input_topic=INPUTS.name,
                bad_run=bad_run,
                report=_nothing,
                pause=pause,
            )

        return fold

    def reached(self, worker: Worker, place: str) -> None:
        if not worker.alive:
            raise Ended
        if not self.faults_left:
            return
        chance = self.draw()
        if chance < _CRASH:
            self.counts[f"crash: {place}"] += 1
            self.kill(worker)
            raise Ended
        if chance < _CRASH + _INTERLUDE and self._depth < 2:
            self.counts["interlude"] += 1
            self.told(worker, "is at {}; meanwhile:", place)
            self._depth += 1
            for _ in range(1 + int(self.draw() * 12)):
                self._step()
            self._depth -= 1
            if not worker.alive:
                raise Ended

    def trouble(self) -> bool:
        return self.faults_left > 0 and self.draw() < _TROUBLE

    def visible(self, records: list[Appended], transaction: Transaction | None) -> None:
        if transaction is None:
            self.broken("transactions", f"{len(records)} records were written outside of any transaction")
        assert transaction is not None
        partition = int(transaction.id.rpartition("-")[2])
        try:
            self.checks.committed(partition, records)
        except Broken as broken:
            self.broken(broken.rule, broken.story)
        self.counts["commit"] += 1

    def told_group(self, partition: int, next_offset: int) -> None:
        """The group takes an offset. Raises Broken."""
        self.cluster.group[partition] = next_offset
        try:
            self.checks.told(partition, next_offset)
        except Broken as broken:
            self.broken(broken.rule, broken.story)
        self.counts["group told"] += 1

    def broken(self, rule: str, story: str, cause: BaseException | None = None) -> None:
        raise Broken(rule, story) from cause

    def told(self, worker: Worker | None, text: str, *values: object) -> None:
        if self.trace is not None:
            who = "        " if worker is None else str(worker)
            self.trace.append(f"{'    ' * self._depth}{who}: {text.format(*values)}")

    def _begin(self) -> None:
        for _ in range(1 + int(self.draw() * 2)):
            self.start_worker()
        self.rebalance()

    def _step(self) -> None:
        chance = self.draw()
        if self.faults_left and chance < 0.15:
            self.faults_left -= 1
            self._guarded(self._fault)
        elif chance < 0.27:
            self._guarded(self._commit_somewhere)
        else:
            self._guarded(self._work_somewhere)

    def _guarded(self, step: Callable[[], None]) -> None:
        with suppress(Ended):
            step()
        if self._depth == 0 and not all(owner.alive for owner in self.owner.values()):
            self._notice_death()

    def _notice_death(self) -> None:
        """The group misses a member, sooner or later, and a supervisor may have started another."""
        if self.faults_left and self.draw() < 0.7:
            return
        if self.draw() < 0.6:
            self.start_worker()
        self._guarded(self.rebalance)

    def _work_somewhere(self) -> None:
        """Mostly where there is work, by who should do it; else by anybody who believes to have some."""
        chosen = list(self.checks.unfinished)
        worker = self.owner[chosen[int(self.draw() * len(chosen))]] if chosen else self.any_worker()
        if not worker.alive or self.draw() < 0.2:
            worker = self.any_worker()
        if worker.pauses:
            self._restart(worker)
        elif worker.assigned:
            partitions = [p for p in worker.assigned if p in self.checks.unfinished] or list(worker.assigned)
            worker.step(partitions[int(self.draw() * len(partitions))])

    def _commit_somewhere(self) -> None:
        worker = self.any_worker()
        changed = [held for held in worker.held.values() if held.work.changed and not held.busy]
        if changed:
            worker.commit(changed[int(self.draw() * len(changed))])
        worker.tell_group()

    def any_worker(self) -> Worker:
        """One that lives, preferably one that has partitions; a new one when none does."""
        alive = [worker for worker in self.workers if worker.alive and worker.assigned]
        alive = alive or [worker for worker in self.workers if worker.alive] or [self.start_worker()]
        return alive[int(self.draw() * len(alive))]

    def _fault(self) -> None:
        FAULTS[int(self.draw() * len(FAULTS))](self)

    def rebalance(self) -> None:
        """The group hands out all partitions anew. Who is busy or does not hear goes on with what it had."""
        alive = [worker for worker in self.workers if worker.alive]
        heard = [
            worker
            for worker in alive
            if not any(held.busy for held in worker.held.values())
            and (not self.faults_left or self.draw() < 0.85)
        ]
        for worker in heard:
            with suppress(Ended):
                worker.revoke()
        heard = [worker for worker in heard if worker.alive] or [self.start_worker()]
        self.owner = {
            partition: heard[int(self.draw() * len(heard))] for partition in range(len(self.history.logs))
        }
        for worker in self.workers:
            if worker.alive and worker not in heard and not worker.lost_session:
                worker.lost_session = True
                self.counts["zombie"] += 1
                self.told(worker, "does not hear that its partitions are given away")
        for worker in heard:
            worker.assign([partition for partition, owner in self.owner.items() if owner is worker])
            self.told(worker, "has partitions {}", sorted(worker.assigned))
        self.counts["rebalance"] += 1

    def start_worker(self) -> Worker:
        """A new process; now and then one whose fold will raise."""
        self._started += 1
        fails_after = int(self.draw() * 12) if self.faults_left and self.draw() < 0.12 else None
        self.workers = [worker for worker in self.workers if worker.alive]
        self.workers.append(Worker(self, self._started, self._stores(), fails_after))
        return self.workers[-1]

    def _stores(self) -> Stores:
        """State in memory, or on the disk of a machine where no worker runs."""
        if self.on_real_disks:
            return RealDisk(self.engine_settings, self.counts)
        if self._has_disks:
            used = [worker.stores for worker in self.workers]
            for disk in self.disks:
                if disk not in used:
                    return disk
            self.disks.append(Disk(self.counts))
            return self.disks[-1]
        return MemoryStores()

    def kill(self, worker: Worker) -> None:
        """kill -9, counted."""
        self.counts["crash"] += 1
        self.told(worker, "is killed")
        worker.die()

    def _restart(self, worker: Worker) -> None:
        """An operator restarts a worker that paused."""
        self.kill(worker)
        self.start_worker()

    def any_held(self) -> Held | None:
        """A partition that some worker runs."""
        held = list(self.any_worker().held.values())
        return held[int(self.draw() * len(held))] if held else None

    def _calm(self, steps: int) -> None:
        """From here on nothing fails: what is left must be done."""
        self.faults_left = 0
        for worker in self.workers:
            if worker.alive and worker.lost_session:
                self.kill(worker)
        self._guarded(self.rebalance)
        while self.checks.unfinished:
            steps -= 1
            if not steps:
                stands = [published.position for published in self.checks.partitions]
                ends = [log.end for log in self.history.logs]
                self.broken("liveness", f"undisturbed, the partitions stand at {stands} of {ends}")
            self._step()


@cache
def _settings(clock: Any, due_slice: int) -> Settings:
    # The defaults and nothing of the environment, or a seed would be another history elsewhere.
    return Settings.model_construct(clock=clock, due_slice=due_slice)


def _nothing(*_: object) -> None:
    pass
