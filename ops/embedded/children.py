"""Child processes that never outlive us: started tethered, remembered in a pid file, ended within a bound."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_TETHER = Path(__file__).with_name("tether.py")


class StartError(Exception):
    """A server or process did not come up. The message says why and what to do."""


@dataclass(frozen=True)
class Owner:
    """The system user a child runs as, where it may not run as root."""

    name: str
    uid: int
    gid: int


def start_tethered(
    program: Sequence[str],
    *,
    log: Path | None,
    pid_file: Path | None = None,
    death_signal: signal.Signals = signal.SIGKILL,
    owner: Owner | None = None,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start `program` in a session of its own, so that Ctrl-C in a terminal reaches only us.

    On Linux it gets `death_signal` when the *thread* that called this ends: call from one that stays.
    Its output is appended to `log`, or goes where ours goes when that is None. `pid_file` remembers it for
    `end_leftover`. `environment` replaces ours when given.
    """
    user = f"{owner.uid}:{owner.gid}" if owner else "-"
    tether = [sys.executable, "-I", "-S", str(_TETHER), str(os.getpid()), str(int(death_signal)), user]
    output = log.open("ab") if log else None
    try:
        child = subprocess.Popen(
            [*tether, *program],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            env=environment,
            cwd=directory,
            start_new_session=True,
        )
    finally:
        if output:
            output.close()
    if pid_file:
        _remember(pid_file, child.pid)
    return child


def stop(child: subprocess.Popen[bytes], *, first: signal.Signals = signal.SIGTERM, timeout_s: float) -> int:
    """Ask `child` to end with `first`, kill it after `timeout_s`. Its exit code; negative: a signal."""
    if child.poll() is None:
        child.send_signal(signal.SIGCONT)
        child.send_signal(first)
        try:
            child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
    return child.wait()


def end_leftover(pid_file: Path, *, timeout_s: float = 10.0) -> bool:
    """End the process that `pid_file` remembers if it still runs; returns whether there was one.

    A pid that meanwhile belongs to somebody else is told apart by its start time.
    """
    try:
        remembered = json.loads(pid_file.read_text())
        leftover = psutil.Process(remembered["pid"])
        same: bool = abs(leftover.create_time() - remembered["started_at_s"]) < 1.0
        same = same and leftover.status() != psutil.STATUS_ZOMBIE
    except (FileNotFoundError, ValueError, KeyError, psutil.NoSuchProcess):
        return False
    if same:
        _end(leftover, timeout_s)
    pid_file.unlink(missing_ok=True)
    return same


def tail(log: Path, lines: int = 15) -> str:
    """The last `lines` of a child's log, for the error that says why it did not start."""
    if not log.exists():
        return "(it wrote no log)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines:]) or "(its log is empty)"


def _remember(pid_file: Path, pid: int) -> None:
    started_at_s = psutil.Process(pid).create_time()
    pid_file.write_text(json.dumps({"pid": pid, "started_at_s": started_at_s}))


def _end(process: psutil.Process, timeout_s: float) -> None:
    try:
        process.terminate()
        process.wait(timeout_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(timeout_s)
    except psutil.NoSuchProcess:
        return
