"""Runs the fold of one partition: batches in, transactions out, one lock around both."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from time import monotonic
from typing import NoReturn

from confluent_kafka import KafkaException

from streams.engine.batch import Batch
from streams.engine.exits import ExitCode, FailStop
from streams.engine.fold import Fold, InputRecord
from streams.engine.observer import Observer
from streams.engine.position import POSITION_KEY, Position
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStore
from streams.engine.transactions import PartitionTransactions, QueueStuck

SLICE_S = 0.01
"""The event loop (rebalance callbacks, other partitions' commits) waits at most this long for the fold."""
_CLOCK_EVERY = 32


class PartitionRunner:
    """Owns fold, store and producer of a partition from the end of its restore until it is taken away.

    Any exception ends the process before the lock is released, so nothing can be committed past it.
    """

    def __init__(
        self,
        partition: int,
        *,
        fold: Fold,
        store: MemoryStore,
        transactions: PartitionTransactions,
        next_offset: int,
        topic_id: str,
        settings: EngineSettings,
        executor: Executor,
        observer: Observer,
        fail_stop: FailStop,
        pauses: list[str],
    ) -> None:
        self.partition = partition
        self.next_offset = next_offset
        self.progress_at = monotonic()
        self._fold = fold
        self._store = store
        self._transactions = transactions
        self._topic_id = topic_id
        self._settings = settings
        self._executor = executor
        self._observer = observer
        self._fail_stop = fail_stop
        self._pauses = pauses
        self._epoch: int | None = None
        self._committed_offset = next_offset
        self._committed_at = monotonic()
        self._lock = asyncio.Lock()
        self._mailbox: asyncio.Queue[Batch] = asyncio.Queue()
        self._tasks = [fail_stop.task(self._take_batches()), fail_stop.task(self._commit_on_time())]

    def offer(self, batch: Batch) -> None:
        """Queue a batch. What bounds the queue is the fetcher, which looks at next_offset."""
        self._mailbox.put_nowait(batch)

    def resume(self, epoch: int) -> None:
        """Take batches of this assignment epoch from now on."""
        self.progress_at = monotonic()
        self._epoch = epoch

    async def settle(self) -> None:
        """Take no more batches and commit what is done."""
        self._epoch = None
        async with self._lock:
            if self._due() or self.next_offset != self._committed_offset:
                await self._commit()

    async def close(self) -> None:
        """End for good. What settle() did not commit is left to the next owner."""
        self._epoch = None
        async with self._lock:
            for task in self._tasks:
                task.cancel()
            await asyncio.get_running_loop().run_in_executor(self._executor, self._transactions.close)

    async def _take_batches(self) -> None:
        while True:
            batch = await self._mailbox.get()
            if batch.epoch != self._epoch or self._pauses:
                continue
            if batch.start > self.next_offset:
                self._fail_stop.end(
                    ExitCode.BATCH_LOST,
                    f"records {self.next_offset} to {batch.start - 1} were fetched but never arrived",
                    partition=self.partition,
                )
            await self._take(batch)

    async def _take(self, batch: Batch) -> None:
        records = batch.records
        if records[0].offset < self.next_offset:
            records = [record for record in records if record.offset >= self.next_offset]
        at, started = 0, monotonic()
        while at < len(records):
            async with self._lock:
                if batch.epoch != self._epoch or self._pauses:
                    break
                at = await self._apply_slice(records, at)
            # The lock alone would never let a waiting commit in: an uncontended acquire does not yield.
            await asyncio.sleep(0)
        if at:
            self._observer.batch_applied(self.partition, at, monotonic() - started)

    async def _apply_slice(self, records: Sequence[InputRecord], at: int) -> int:
        """Apply records from index `at` for a while; returns the index reached."""
        at, more_due = self._apply(records, at)
        self.progress_at = monotonic()
        opened_at = self._transactions.opened_at
        if more_due or self._pauses:
            await self._commit()
        elif opened_at is not None and self.progress_at - opened_at > self._settings.half_transaction_s:
            self._fail_stop.end(
                ExitCode.TRANSACTION_FAILED,
                f"a transaction stayed open for {self.progress_at - opened_at:.1f} s: "
                "the fold is too slow, or the process stood still",
                partition=self.partition,
            )
        return at

    def _apply(self, records: Sequence[InputRecord], at: int) -> tuple[int, bool]:
        """The hot loop. Returns the index reached and whether more is due before that record."""
        advance, apply, pauses = self._fold.advance, self._fold.apply, self._pauses
        deadline = monotonic() + SLICE_S
        more_due = False
        record = records[at]
        try:
            while at < len(records):
                record = records[at]
                if advance(record):
                    more_due = True
                    break
                apply(record)
                at += 1
                if pauses or (not at % _CLOCK_EVERY and monotonic() > deadline):
                    break
            self._transactions.serve()
        except BaseException as error:  # noqa: BLE001 - ends the process
            self._fail(error, offset=record.offset)
        if at:
            self.next_offset = records[at - 1].offset + 1
        return at, more_due

    async def _commit_on_time(self) -> None:
        interval_s = self._settings.commit_interval_ms / 1_000
        # Partitions commit in turn, not all at once: one waits for Kafka while another computes.
        await asyncio.sleep(interval_s * self.partition / self._settings.partitions)
        while True:
            await asyncio.sleep(interval_s)
            if self._due():
                async with self._lock:
                    await self._commit()

    def _due(self) -> bool:
        if self._transactions.opened_at is not None or self._store.dirty:
            return True
        idle_s = self._settings.idle_commit_interval_ms / 1_000
        return self.next_offset != self._committed_offset and monotonic() - self._committed_at > idle_s

    async def _commit(self) -> None:
        """Commit what is done; the lock is held. Nothing done is not an error but costs a transaction."""
        started = monotonic()
        next_offset = self.next_offset
        try:
            self._fold.before_commit()
            rows = self._store.drain_dirty()
            if POSITION_KEY in rows:
                raise ValueError(f"the fold wrote the key {POSITION_KEY!r}, which is the engine's")
            position = Position(next_offset, self._topic_id)
            loop = asyncio.get_running_loop()
            await _finish(loop.run_in_executor(self._executor, self._transactions.commit, rows, position))
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - ends the process
            self._fail(error, offset=next_offset)
        self._committed_offset, self._committed_at = next_offset, monotonic()
        self._observer.committed(self.partition, len(rows), self._committed_at - started)

    def _fail(self, error: BaseException, *, offset: int) -> NoReturn:
        code, reason = ExitCode.FOLD_FAILED, "the fold raised"
        if isinstance(error, KafkaException):
            fenced = self._transactions.fenced(error)
            code = ExitCode.FENCED if fenced else ExitCode.TRANSACTION_FAILED
            reason = "another worker took the partition over" if fenced else "Kafka refused the transaction"
        elif isinstance(error, QueueStuck):
            code, reason = ExitCode.TRANSACTION_FAILED, str(error)
        self._fail_stop.end(code, reason, cause=error, partition=self.partition, offset=offset)


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
