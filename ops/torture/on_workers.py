"""Blows to workers."""

import time

from ops.torture.clocks import NoCompiler, skewed_by
from ops.torture.strike import Skipped, Strike
from ops.torture.system import GUEST, WORKERS
from ops.torture.waiting import NotInTime
from streams.engine.exits import ExitCode
from streams.engine.failpoints import Place

SUSPENDED_S = 8.0
"""Past the session of six seconds."""
FAILPOINT_S_MAX = 45.0
LEAVES_S_MAX = 60.0
SKEWED_S = 8.0


def kill(strike: Strike) -> None:
    """SIGKILL, wherever it is."""
    name = strike.rng.choice(WORKERS)
    strike.note(name)
    strike.felt_since(strike.kill(name), back=[name])


def failpoint(strike: Strike) -> None:
    """Dies at a place of its own code: around the produce, the offsets, the commit, or at the nth record."""
    name, place = strike.rng.choice(WORKERS), strike.rng.choice(list(Place))
    count = strike.rng.randint(1, 400) if place in (Place.RECORD, Place.RAISE) else strike.rng.randint(1, 12)
    strike.note(f"{name} {place}@{count}")
    strike.await_there(name)
    system, before = strike.system, strike.pid(name)
    strike.kill(name)
    system.begin(name, CASHBACK_FAILPOINT=f"{place}@{count}")
    strike.wait_until(
        lambda: strike.pid(name) not in (None, before), f"{name} runs", timeout_s=FAILPOINT_S_MAX
    )
    armed = strike.pid(name)
    system.begin(name)  # what runs keeps its failpoint, what comes after it has none
    try:
        strike.wait_until(
            lambda: strike.pid(name) != armed, f"{name} reaches {place}", timeout_s=FAILPOINT_S_MAX
        )
    except NotInTime:
        strike.note("not reached, killed instead")
        strike.kill(name)
    strike.felt_since(time.monotonic(), back=[name])


def suspend(strike: Strike) -> None:
    """Asleep past its session; when it wakes up its partitions are others', and it must leave."""
    name = strike.rng.choice(WORKERS)
    strike.note(name)
    strike.await_ready(*WORKERS)
    supervisor, struck_s, slept = strike.system.supervisor, time.monotonic(), strike.pid(name)
    supervisor.pause(name)
    pause_s = strike.felt_since(struck_s)
    strike.hold(max(0.0, SUSPENDED_S - pause_s))
    woken_s = time.monotonic()
    supervisor.resume(name)
    strike.wait_until(lambda: strike.pid(name) not in (None, slept), f"{name} leaves", timeout_s=LEAVES_S_MAX)
    code = strike.last_exit(name)
    strike.note(f"left with {ExitCode(code).name}" if code in list(ExitCode) else f"left with {code}")
    strike.felt_since(woken_s, back=[name])


def come_and_go(strike: Strike) -> None:
    """A worker joins and leaves again, or leaves and comes back; all of it planned (SIGTERM)."""
    supervisor = strike.system.supervisor
    name = strike.rng.choice((*WORKERS, GUEST, GUEST))
    strike.note(name)
    strike.await_there(*WORKERS)
    for step in ("comes", "goes") if name == GUEST else ("goes", "comes"):
        struck_s = time.monotonic()
        if step == "comes":
            strike.system.begin(name)
            strike.felt_since(struck_s, back=[name])
        else:
            supervisor.stop(name)
            if code := strike.last_exit(name):
                strike.note(f"left with {code} instead of 0")
            strike.felt_since(struck_s)


def skew(strike: Strike) -> None:
    """A worker whose clock is an hour off, for a while."""
    name, hours = strike.rng.choice(WORKERS), strike.rng.choice((-1, 1))
    strike.note(f"{name} {hours:+d} h")
    try:
        skewed = skewed_by(hours * 3_600, strike.system.directory)
    except NoCompiler as error:
        raise Skipped(str(error)) from error
    strike.await_there(name)
    strike.system.begin(name, **skewed)
    try:
        strike.felt_since(strike.kill(name), back=[name])
        strike.hold(SKEWED_S)
    finally:
        strike.system.begin(name)
    strike.felt_since(strike.kill(name), back=[name])


def replay(strike: Strike) -> None:
    """A part of the log once more: all of it is known, nothing may come of it."""
    count = strike.rng.choice((1_000, 3_000, 10_000))
    strike.note(f"{count} inputs")
    strike.replay(count)
    strike.felt_since(time.monotonic())
