"""The directory in which a worker keeps its state between lives, and when what lies there may be believed.

It may only after a graceful end: a marker is written last, and taken away before anything is changed. Without
marker, made by another version, from another topic, or too long ago, it is thrown away and the changelog read
from its start.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

import structlog

from streams.engine.rocks import RocksStore, shared_cache
from streams.engine.settings import EngineSettings
from streams.engine.store import DamagedState, StateStore

FORMAT = 1
AGE_S_MAX = 12 * 3_600
"""Half of the day for which a compacted changelog keeps the word that a row was deleted."""
_SLOTS_MAX = 1_000


class LocalState:
    """Stores on disk: `directory/app/slot/partition`. A slot belongs to one living process at a time."""

    wants_standing = True

    def __init__(self, settings: EngineSettings) -> None:
        if settings.state_directory is None:
            raise ValueError("state_directory is empty: say where the state is kept")
        self._settings = settings
        self._log = structlog.get_logger("streams.engine")
        self._lock: int | None = None
        self._changelog_id = ""
        self._cache = shared_cache()

    def begin(self, changelog_id: str) -> None:
        """Raises OSError when the directory cannot be made or is full of slots in use."""
        self._changelog_id = changelog_id
        settings = self._settings
        name = settings.instance_id or "worker"
        above = Path(settings.state_directory or "") / settings.app_id
        for number in range(_SLOTS_MAX):
            self._slot = above / f"{name}.{number}"
            self._slot.mkdir(parents=True, exist_ok=True)
            lock = os.open(self._slot / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
            else:
                self._lock = lock
                return
        raise OSError(f"{above}: {_SLOTS_MAX} workers run here already; give each an instance_id")

    def open(self, partition: int) -> StateStore:
        """What the last life left, if it may be believed; else an empty store. Raises OSError."""
        directory, marker = self._places(partition)
        doubt = self._doubt(marker)
        marker.unlink(missing_ok=True)
        if doubt is None:
            try:
                store = self._store(directory, marker)
                if store.standing is not None:
                    return store
                store.close(clean=False)
                doubt = "its files are gone"
            except DamagedState as damage:
                doubt = str(damage)
        return self._empty(partition, doubt if directory.exists() else None)

    def rebuild(self, partition: int, reason: str) -> StateStore:
        """Throw away what is there. Raises OSError when it stays."""
        return self._empty(partition, reason)

    def end(self) -> None:
        """Free the slot for another process; the end of this one does it too."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _empty(self, partition: int, doubt: str | None) -> StateStore:
        directory, marker = self._places(partition)
        if doubt is not None:
            self._log.warning("local state rebuilt", partition=partition, reason=doubt)
        with suppress(FileNotFoundError):
            shutil.rmtree(directory)
        store = self._store(directory, marker)
        if store.standing is not None:
            store.close(clean=False)
            raise OSError(f"{directory}: what lies there could not be removed; stop the worker and remove it")
        return store

    def _store(self, directory: Path, marker: Path) -> RocksStore:
        return RocksStore(directory, self._cache, lambda: self._mark(marker))

    def _mark(self, marker: Path) -> None:
        with marker.open("w") as file:
            json.dump({**self._identity(), "closed_at": int(time.time())}, file)
            file.flush()
            os.fsync(file.fileno())

    def _places(self, partition: int) -> tuple[Path, Path]:
        return self._slot / str(partition), self._slot / f"{partition}.clean"

    def _identity(self) -> dict[str, object]:
        return {
            "format": FORMAT,
            "state_version": self._settings.state_version,
            "changelog": self._changelog_id,
            "input": self._settings.input_topic,
        }

    def _doubt(self, marker: Path) -> str | None:
        """Why what lies there must not be believed; None = it may."""
        try:
            said = json.loads(marker.read_bytes())
        except FileNotFoundError:
            return "the process before did not end gracefully"
        except (OSError, ValueError) as error:
            return f"{marker.name}: {error}"
        if not isinstance(said, dict) or not isinstance(said.get("closed_at"), int):
            return f"{marker.name} is damaged"
        identity = self._identity()
        if {name: said.get(name) for name in identity} != identity:
            return f"it was made by {said}, this is {identity}"
        age_s = time.time() - said["closed_at"]
        if not -3_600 < age_s < AGE_S_MAX:
            return f"it is {age_s / 3_600:.1f} h old, at most {AGE_S_MAX // 3_600} h can be caught up with"
        return None
