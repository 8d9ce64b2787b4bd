"""Runs the fold of one partition: batches in, transactions out, one lock around both."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from operator import attrgetter
from time import monotonic
from typing import NoReturn

from confluent_kafka import KafkaException

from streams.engine.batch import Batch
from streams.engine.exits import ExitCode, FailStop
from streams.engine.fold import Fold, InputRecord
from streams.engine.observer import Appended, Observer
from streams.engine.settings import EngineSettings
from streams.engine.store import StateStore, StoreFailed
from streams.engine.transactions import PartitionTransactions, QueueStuck
from streams.engine.work import BatchLost, PartitionWork

SLICE_S = 0.01
"""The event loop (rebalance callbacks, other partitions' commits) waits at most this long for the fold."""

COMMIT_GRACE_S = 1.0
"""So long after the time a commit was given it is not waited for: a new process is through sooner."""


class PartitionRunner:
    """Owns fold, store and producer of a partition from the end of its restore until it is taken away.

    Any exception ends the process before the lock is released, so nothing can be committed past it.
    """

    def __init__(
        self,
        partition: int,
        *,
        fold: Fold,
        store: StateStore,
        transactions: PartitionTransactions,
        next_offset: int,
        topic_id: str,
        settings: EngineSettings,
        executor: Executor,
        observer: Observer,
        fail_stop: FailStop,
        pauses: list[str],
        tell_group: Callable[[int, int], None],
    ) -> None:
        self.partition = partition
        self.progress_at = monotonic()
        self._work = PartitionWork(
            fold=fold,
            store=store,
            transactions=transactions,
            next_offset=next_offset,
            topic_id=topic_id,
            pauses=pauses,
            state_version=settings.state_version,
        )
        self._store = store
        self._transactions = transactions
        self._settings = settings
        self._executor = executor
        self._observer = observer
        self._fail_stop = fail_stop
        self._tell_group = tell_group
        self._committed_at = monotonic()
        self._taken: list[Appended] = []
        self._lock = asyncio.Lock()
        self._mailbox: asyncio.Queue[Batch] = asyncio.Queue()
        self._tasks = [fail_stop.task(self._take_batches()), fail_stop.task(self._commit_on_time())]

    @property
    def next_offset(self) -> int:
        """The first offset not applied."""
        return self._work.next_offset

    def offer(self, batch: Batch) -> None:
        """Queue a batch. What bounds the queue is the fetcher, which looks at next_offset."""
        self._mailbox.put_nowait(batch)

    def resume(self, epoch: int) -> None:
        """Take batches of this assignment epoch from now on."""
        self.progress_at = monotonic()
        self._work.epoch = epoch
        # Whoever had the partition before may not have come to saying it.
        self._tell_group(self.partition, self._work.committed_offset)

    async def settle(self) -> None:
        """Take no more batches and commit what is done."""
        self._work.epoch = None
        async with self._lock:
            if self._work.changed or self._work.moved:
                await self._commit()

    async def close(self) -> None:
        """End for good. What settle() did not commit is left to the next owner."""
        self._work.epoch = None
        async with self._lock:
            for task in self._tasks:
                task.cancel()
            await asyncio.get_running_loop().run_in_executor(self._executor, self._give_up)

    def _give_up(self) -> None:
        self._transactions.close()
        self._store.close(clean=not self._work.changed)

    async def _take_batches(self) -> None:
        while True:
            batch = await self._mailbox.get()
            if self._work.takes(batch):
                await self._take(batch)

    async def _take(self, batch: Batch) -> None:
        try:
            records = self._work.fresh(batch)
        except BatchLost as lost:
            self._fail_stop.end(ExitCode.BATCH_LOST, str(lost), partition=self.partition)
        at, started = 0, monotonic()
        while at < len(records):
            async with self._lock:
                if not self._work.takes(batch):
                    break
                at = await self._apply_slice(records, at)
            # The lock alone would never let a waiting commit in: an uncontended acquire does not yield.
            await asyncio.sleep(0)
        if at:
            self._observer.batch_applied(self.partition, at, monotonic() - started)

    async def _apply_slice(self, records: Sequence[InputRecord], at: int) -> int:
        """Apply records from index `at` for a while; returns the index reached."""
        begin = at
        try:
            at, more_due = self._work.apply(records, at, monotonic() + SLICE_S)
        except BaseException as error:  # noqa: BLE001 - ends the process
            self._fail(error, offset=self._work.stopped_at)
        self.progress_at = monotonic()
        self._taken += append_times(records, begin, at)
        opened_at = self._transactions.opened_at
        if more_due or self._work.halted:
            await self._commit()
        elif opened_at is not None and self.progress_at - opened_at > self._settings.half_transaction_s:
            self._fail_stop.end(
                ExitCode.TRANSACTION_FAILED,
                f"a transaction stayed open for {self.progress_at - opened_at:.1f} s: "
                "the fold is too slow, or the process stood still",
                partition=self.partition,
            )
        return at

    async def _commit_on_time(self) -> None:
        interval_s = self._settings.commit_interval_ms / 1_000
        # Partitions commit in turn, not all at once: one waits for Kafka while another computes.
        await asyncio.sleep(interval_s * self.partition / self._settings.partitions)
        while True:
            await asyncio.sleep(interval_s)
            if self._due():
                async with self._lock:
                    # Whoever held the lock may have committed, and given the partition away since.
                    if self._due():
                        await self._commit()

    def _due(self) -> bool:
        if self._work.changed:
            return True
        idle_s = self._settings.idle_commit_interval_ms / 1_000
        return self._work.moved and monotonic() - self._committed_at > idle_s

    async def _commit(self) -> None:
        """Commit what is done; the lock is held. Nothing done is not an error but costs a transaction."""
        started = monotonic()
        try:
            rows = self._work.rows()
            loop = asyncio.get_running_loop()
            late = loop.call_later(self._settings.half_transaction_s + COMMIT_GRACE_S, self._end_late_commit)
            try:
                await _finish(loop.run_in_executor(self._executor, self._work.commit, rows))
            finally:
                late.cancel()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - ends the process
            self._fail(error, offset=self._work.next_offset)
        self._committed_at = monotonic()
        self._tell_group(self.partition, self._work.committed_offset)
        taken, self._taken = self._taken, []
        self._observer.committed(self.partition, len(rows), self._committed_at - started, taken)

    def _end_late_commit(self) -> NoReturn:
        self._fail_stop.end(
            ExitCode.TRANSACTION_FAILED,
            f"a commit did not come back within {self._settings.half_transaction_s + COMMIT_GRACE_S} s",
            partition=self.partition,
            offset=self._work.next_offset,
        )

    def _fail(self, error: BaseException, *, offset: int) -> NoReturn:
        code, reason = ExitCode.FOLD_FAILED, "the fold raised"
        if isinstance(error, KafkaException):
            fenced = self._transactions.fenced(error)
            code = ExitCode.FENCED if fenced else ExitCode.TRANSACTION_FAILED
            reason = "another worker took the partition over" if fenced else "Kafka refused the transaction"
        elif isinstance(error, StoreFailed):
            code, reason = ExitCode.LOCAL_STATE_FAILED, str(error)
        elif isinstance(error, QueueStuck):
            code, reason = ExitCode.TRANSACTION_FAILED, str(error)
        self._fail_stop.end(code, reason, cause=error, partition=self.partition, offset=offset)


_timestamp = attrgetter("timestamp")


def append_times(records: Sequence[InputRecord], begin: int, end: int) -> Iterator[Appended]:
    """The append times of a range of records, run by run: all that came in one batch have the same."""
    while begin < end:
        at = _timestamp(records[begin])
        begin, before = bisect_right(records, at, begin + 1, end, key=_timestamp), begin
        yield at, begin - before


async def _finish(future: asyncio.Future[None]) -> None:
    """Wait for work in a thread to its end even when cancelled: the lock must not open before."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    future.result()
    if cancelled is not None:
        raise cancelled
