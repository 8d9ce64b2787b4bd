"""Where a worker keeps state between its lives, which only a graceful end keeps: simulated, or as it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rocksdict import DbClosedError

from streams.engine.local import LocalState
from streams.engine.settings import EngineSettings
from streams.engine.store import DamagedState, MemoryStore, Standing, StateStore


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


class RealDisk:
    """The engine's own directory of state, with RocksDB in it, for the worker that runs there."""

    wants_standing = True

    def __init__(self, settings: EngineSettings, counts: Counter[str]) -> None:
        self._state = LocalState(settings)
        self._state.begin("changelog")
        self._counts = counts
        self._stores: list[StateStore] = []

    def begin(self, changelog_id: str) -> None:
        pass

    def open(self, partition: int) -> StateStore:
        self._stores.append(self._state.open(partition))
        self._counts["state kept on disk"] += self._stores[-1].standing is not None
        return self._stores[-1]

    def rebuild(self, partition: int, reason: str) -> StateStore:
        self._stores.append(self._state.rebuild(partition, reason))
        return self._stores[-1]

    def end(self) -> None:
        """The process is gone: what it did not close is left as it lies."""
        for store in self._stores:
            with suppress(DbClosedError):
                store.close(clean=False)
        self._state.end()
