"""The directory in which a worker keeps state between its lives, in memory: kept only by a graceful end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from streams.engine.store import DamagedState, MemoryStore, Standing


class Disk:
    """Stores of one machine, for the worker that runs there. Implements the engine's `Stores`."""

    wants_standing = True

    def __init__(self, counts: Counter[str]) -> None:
        self.counts = counts
        self.kept: dict[int, DiskStore] = {}
        self.opened: dict[int, DiskStore] = {}

    def begin(self, changelog_id: str) -> None:
        pass

    def open(self, partition: int) -> DiskStore:
        store = self.kept.pop(partition, None)
        if store is None:
            return self.rebuild(partition, "nothing was kept")
        self.counts["state kept on disk"] += 1
        self.opened[partition] = store
        return store

    def rebuild(self, partition: int, reason: str) -> DiskStore:
        store = self.opened[partition] = DiskStore(self, partition)
        return store

    def age(self) -> None:
        """A day passes: what was kept must not be believed, for the changelog forgot what was deleted."""
        self.kept.clear()
        for store in self.opened.values():
            store.is_old = True

    def damage(self) -> None:
        """What is kept can no longer be read."""
        for store in self.kept.values():
            store.is_damaged = True
            self.counts["disk damaged"] += 1


class DiskStore(MemoryStore):
    """Rows that outlive a graceful end, with how far they are true."""

    __slots__ = ("_disk", "_partition", "is_damaged", "is_old", "standing")

    def __init__(self, disk: Disk, partition: int) -> None:
        super().__init__()
        self.standing: Standing | None = None
        self.is_damaged = False
        self.is_old = False
        self._disk = disk
        self._partition = partition

    def items(self) -> Iterable[tuple[bytes, bytes]]:
        if self.is_damaged:
            raise DamagedState("simulated")
        return super().items()

    def stand_at(self, standing: Standing | None) -> None:
        self.standing = standing

    def committed(self, rows: Mapping[bytes, bytes | None], standing: Standing) -> None:
        self.standing = standing

    def close(self, *, clean: bool) -> None:
        if clean and self.standing is not None and not self.is_old and not self.dirty:
            self._disk.kept[self._partition] = self
