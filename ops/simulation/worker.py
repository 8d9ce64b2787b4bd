"""A worker process in the simulation: the engine's own opening, work, transactions and restore, step by step.

What is simulated here is the shell: event loop, threads, group membership. What decides is the engine's.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn, cast

from confluent_kafka import KafkaException

from ops.simulation.clients import SimulatedBrokers, SimulatedProducer
from ops.simulation.disk import RealDisk
from streams.engine.batch import Batch
from streams.engine.brokers import Brokers
from streams.engine.context import Context
from streams.engine.exits import ExitCode, FailStop
from streams.engine.failpoints import Injected
from streams.engine.observer import NoObserver
from streams.engine.opening import OpenedPartition, open_partition
from streams.engine.readiness import Readiness
from streams.engine.work import BatchLost, PartitionWork

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from ops.simulation.world import World
    from streams.engine.fold import InputRecord, Send
    from streams.engine.store import Stores

TOPIC_ID = "topic"
_NO_LIMIT = float("inf")
_EXPECTED = (ExitCode.FENCED, ExitCode.TRANSACTION_FAILED, ExitCode.BATCH_LOST)


class Ended(BaseException):
    """This worker process is no more; whoever called it goes on."""


@dataclass(slots=True)
class Held:
    """A partition that a worker runs."""

    partition: int
    opened: OpenedPartition
    work: PartitionWork
    producer: SimulatedProducer
    fetched_to: int
    inbox: deque[Batch] = field(default_factory=deque)
    batch: Batch | None = None
    records: Sequence[InputRecord] = ()
    at: int = 0
    busy: bool = False


class _SimulatedStop:
    """In the place of `FailStop`: ends the simulated process, not this one."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def end(
        self, code: ExitCode, reason: str, *, cause: BaseException | None = None, **context: object
    ) -> NoReturn:
        self._worker.leave(code, reason, cause)


class Worker:
    """One process. Any method may raise Ended."""

    def __init__(self, world: World, number: int, stores: Stores, fails_after: int | None) -> None:
        self.world = world
        self.number = number
        self.stores = stores
        self.fails_after = fails_after
        """Outputs until the fold raises in the middle of a record; None = never."""
        self.alive = True
        self.lost_session = False
        """The group went on without it, and it has not noticed."""
        self.epoch = 0
        self.assigned: frozenset[int] = frozenset()
        self.held: dict[int, Held] = {}
        self.opening: dict[int, threading.Event] = {}
        self.pauses: list[str] = []
        self.brokers = SimulatedBrokers(world.cluster, self, [log.end for log in world.history.logs])
        self._context = Context(
            world.engine_settings,
            world.fold_factory(self),
            NoObserver(),
            cast(FailStop, _SimulatedStop(self)),
            Readiness(),
            None,
            pauses=self.pauses,
            stores=stores,
        )

    def __str__(self) -> str:
        return f"worker {self.number}"

    def failing(self, send: Send) -> Send:
        """`send`, raising once if this worker is to fail: after some of a record's outcomes, not all."""
        if self.fails_after is None:
            return send

        def send_or_fail(
            topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None, /
        ) -> None:
            if self.fails_after is not None:
                self.fails_after -= 1
                if self.fails_after < 0:
                    self.fails_after = None
                    raise Injected("in the middle of a record")
            send(topic, key, value, headers)

        return send_or_fail

    def step(self, partition: int) -> None:
        """One step on an assigned partition: open, fetch, take or apply; nothing while one is under way."""
        held = self.held.get(partition)
        if held is None:
            if partition not in self.opening:
                self._open(partition)
        elif held.busy:
            pass
        elif held.records:
            self._apply(held)
        elif held.inbox and (len(held.inbox) > 1 or self.world.draw() < 0.7):
            self._take(held)
        else:
            self._fetch(held)

    def commit(self, held: Held) -> None:
        """Commit what is done, as the runner does on time."""
        work = held.work
        held.busy = True
        try:
            rows = work.rows()
            work.commit(rows)
        except KafkaException as error:
            self._refused(held, error)
        finally:
            held.busy = False
        self.world.told(self, "committed up to {} of partition {}", work.next_offset, held.partition)

    def tell_group(self) -> None:
        """Say how far the partitions are, as far as it comes to that; the group hears its members only."""
        for held in list(self.held.values()):
            if self.world.draw() < 0.5:
                self.world.reached(self, "offset to tell")
                if held.partition in self.assigned and not self.lost_session:
                    self.world.told_group(held.partition, held.work.committed_offset)

    def revoke(self) -> None:
        """The group rebalances: take no more batches and commit what is done."""
        self.epoch += 1
        self.assigned = frozenset()
        for held in self.held.values():
            held.work.epoch = None
        for held in list(self.held.values()):
            if held.work.changed or held.work.moved:
                self.commit(held)

    def assign(self, partitions: Collection[int]) -> None:
        """Go on with what is kept, give up what is gone; what is new is opened by its first step."""
        self.epoch += 1
        self.assigned = frozenset(partitions)
        self.lost_session = False
        for partition in set(self.held) - self.assigned:
            self._drop(self.held.pop(partition))
        for partition, cancelled in self.opening.items():
            if partition not in self.assigned:
                cancelled.set()
        for held in self.held.values():
            self.world.counts["state kept through a rebalance"] += 1
            self._start(held)

    def die(self) -> None:
        """kill -9."""
        self.end()
        for producer in self.brokers.producers:
            producer.lose()

    def end(self) -> None:
        """The process is no more."""
        self.alive = False
        if isinstance(self.stores, RealDisk):
            self.stores.end()

    def leave(self, code: ExitCode, reason: str, cause: BaseException | None = None) -> NoReturn:
        """Fail-stop."""
        if not self.alive:
            raise Ended
        if isinstance(cause, Injected):
            self.world.counts["exception at a record"] += 1
        elif code not in _EXPECTED:
            why = "" if cause is None else f" ({cause!r})"
            self.world.broken("exit", f"{self} left with {code.name}: {reason}{why}", cause)
        self.world.counts[f"exit {code.name.lower()}"] += 1
        self.world.told(self, "leaves, {}: {}", code.name.lower(), reason)
        self.die()
        raise Ended

    def _open(self, partition: int) -> None:
        cancelled = self.opening[partition] = threading.Event()
        try:
            opened = open_partition(
                self._context,
                partition,
                brokers=cast(Brokers, self.brokers),
                topic_id=TOPIC_ID,
                cancelled=cancelled,
            )
        finally:
            del self.opening[partition]
        if opened is None or cancelled.is_set():
            self.world.counts["opening cancelled"] += 1
            if opened is not None:
                opened.close()
            return
        restored = opened.restored
        work = PartitionWork(
            fold=opened.fold,
            store=restored.store,
            transactions=opened.transactions,
            next_offset=restored.next_offset,
            topic_id=TOPIC_ID,
            pauses=self.pauses,
        )
        held = Held(partition, opened, work, self.brokers.producer_of(partition), restored.next_offset)
        self.world.counts["restore"] += 1
        self.world.told(self, "opened partition {} at {}", partition, restored.next_offset)
        self.held[partition] = held
        self._start(held)

    def _start(self, held: Held) -> None:
        held.work.epoch = self.epoch
        held.fetched_to = held.work.next_offset

    def _fetch(self, held: Held) -> None:
        log = self.world.history.logs[held.partition]
        first = bisect_left(log.offsets, held.fetched_to)
        if first == len(log.offsets):
            if held.work.changed or held.work.moved:
                self.commit(held)
            return
        records = log.records[first : first + 1 + int(self.world.draw() * 8)]
        batch = Batch(held.partition, self.epoch, held.fetched_to, cast("Sequence[InputRecord]", records))
        held.fetched_to = batch.end
        held.inbox.append(batch)

    def _take(self, held: Held) -> None:
        batch = held.inbox.popleft()
        if not held.work.takes(batch):
            self.world.counts["stale batch dropped"] += 1
            return
        try:
            records = held.work.fresh(batch)
        except BatchLost as lost:
            self.leave(ExitCode.BATCH_LOST, str(lost))
        self.world.counts["records dropped as known"] += len(batch.records) - len(records)
        held.batch, held.records, held.at = batch, records, 0

    def _apply(self, held: Held) -> None:
        work, batch = held.work, cast(Batch, held.batch)
        if not work.takes(batch):
            held.records = ()
            return
        if batch.epoch != self.epoch or held.partition not in self.assigned:
            self.world.broken("stale epoch", f"{self} applies a batch of an assignment that is over")
        until = held.at + 1 + int(self.world.draw() * 4)
        try:
            held.at, more_due = work.apply(held.records[:until], held.at, _NO_LIMIT)
        except KafkaException as error:
            self._refused(held, error)
        except Injected as error:
            self.leave(ExitCode.FOLD_FAILED, "the fold raised", error)
        self.world.told(self, "applied up to {} of partition {}", work.next_offset, held.partition)
        if held.at == len(held.records):
            held.records = ()
        if more_due or work.halted:
            self.world.counts["slice of what is due"] += more_due
            self.commit(held)

    def _refused(self, held: Held, error: KafkaException) -> NoReturn:
        """Kafka refused: a fenced worker must know that it is."""
        is_fenced = held.opened.transactions.fenced(error)
        if is_fenced != held.producer.is_stale:
            self.world.broken("fencing", f"{self} takes {error} for {'' if is_fenced else 'not '}a fence")
        self.leave(ExitCode.FENCED if is_fenced else ExitCode.TRANSACTION_FAILED, str(error))

    def _drop(self, held: Held) -> None:
        held.work.epoch = None
        held.opened.transactions.close()
        held.opened.restored.store.close(clean=not held.work.changed)
        self.brokers.producers.remove(held.producer)
        held.producer.lose()
