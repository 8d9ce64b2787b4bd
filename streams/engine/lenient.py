"""Reads records whose header keys are not UTF-8, at which aiokafka raises and then loses what it fetched.

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
_PartitionRecords: Any = fetcher.PartitionRecords
_Batch: Any = _DefaultRecordBatchPy


def read_leniently() -> None:
    """Make all consumers of this process read such records; may be called again."""
    fetcher.MemoryRecords = FetchedBytes
    fetcher.PartitionRecords = LenientPartitionRecords


class FetchedBytes(_Compiled):  # type: ignore[misc]
    """What one fetch brought of a partition, with its bytes kept for a second look."""

    def __init__(self, fetched: bytes) -> None:
        super().__init__(fetched)
        self.fetched = fetched


class LenientPartitionRecords(_PartitionRecords):  # type: ignore[misc]
    """The records of one fetch, each once and in order, whichever parser reads it."""

    _aborted_transactions: list[Any]
    _aborted_producers: set[int]

    def __init__(self, tp: Any, records: FetchedBytes, aborted_transactions: Any, *rest: Any) -> None:
        super().__init__(tp, records, aborted_transactions, *rest)
        self._fetched = records.fetched
        self._aborted = tuple(self._aborted_transactions)

    def __next__(self) -> Any:
        try:
            return super().__next__()
        except UnicodeDecodeError:
            next_offset = self.next_fetch_offset
        self._begin_anew()
        while (record := super().__next__()).offset < next_offset:
            pass  # handed out before
        return record

    def _begin_anew(self) -> None:
        """From the first byte: which transactions are aborted is known only by following all batches."""
        self._records = _LenientRecords(self._fetched)
        self._aborted_transactions, self._aborted_producers = list(self._aborted), set()
        self._records_iterator = self._unpack_records()


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
