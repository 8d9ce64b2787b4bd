"""The work on one partition, free of event loop, threads and locks: what is taken, and what a commit holds.

The runner wraps it for Faust. A simulation drives it step by step, with clients of its own in Kafka's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Protocol

from streams.engine.batch import Batch
from streams.engine.fold import Fold, InputRecord
from streams.engine.position import POSITION_KEY, Position
from streams.engine.store import Standing, StateStore

_CLOCK_EVERY = 32


class Transactions(Protocol):
    """What the work needs of `PartitionTransactions`."""

    opened_at: float | None

    def serve(self) -> None: ...

    def commit(self, rows: Mapping[bytes, bytes | None], position: Position) -> int: ...


class BatchLost(Exception):
    """Records were fetched but never arrived."""


class PartitionWork:
    """Fold, store, transactions and position of a partition. Calls come one after another.

    An exception out of any method leaves work that must not be committed.
    """

    def __init__(
        self,
        *,
        fold: Fold,
        store: StateStore,
        transactions: Transactions,
        next_offset: int,
        topic_id: str,
        pauses: list[str],
        state_version: int = 1,
    ) -> None:
        self.next_offset = next_offset
        self.committed_offset = next_offset
        """Where the committed state stands: what the group may be told."""
        self.epoch: int | None = None
        """The assignment whose batches are taken; None = none are."""
        self.stopped_at = next_offset
        """Offset of the record at which apply() raised."""
        self._fold = fold
        self._store = store
        self._transactions = transactions
        self._topic_id = topic_id
        self._state_version = state_version
        self._pauses = pauses

    @property
    def halted(self) -> bool:
        """True while nothing is taken, whatever the epoch."""
        return bool(self._pauses)

    def takes(self, batch: Batch) -> bool:
        """True while a batch belongs to the present assignment and nothing is paused."""
        return batch.epoch == self.epoch and not self._pauses

    def fresh(self, batch: Batch) -> Sequence[InputRecord]:
        """The records of a batch that the state has not seen. Raises BatchLost on a gap before it."""
        if batch.start > self.next_offset:
            raise BatchLost(f"records {self.next_offset} to {batch.start - 1} were fetched but never arrived")
        records = batch.records
        if records[0].offset < self.next_offset:
            records = [record for record in records if record.offset >= self.next_offset]
        return records

    def apply(self, records: Sequence[InputRecord], at: int, until: float) -> tuple[int, bool]:
        """The hot loop, from index `at` to the end or about the time `until` (monotonic seconds).

        Returns the index reached and whether more is due before that record: commit, and call again.
        """
        advance, apply, pauses = self._fold.advance, self._fold.apply, self._pauses
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
                if pauses or (not at % _CLOCK_EVERY and monotonic() > until):
                    break
            self._transactions.serve()
        except BaseException:
            self.stopped_at = record.offset
            raise
        if at:
            self.next_offset = records[at - 1].offset + 1
        return at, more_due

    @property
    def changed(self) -> bool:
        """True if outputs or rows wait for a commit."""
        return self._transactions.opened_at is not None or self._store.dirty

    @property
    def moved(self) -> bool:
        """True if the position is not the committed one."""
        return self.next_offset != self.committed_offset

    def rows(self) -> Mapping[bytes, bytes | None]:
        """The changed rows, taken out of the store for the commit that follows."""
        self._fold.before_commit()
        rows = self._store.drain_dirty()
        if POSITION_KEY in rows:
            raise ValueError(f"the fold wrote the key {POSITION_KEY!r}, which is the engine's")
        return rows

    def commit(self, rows: Mapping[bytes, bytes | None]) -> None:
        """Commit outputs, rows and position in one transaction. Blocks; may run in another thread."""
        next_offset = self.next_offset
        position = Position(next_offset, self._topic_id, self._state_version)
        changelog_next = self._transactions.commit(rows, position)
        self.committed_offset = next_offset
        self._store.committed(rows, Standing(position, changelog_next))
