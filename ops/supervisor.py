"""Keeps processes running: starts them, restarts what ended with growing delays, stops all of them.

One thread owns the children, for two reasons: they are tied to the life of the thread that started them,
and every decision about them is then made in one place. The methods may be called from any thread.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from ops.embedded.children import start_tethered, tail
from ops.embedded.ports import LOOPBACK, free_port
from ops.health import NotReady, Readiness, Ready, ask_readiness

LOOK_EVERY_S = 0.05
LOG_BYTES_MAX = 16 * 1024 * 1024
STOP_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Program:
    """What to run: a Python module with arguments, and what its environment adds to ours."""

    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BackOff:
    """Delays between restarts: `first_s`, doubled each time up to `most_s`.

    A process that ran for `stable_s` begins again with the first delay.
    """

    first_s: float = 0.2
    most_s: float = 30.0
    stable_s: float = 10.0

    def delay_s(self, ends_in_a_row: int) -> float:
        """Seconds to wait after so many ends in a row (1: the first)."""
        return min(self.most_s, self.first_s * 2.0 ** min(ends_in_a_row - 1, 30))


@dataclass(frozen=True)
class Status:
    """How a process is now. `last_exit`: its last exit code, negative for a signal."""

    name: str
    pid: int | None
    restarts: int
    last_exit: int | None
    readiness: Readiness


class NotReadyInTimeError(Exception):
    """Some processes were not ready in time; names each with its reason and the end of its log."""


@dataclass
class _Child:
    name: str
    program: Program
    port: int
    process: subprocess.Popen[bytes] | None = None
    wanted: bool = True
    started_at_s: float = 0.0
    start_at_s: float = 0.0
    kill_at_s: float | None = None
    ends_in_a_row: int = 0
    restarts: int = 0
    last_exit: int | None = None
    exits: Counter[int] = field(default_factory=Counter)
    paused: bool = False


class Supervisor:
    """A set of supervised processes; a context manager that stops them all at its end.

    log_directory: each process writes ``<name>.log`` there. say: told when a process ends or comes back.
    """

    def __init__(
        self,
        log_directory: Path,
        *,
        back_off: BackOff | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._logs = log_directory
        self._back_off = back_off or BackOff()
        self._say = say
        self._children: dict[str, _Child] = {}
        self._changed = threading.Condition(threading.RLock())
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        log_directory.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self, name: str, program: Program | None = None) -> None:
        """Run `program` as `name`, or the same program again after `stop`. It is started at once."""
        with self._changed:
            child = self._children.get(name)
            if child is None:
                if program is None:
                    raise KeyError(f"no process is called {name!r}: give its program")
                child = self._children[name] = _Child(name, program, free_port())
            child.program = program or child.program
            child.wanted, child.start_at_s, child.ends_in_a_row = True, 0.0, 0
            self._changed.notify_all()
            self._wait_until(lambda: child.process is not None or self._closing, STOP_TIMEOUT_S)

    def stop(self, name: str, *, timeout_s: float = STOP_TIMEOUT_S) -> int | None:
        """Ask `name` to end and wait; kill it after `timeout_s`. Not restarted. Returns its exit code."""
        with self._changed:
            self._ask_to_end(self._children[name], timeout_s)
            return self._wait_gone(name, timeout_s)

    def kill(self, name: str) -> None:
        """SIGKILL, as an accident would: gone when this returns, then restarted after a delay."""
        with self._changed:
            self._signal(name, signal.SIGKILL).wait()

    def pause(self, name: str) -> None:
        """SIGSTOP: it keeps its memory and connections and does nothing."""
        with self._changed:
            self._signal(name, signal.SIGSTOP)
            self._children[name].paused = True

    def resume(self, name: str) -> None:
        """SIGCONT after `pause`."""
        with self._changed:
            self._signal(name, signal.SIGCONT)
            self._children[name].paused = False

    def pid(self, name: str) -> int:
        """Process id of `name`. Raises ProcessLookupError while it is down."""
        with self._changed:
            process = self._children[name].process
            if process is None:
                raise ProcessLookupError(f"{name} is not running")
            return process.pid

    def health_port(self, name: str) -> int:
        """Port of its /healthz, /readyz and /metrics on loopback; kept over restarts if it can be."""
        return self._children[name].port

    def log(self, name: str) -> Path:
        """What `name` writes."""
        return self._logs / f"{name}.log"

    def status(self) -> list[Status]:
        """How every process is, readiness asked now."""
        with self._changed:
            children = list(self._children.values())
        return [
            Status(
                child.name,
                child.process.pid if child.process else None,
                child.restarts,
                child.last_exit,
                self._readiness(child),
            )
            for child in children
        ]

    def wait_ready(self, *names: str, timeout_s: float) -> None:
        """Return when all of `names` (none given: all) answer `/readyz` with yes.

        Raises `NotReadyInTimeError`.
        """
        deadline = time.monotonic() + timeout_s
        waiting = dict.fromkeys(names or self._children, "")
        while waiting:
            for name in list(waiting):
                match self._readiness(self._children[name]):
                    case Ready():
                        self._say(f"{name} is ready, http://{LOOPBACK}:{self.health_port(name)}/metrics")
                        del waiting[name]
                    case NotReady(reason):
                        waiting[name] = reason
            if waiting and time.monotonic() >= deadline:
                raise NotReadyInTimeError(
                    "\n".join(
                        f"{name} was not ready in {timeout_s:.0f} s: {reason}\n{tail(self.log(name))}"
                        for name, reason in waiting.items()
                    )
                )
            if waiting:
                time.sleep(LOOK_EVERY_S)

    def close(self, *, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop every process, all at once, and the supervision itself. Nothing is left when it returns."""
        with self._changed:
            for child in self._children.values():
                self._ask_to_end(child, timeout_s)
            for name in self._children:
                self._wait_gone(name, timeout_s)
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:
            while not self._closing:
                now_s = time.monotonic()
                for child in self._children.values():
                    self._look_after(child, now_s)
                self._changed.wait(LOOK_EVERY_S)

    def _look_after(self, child: _Child, now_s: float) -> None:
        if child.process is None:
            if child.wanted and now_s >= child.start_at_s:
                self._launch(child, now_s)
            return
        code = child.process.poll()
        if code is not None:
            self._note_end(child, code, now_s)
        elif child.kill_at_s is not None and now_s >= child.kill_at_s:
            self._say(f"{child.name} did not end in time and is killed")
            child.process.kill()

    def _launch(self, child: _Child, now_s: float) -> None:
        child.port = free_port(child.port)
        log = self.log(child.name)
        if log.exists() and log.stat().st_size > LOG_BYTES_MAX:
            log.replace(log.with_suffix(".log.1"))
        environment = {**os.environ, **child.program.environment}  # noqa: TID251 - handed on, not read
        environment["CASHBACK_HEALTH_PORT"] = str(child.port)
        environment["CASHBACK_EXITS"] = json.dumps(child.exits)
        environment["PYTHONUNBUFFERED"] = "1"
        child.process = start_tethered(
            [sys.executable, "-m", child.program.module, *child.program.arguments],
            log=log,
            environment=environment,
        )
        child.started_at_s, child.kill_at_s, child.paused = now_s, None, False
        self._changed.notify_all()

    def _note_end(self, child: _Child, code: int, now_s: float) -> None:
        child.process, child.last_exit, child.kill_at_s = None, code, None
        child.exits[code] += 1
        if child.wanted:
            stable = now_s - child.started_at_s >= self._back_off.stable_s
            child.ends_in_a_row = 1 if stable else child.ends_in_a_row + 1
            delay_s = self._back_off.delay_s(child.ends_in_a_row)
            child.start_at_s = now_s + delay_s
            child.restarts += 1
            last_words = tail(self.log(child.name), lines=1)
            self._say(
                f"{child.name} ended ({_ending(code)}); starting it again in {delay_s:.1f} s. {last_words}"
            )
        self._changed.notify_all()

    def _ask_to_end(self, child: _Child, timeout_s: float) -> None:
        child.wanted = False
        if child.process is not None and child.process.poll() is None:
            child.kill_at_s = time.monotonic() + timeout_s
            # Woken too: a paused process cannot answer.
            child.process.send_signal(signal.SIGCONT)
            child.process.send_signal(signal.SIGTERM)

    def _wait_gone(self, name: str, timeout_s: float) -> int | None:
        child = self._children[name]
        self._wait_until(lambda: child.process is None, timeout_s + 5)
        return child.last_exit

    def _wait_until(self, condition: Callable[[], bool], timeout_s: float) -> None:
        self._changed.wait_for(condition, timeout_s)

    def _signal(self, name: str, number: signal.Signals) -> subprocess.Popen[bytes]:
        process = self._children[name].process
        if process is None:
            raise ProcessLookupError(f"{name} is not running")
        process.send_signal(number)
        return process

    def _readiness(self, child: _Child) -> Readiness:
        if child.process is None:
            return NotReady("it is not running")
        if child.paused:
            return NotReady("it is paused")
        return ask_readiness(child.port)


def _ending(code: int) -> str:
    if code < 0:
        return signal.Signals(-code).name
    return f"exit code {code}"
