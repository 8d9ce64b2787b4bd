"""Reads what was fetched: quickly, and also records whose header keys are not UTF-8.

At such a key aiokafka raises, and then loses what it fetched.
aiokafka's compiled parser stays in charge. Only where it fails, the same bytes are parsed once more by a slow
parser that keeps such a key: its bad bytes become lone surrogates (PEP 383), which no sound key contains, so
that the fold can tell and set the record aside.
"""

from __future__ import annotations

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy

_Compiled: Any = MemoryRecords
_Batch: Any = _DefaultRecordBatchPy


def read_leniently() -> None:
    """Make all consumers of this process read so; may be called again."""
    fetcher.MemoryRecords = FetchedBytes
    fetcher.PartitionRecords = LenientPartitionRecords
    fetcher.FetchResult = TakenWhole


class FetchedBytes(_Compiled):  # type: ignore[misc]
    """What one fetch brought of a partition, with its bytes kept for a second look."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched


class TakenWhole(fetcher.FetchResult):  # type: ignore[misc]
    """What one fetch brought of a partition, taken at once: the fetch's size is bound enough."""

    _partition_records: LenientPartitionRecords | None

    def getall(self, _max_records: int | None = None) -> list[Any]:
        if not self.check_assignment(self._topic_partition) or not self.has_more():
            return []
        assert self._partition_records is not None, "has_more() said so"
        records = self._partition_records.take()
        self._update_position()
        self._partition_records = None
        return records


class LenientPartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]
    """The records of one fetch, each once and in order, whichever parser reads it.

    They are the parser's own objects, without a wrapper for each: 2 µs a record saved.
    """

    next_fetch_offset: int
    _aborted_transactions: list[Any]
    _aborted_producers: set[int]
    _records_iterator: None

    def __init__(self, tp: Any, records: FetchedBytes, aborted_transactions: Any, *rest: Any) -> None:
        super().__init__(tp, records, aborted_transactions, *rest)
        # The iterator refers back to this object: the bytes of each fetch would wait for the cycle collector.
        self._records_iterator = None
        self._fetched = records.fetched
        self._aborted = tuple(self._aborted_transactions)

    def take(self) -> list[Any]:
        """All of them; `next_fetch_offset` is then the offset after the last."""
        start = self.next_fetch_offset
        try:
            return self._take(self._records)
        except UnicodeDecodeError:
            # From the first byte: which transactions are aborted is known only by following all batches.
            self.next_fetch_offset = start
            self._aborted_transactions, self._aborted_producers = list(self._aborted), set()
            return self._take(_LenientRecords(self._fetched))

    def _take(self, batches: Any) -> list[Any]:
        taken: list[Any] = []
        while batches.has_next():
            batch = batches.next_batch()
            if self._shows(batch):
                records, start = list(batch), self.next_fetch_offset
                if records and records[0].offset < start:  # a fetch may begin in the middle of a batch
                    records = [record for record in records if record.offset >= start]
                taken += records
            # Compaction may have taken the last records of a batch, which still says where it ended.
            self.next_fetch_offset = batch.next_offset
        return taken

    def _shows(self, batch: Any) -> bool:
        """Whether a batch holds records that were committed; aborts are noted on the way."""
        if batch.producer_id is not None:
            self._consume_aborted_up_to(batch.base_offset)
            if batch.is_control_batch and self._contains_abort_marker(batch):
                self._aborted_producers.discard(batch.producer_id)
        aborted = batch.is_transactional and batch.producer_id in self._aborted_producers
        return not (batch.is_control_batch or aborted)


class _LenientRecords(_MemoryRecordsPy):  # type: ignore[misc]
    def next_batch(self, *_: Any) -> Any:
        batch_bytes = self._next_slice
        self._cache_next()
        return _LenientBatch(batch_bytes)


class _LenientBatch(_Batch):  # type: ignore[misc]
    """A batch whose buffer decodes text leniently; aiokafka decodes nothing in it but header keys."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Buffer(bytearray):
    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Buffer(found) if isinstance(found, bytearray) else found

    def decode(self, encoding: str = "utf-8", _errors: str = "strict") -> str:
        return super().decode(encoding, "surrogateescape")
