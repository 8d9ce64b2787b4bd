"""State of one partition: bytes to bytes, remembering what the changelog has yet to hear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from streams.engine.position import Position


class Store(Protocol):
    """Rows of one partition. Keep rows small (a purchase, a counter): a changed row is a changelog record."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        """All rows, in no order to rely on, without holding them all in memory; change none meanwhile."""

    def __len__(self) -> int: ...

    def drain_dirty(self) -> Mapping[bytes, bytes | None]:
        """Rows changed since the last call, each once with its latest value; None = deleted."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far the rows of a store are true."""

    position: Position
    changelog_next: int
    """The first offset of the changelog that is not in the rows."""


class StateStore(Store, Protocol):
    """A store as the engine fills, commits and closes it."""

    @property
    def dirty(self) -> bool:
        """True if rows wait for drain_dirty()."""

    @property
    def standing(self) -> Standing | None:
        """What was kept from an earlier life; None = nothing, fill it from the start of the changelog."""

    def load(self, key: bytes, value: bytes | None) -> None:
        """Take a row from the changelog, which already has it."""

    def stand_at(self, standing: Standing | None) -> None:
        """The restore is over; None = the changelog is empty."""

    def committed(self, rows: Mapping[bytes, bytes | None], standing: Standing) -> None:
        """The drained rows are committed in Kafka. Nothing else is called between drain_dirty() and this."""

    def close(self, *, clean: bool) -> None:
        """End. `clean`: the rows are those of the last commit, and may serve the next life."""


class Stores(Protocol):
    """Where the stores of a worker come from."""

    wants_standing: bool
    """True if stores need to know where in the changelog a commit ended."""

    def begin(self, changelog_id: str) -> None:
        """Called once, before the first store; `changelog_id` is the id of the changelog topic."""

    def open(self, partition: int) -> StateStore:
        """The store of a partition this process holds no other store of."""

    def rebuild(self, partition: int, reason: str) -> StateStore:
        """An empty store in place of a damaged one, which is closed."""


class DamagedState(Exception):
    """What a store kept cannot be read; it can be made again from the changelog."""


class StoreFailed(Exception):
    """A store could not write or read; the changelog has everything that was committed."""


class MemoryStore:
    """A dict of rows. Costs about 200 bytes a row beside key and value; the changelog is its durable form."""

    __slots__ = ("_dirty", "_rows", "get")
    standing: Standing | None = None

    def __init__(self) -> None:
        self._rows: dict[bytes, bytes] = {}
        self._dirty: dict[bytes, bytes | None] = {}
        self.get = self._rows.get

    def put(self, key: bytes, value: bytes) -> None:
        self._rows[key] = value
        self._dirty[key] = value

    def delete(self, key: bytes) -> None:
        if self._rows.pop(key, None) is not None:
            self._dirty[key] = None

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        return self._rows.items()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def dirty(self) -> bool:
        return bool(self._dirty)

    def drain_dirty(self) -> Mapping[bytes, bytes | None]:
        drained, self._dirty = self._dirty, {}
        return drained

    def load(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = value

    def stand_at(self, standing: Standing | None) -> None:
        pass

    def committed(self, rows: Mapping[bytes, bytes | None], standing: Standing) -> None:
        pass

    def close(self, *, clean: bool) -> None:
        pass


class MemoryStores:
    """Every life begins with the whole changelog."""

    wants_standing = False

    def begin(self, changelog_id: str) -> None:
        pass

    def open(self, partition: int) -> MemoryStore:
        return MemoryStore()

    def rebuild(self, partition: int, reason: str) -> MemoryStore:
        return MemoryStore()
