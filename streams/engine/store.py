"""State of one partition: bytes to bytes, remembering what the changelog has yet to hear."""

from __future__ import annotations

from collections.abc import ItemsView, Mapping
from typing import Protocol


class Store(Protocol):
    """Rows of one partition. Keep rows small (a purchase, a counter): a changed row is a changelog record."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def put(self, key: bytes, value: bytes) -> None: ...

    def delete(self, key: bytes) -> None: ...

    def items(self) -> ItemsView[bytes, bytes]: ...

    def __len__(self) -> int: ...

    def drain_dirty(self) -> Mapping[bytes, bytes | None]:
        """Rows changed since the last call, each once with its latest value; None = deleted."""


class MemoryStore:
    """A dict of rows. Costs about 200 bytes a row beside key and value; the changelog is its durable form."""

    __slots__ = ("_dirty", "_rows", "get")

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

    def items(self) -> ItemsView[bytes, bytes]:
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
        """Take a row from the changelog, which already has it."""
        if value is None:
            self._rows.pop(key, None)
        else:
            self._rows[key] = value
