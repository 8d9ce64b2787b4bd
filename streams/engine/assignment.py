"""Which partitions this worker runs, through rebalances.

Kafka's eager protocol takes all partitions away at every rebalance and gives most of them back. State is
kept across that: while nobody reads, everything done is committed; whatever comes back goes on where it
stood, and only partitions that are new are fenced and restored. Should another worker have owned one in
between, its fence ends this process at the next commit.
"""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Protocol

from streams.engine.batch import Batch
from streams.engine.brokers import Brokers
from streams.engine.context import Context
from streams.engine.opening import OpenedPartition, open_partition
from streams.engine.readiness import State
from streams.engine.runner import PartitionRunner


class Reader(Protocol):
    """The consumer's side of an assignment."""

    async def read_from(self, partition: int, offset: int) -> None:
        """Start delivering a partition at an offset."""

    def tell_group(self, partition: int, next_offset: int) -> None:
        """Let the group know, soon, how far the committed state of a partition is."""


class Assignment:
    """Lives on Faust's event loop; `epoch` counts every change of what is assigned."""

    def __init__(self, context: Context) -> None:
        self.epoch = 0
        self.runners: dict[int, PartitionRunner] = {}
        self.waiting_since: float | None = monotonic()
        """Since when (monotonic seconds) the group owes this worker an assignment; None = it has one."""
        self._context = context
        self._ended = False
        self._assigned: frozenset[int] = frozenset()
        self._opening: dict[int, threading.Event] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        # Openings block for long: commits of the partitions that run must not wait behind them.
        self._openers = ThreadPoolExecutor(context.settings.partitions, thread_name_prefix="restore")
        self._committers = ThreadPoolExecutor(context.settings.partitions, thread_name_prefix="commit")

    def open(self, brokers: Brokers, topic_id: str) -> None:
        """Give it the brokers, verified; before the first assignment."""
        self._brokers, self._topic_id = brokers, topic_id

    @property
    def active(self) -> bool:
        """True while this worker runs partitions."""
        return bool(self._assigned) and bool(self.runners)

    @property
    def paused(self) -> bool:
        return bool(self._context.pauses)

    def invalidate(self) -> None:
        """From now on every batch fetched so far is stale."""
        self.epoch += 1
        self._assigned = frozenset()
        self.waiting_since = monotonic()

    async def settle(self) -> None:
        """Commit everything done, after invalidate(): the partitions may belong to others next."""
        await asyncio.gather(*(runner.settle() for runner in self.runners.values()))

    async def assigned(self, partitions: Collection[int], reader: Reader) -> None:
        """Go on with what is kept, give up what is gone, restore what is new (in the background)."""
        if self._ended:  # the group answered a join that a stop had overtaken
            return
        self.epoch += 1
        self._assigned = frozenset(partitions)
        self.waiting_since = None
        await self._drop(set(self.runners) - self._assigned)
        for partition, cancelled in self._opening.items():
            if partition not in self._assigned:
                cancelled.set()
        for partition in sorted(self._assigned):
            if partition in self.runners:
                await self._start(partition, reader)
            elif partition not in self._opening:
                self._open(partition, reader)
        self._tell_readiness()

    def take(self, batch: Batch) -> None:
        """Give a batch to its partition, or drop it if it is stale."""
        if batch.epoch == self.epoch and (runner := self.runners.get(batch.partition)) is not None:
            runner.offer(batch)

    def has_room(self, partition: int, handed_out: int) -> bool:
        """True while few records of a partition, up to offset `handed_out`, wait for its fold.

        A bound for each partition, so that one with a backlog does not keep the others waiting.
        """
        runner = self.runners.get(partition)
        limit = 2 * self._context.settings.poll_records_max
        return runner is not None and handed_out - runner.next_offset < limit

    async def shutdown(self) -> None:
        """Commit and give up everything, for good."""
        self._ended = True
        self.invalidate()
        for cancelled in self._opening.values():
            cancelled.set()
        await self.settle()
        await self._drop(set(self.runners))

    async def _drop(self, partitions: Collection[int]) -> None:
        await asyncio.gather(*(self.runners.pop(partition).close() for partition in partitions))
        for partition in partitions:
            self._context.observer.given_up(partition)

    async def _start(self, partition: int, reader: Reader) -> None:
        runner = self.runners[partition]
        runner.resume(self.epoch)
        await reader.read_from(partition, runner.next_offset)

    def _open(self, partition: int, reader: Reader) -> None:
        self._opening[partition] = threading.Event()
        task = self._context.fail_stop.task(self._open_and_start(partition, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _open_and_start(self, partition: int, reader: Reader) -> None:
        cancelled = self._opening[partition]
        opened = await asyncio.get_running_loop().run_in_executor(
            self._openers,
            lambda: open_partition(
                self._context, partition, brokers=self._brokers, topic_id=self._topic_id, cancelled=cancelled
            ),
        )
        del self._opening[partition]
        if opened is not None and not cancelled.is_set():
            self.runners[partition] = self._runner(partition, opened, reader)
            if partition in self._assigned:
                await self._start(partition, reader)
        else:
            if opened is not None:
                await asyncio.get_running_loop().run_in_executor(self._openers, opened.close)
            self._context.observer.given_up(partition)
            if partition in self._assigned:  # given back while the cancelled opening wound up
                self._open(partition, reader)
        self._tell_readiness()

    def _runner(self, partition: int, opened: OpenedPartition, reader: Reader) -> PartitionRunner:
        context = self._context
        return PartitionRunner(
            partition,
            fold=opened.fold,
            store=opened.restored.store,
            transactions=opened.transactions,
            next_offset=opened.restored.next_offset,
            topic_id=self._topic_id,
            settings=context.settings,
            executor=self._committers,
            observer=context.observer,
            fail_stop=context.fail_stop,
            pauses=context.pauses,
            tell_group=reader.tell_group,
        )

    def _tell_readiness(self) -> None:
        if self._opening:
            self._context.readiness.become(State.RESTORING, f"partitions {sorted(self._opening)}")
        else:
            # Restored state lives as long as the process: keep the cycle collector from walking it.
            gc.freeze()
            self._context.readiness.become(State.RUNNING)
