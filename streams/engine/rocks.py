"""A store on disk (RocksDB): more rows than memory holds; a clean restart reads only the changelog's tail.

Rows changed since the last commit lie in a dict; with the commit they go to disk in one batch together with
the standing. Nothing is synced and there is no write-ahead log: what an unclean end leaves is thrown away.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rocksdict import BlockBasedOptions, Cache, Options, Rdict, WriteBatch, WriteOptions

from streams.engine.position import POSITION_KEY, Position
from streams.engine.store import DamagedState, Standing, StoreFailed

_STANDING = struct.Struct(">QQ")
_LOAD_ROWS = 10_000
_CACHE_BYTES = 128 * 1024 * 1024
_WRITE_BUFFER_BYTES = 32 * 1024 * 1024
_ABSENT: Any = object()


def shared_cache() -> Cache:
    """One read cache for all stores of a process."""
    return Cache(_CACHE_BYTES)


class RocksStore:
    """The rows of one partition in a directory of their own.

    Raises DamagedState when what is there cannot be read, at the start or in the first pass over all rows.
    """

    def __init__(
        self, directory: Path, cache: Cache, closed_cleanly: Callable[[], None] = lambda: None
    ) -> None:
        self._no_log = WriteOptions()
        self._no_log.disable_wal = True  # type: ignore[method-assign, assignment]
        try:
            self._db = Rdict(str(directory), _options(cache))
            self.standing, self._count = self._kept()
        except Exception as error:
            raise DamagedState(f"{directory}: {error}") from error
        self._directory = directory
        self._closed_cleanly = closed_cleanly
        self._changed: dict[bytes, bytes | None] = {}
        self._exists: dict[bytes, bool] = {}
        """Whether a key is on disk, of those asked for since the last commit."""
        self._batch = WriteBatch(raw_mode=True)
        self._get = self._db.get
        self._close = self._db.close

    def get(self, key: bytes, /) -> bytes | None:
        row = self._changed.get(key, _ABSENT)
        if row is _ABSENT:
            row = self._read(key)
            self._exists[key] = row is not None
        found: bytes | None = row
        return found

    def put(self, key: bytes, value: bytes) -> None:
        self._count += not self._is_there(key)
        self._changed[key] = value

    def delete(self, key: bytes) -> None:
        if self._is_there(key):
            self._count -= 1
            self._changed[key] = None

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        seen = 0
        for key, value in self._on_disk():
            if key not in self._changed:
                seen += 1
                yield key, value
        for changed, row in self._changed.items():
            if row is not None:
                seen += 1
                yield changed, row
        if seen != self._count:
            raise DamagedState(f"{self._directory}: {seen} rows, {self._count} were written")

    def __len__(self) -> int:
        return self._count

    @property
    def dirty(self) -> bool:
        return bool(self._changed)

    def drain_dirty(self) -> Mapping[bytes, bytes | None]:
        drained, self._changed = self._changed, {}
        return drained

    def load(self, key: bytes, value: bytes | None) -> None:
        if self.standing is not None:  # a tail: few rows, of which some are there already
            self._count += (value is not None) - self._is_there(key)
            self._exists[key] = value is not None
        if value is None:
            self._batch.delete(key)
        else:
            self._batch.put(key, value)
        if self._batch.len() >= _LOAD_ROWS:
            self._write()

    def stand_at(self, standing: Standing | None) -> None:
        self._write()
        if self.standing is None:  # rows came more than once, and some were deleted again
            self._count = sum(1 for _ in self._on_disk())
        self.standing = standing

    def committed(self, rows: Mapping[bytes, bytes | None], standing: Standing) -> None:
        for key, row in rows.items():
            if row is None:
                self._batch.delete(key)
            else:
                self._batch.put(key, row)
        self.standing = standing
        self._batch.put(POSITION_KEY, self._encoded(standing))
        self._write()

    def close(self, *, clean: bool) -> None:
        if clean and self.standing is not None:
            self._db.put(POSITION_KEY, self._encoded(self.standing), self._no_log)
            self._db.flush()
        self._close()
        if clean and self.standing is not None:
            self._closed_cleanly()

    def _is_there(self, key: bytes) -> bool:
        row = self._changed.get(key, _ABSENT)
        if row is not _ABSENT:
            return row is not None
        known = self._exists.get(key)
        if known is None:
            known = self._exists[key] = self._read(key) is not None
        return known

    def _read(self, key: bytes) -> bytes | None:
        try:
            row: bytes | None = self._get(key)
        except Exception as error:
            raise StoreFailed(f"{self._directory}: cannot be read: {error}") from error
        return row

    def _on_disk(self) -> Iterator[tuple[bytes, bytes]]:
        # The iterator of RocksDB ends at a damaged block as if it were the last: only its status tells.
        rows = self._db.iter()
        rows.seek_to_first()
        try:
            while rows.valid():
                key = rows.key()
                if key != POSITION_KEY:
                    yield key, rows.value()
                rows.next()
            rows.status()
        except Exception as error:
            raise DamagedState(f"{self._directory}: {error}") from error

    def _write(self) -> None:
        try:
            self._db.write(self._batch, self._no_log)
        except Exception as error:
            remedy = "make room, or set state=memory"
            raise StoreFailed(f"{self._directory}: cannot be written: {error}; {remedy}") from error
        self._batch = WriteBatch(raw_mode=True)
        self._exists.clear()

    def _kept(self) -> tuple[Standing | None, int]:
        kept = self._db.get(POSITION_KEY)
        if kept is None:
            return None, 0
        changelog_next, count = _STANDING.unpack_from(kept)
        return Standing(Position.decode(kept[_STANDING.size :]), changelog_next), count

    def _encoded(self, standing: Standing) -> bytes:
        return _STANDING.pack(standing.changelog_next, self._count) + standing.position.encode()


def _options(cache: Cache) -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_keep_log_file_num(1)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(cache)
    blocks.set_bloom_filter(10, False)
    options.set_block_based_table_factory(blocks)
    return options
