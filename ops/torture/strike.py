"""What every blow works with: the system, what is seen of it, and the stopwatch of one fault."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from threading import Event

from ops.health import Ready, ask_readiness
from ops.torture.faults import FORMS
from ops.torture.schedule import Fault
from ops.torture.system import System
from ops.torture.waiting import Interrupted, wait_until
from ops.torture.watch import Watch

GIVE_UP_S = 180.0
"""A stage that has not gone on by then is stuck."""


class Skipped(Exception):
    """This kind of fault cannot be struck here; the message says why."""


@dataclass
class Strike:
    """One fault while it is struck. `pauses_s`: each from a blow, or its end, until the stages went on."""

    fault: Fault
    system: System
    watch: Watch
    replay: Callable[[int], None]
    """Append so many inputs again; returns when they are written."""
    stop: Event
    """Set when the run is ended: nothing is waited for any more."""
    pauses_s: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    lasted_s: float = 0.0

    def __post_init__(self) -> None:
        self.rng = Random(self.fault.seed)

    def note(self, said: str) -> None:
        """Something for the report."""
        self.notes.append(said)

    def await_there(self, *names: str) -> None:
        """Wait until these processes run, ready or not."""
        self.wait_until(lambda: all(map(self.is_there, names)), f"{names} run")

    def await_ready(self, *names: str) -> None:
        """Wait until these processes are ready."""
        self.wait_until(lambda: all(map(self.is_ready, names)), f"{names} are ready")

    def wait_until(
        self, condition: Callable[[], bool], what: str, *, timeout_s: float = GIVE_UP_S, every_s: float = 0.05
    ) -> None:
        """Return as soon as `condition` holds. Raises `NotInTime` naming `what`, `Interrupted`."""
        wait_until(condition, what, timeout_s=timeout_s, every_s=every_s, stop=self.stop)

    def kill(self, *names: str) -> float:
        """SIGKILL, each as soon as it runs; returns when (monotonic)."""
        for name in names:
            while True:
                self.await_there(name)
                with suppress(ProcessLookupError):  # it ended by itself just now
                    self.system.supervisor.kill(name)
                    break
        return time.monotonic()

    def felt_since(self, struck_s: float, *, back: Sequence[str] = ()) -> float:
        """Wait until the stages of this fault went on and `back` are ready; note the pause and return it.

        Raises `NotInTime`.
        """
        before = self.watch.look(timeout_s=GIVE_UP_S)
        if back:
            self.await_ready(*back)
        self.watch.wait_progress(FORMS[self.fault.kind].stages, before, timeout_s=GIVE_UP_S)
        pause_s = time.monotonic() - struck_s
        self.pauses_s.append(pause_s)
        return pause_s

    def hold(self, seconds: float) -> None:
        """Let it last."""
        self.lasted_s += seconds
        self.rest(seconds)

    def rest(self, seconds: float) -> None:
        """Do nothing for a while. Raises `Interrupted`."""
        if self.stop.wait(seconds):
            raise Interrupted("a rest")

    def is_there(self, name: str) -> bool:
        """Whether the process runs."""
        return self.pid(name) is not None

    def is_ready(self, name: str) -> bool:
        """Whether the process says that it does its work."""
        supervisor = self.system.supervisor
        return self.is_there(name) and isinstance(ask_readiness(supervisor.health_port(name)), Ready)

    def pid(self, name: str) -> int | None:
        """Its process id, None while it is down."""
        try:
            return self.system.supervisor.pid(name)
        except ProcessLookupError:
            return None

    def last_exit(self, name: str) -> int | None:
        """How it ended the last time; negative: a signal."""
        return next(each.last_exit for each in self.system.supervisor.status() if each.name == name)
