"""A small disk of its own for one broker, which can be full. Needs the right to mount (Linux, root)."""

import os
import subprocess
from pathlib import Path

ROOM_BYTES = 6 * 1024**3
FILL_ATTEMPTS = 50


class CannotMount(Exception):
    """There is no such disk here; the message says why."""


class SmallDisk:
    """A tmpfs; it keeps its files while it is mounted, also over a run that was cut."""

    def __init__(self, place: Path) -> None:
        """Mount it, unless it is. Raises `CannotMount`."""
        self.place = place
        place.mkdir(parents=True, exist_ok=True)
        if not os.path.ismount(place):
            self._run("mount", "-t", "tmpfs", "-o", f"size={ROOM_BYTES}", "tmpfs", str(place))

    def fill(self) -> None:
        """From now on every write finds it full. Raises `CannotMount`."""
        for attempt in range(1, FILL_ATTEMPTS + 1):
            usage = os.statvfs(self.place)
            used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize
            try:
                self._run("mount", "-o", f"remount,size={used}", str(self.place))
            except CannotMount:
                # The broker wrote between the look and the mount: smaller than its files no disk can get.
                if attempt == FILL_ATTEMPTS:
                    raise
            else:
                return

    def free(self) -> None:
        """As large as it was."""
        self._run("mount", "-o", f"remount,size={ROOM_BYTES}", str(self.place))

    def remove(self) -> None:
        """Give it up with everything on it."""
        self._run("umount", str(self.place))

    def _run(self, *command: str) -> None:
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        except OSError as error:
            raise CannotMount(f"{command[0]}: {error.strerror}") from error
        if done.returncode != 0:
            raise CannotMount(" ".join(done.stderr.split()) or f"{command[0]} ended with {done.returncode}")
