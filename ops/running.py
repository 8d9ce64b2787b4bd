"""Which `cashback up` runs on a data directory, so that other commands find its servers by themselves.

A file lock held for the life of the process says that it runs: the kernel frees it however the process ends.
"""

import contextlib
import fcntl
import json
import os
import shlex
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from ops.settings import Settings, get_settings

LOOKS = 5
LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Running:
    """Where a running `up` serves. `database_url` holds the password of an embedded server."""

    pid: int
    brokers: str
    database_url: str
    clock: str
    topic_prefix: str
    max_age_days: int = Settings.model_fields["max_age_days"].default
    webhook_allow_loopback: bool = False


_TOLD = ("brokers", "database_url", "clock", "topic_prefix", "max_age_days", "webhook_allow_loopback")
"""Settings of the running `up` that other commands go by."""


class AlreadyRunningError(Exception):
    """Another `up` holds the data directory."""


class DirectoryUnusable(Exception):
    """Data cannot be kept where they should be."""


class Claim:
    """The right to use a data directory, until `release` or the end of the process."""

    def __init__(self, data: Path) -> None:
        """Take it. Raises `AlreadyRunningError` naming the process that has it, `DirectoryUnusable`."""
        self._data = data
        try:
            data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock: IO[str] = (data / "up.lock").open("a+")
        except OSError as error:
            raise DirectoryUnusable(
                f"{data}: nothing can be kept there ({error.strerror}); choose one that you may write "
                "to, with --data, or for all with CASHBACK_HOME"
            ) from error
        try:
            self._take_lock()
        except BlockingIOError as error:
            self._lock.seek(0)
            pid = self._lock.read().strip()
            self._lock.close()
            raise AlreadyRunningError(
                f"already running on {data} (process {pid or 'unknown'}): "
                "stop that one first, or choose another directory with --data"
            ) from error
        self._lock.truncate(0)
        self._lock.write(str(os.getpid()))
        self._lock.flush()

    def publish(self, settings: Settings) -> None:
        """Tell other commands where the servers are: `running.json`, and `env` for a shell to source."""
        running = Running(os.getpid(), **{name: getattr(settings, name) for name in _TOLD})
        _write_private(self._data / "running.json", json.dumps(asdict(running)))
        exports = {name: getattr(settings, name) for name in _TOLD}
        lines = (
            f"export CASHBACK_{name.upper()}={shlex.quote(str(value))}\n" for name, value in exports.items()
        )
        _write_private(self._data / "env", "".join(lines))

    def release(self) -> None:
        """Give it back."""
        (self._data / "running.json").unlink(missing_ok=True)
        (self._data / "env").unlink(missing_ok=True)
        self._lock.close()

    def _take_lock(self) -> None:
        # A command that looks whether we run holds the lock for an instant; somebody who runs holds it on.
        for _ in range(LOOKS):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(LOOK_EVERY_S)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def default_data(settings: Settings) -> Path:
    """Where `up` keeps its data when nobody says otherwise."""
    return settings.home / "data"


def find_running(data: Path) -> Running | None:
    """The `up` that runs on `data` and is past its start, or None."""
    try:
        with (data / "up.lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return None
    except FileNotFoundError:
        return None
    except BlockingIOError:
        published = data / "running.json"
        return Running(**json.loads(published.read_text())) if published.exists() else None


def settings_here(
    *, brokers: str | None = None, database_url: str | None = None, data: Path | None = None
) -> Settings:
    """What a command works with: its options, else `CASHBACK_…`, else the running `up`, else defaults."""
    settings = get_settings()
    running = find_running(data or default_data(settings))
    found = {}
    if running:
        offered = {name: getattr(running, name) for name in _TOLD}
        found = {name: value for name, value in offered.items() if name not in settings.model_fields_set}
    chosen = {"brokers": brokers, "database_url": database_url}
    return settings.model_copy(update=found | {name: value for name, value in chosen.items() if value})


def _write_private(path: Path, content: str) -> None:
    # Made under another name with its final mode: nobody reads it early, nobody reads half of it.
    unfinished = path.with_suffix(".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(mode=0o600)
    unfinished.write_text(content)
    unfinished.replace(path)
