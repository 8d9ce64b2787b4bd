"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable
from threading import Event

EVERY_S = 0.05


class NotInTime(Exception):
    """What was waited for did not come; the message says what."""


class Interrupted(Exception):
    """The run is being ended; nothing is waited for any more."""


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    timeout_s: float,
    every_s: float = EVERY_S,
    stop: Event | None = None,
) -> None:
    """Return as soon as `condition` holds.

    Raises `NotInTime` naming `what`, or `Interrupted` once `stop` is set.
    """
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            raise NotInTime(f"not within {timeout_s:.0f} s: {what}")
        if stop is not None and stop.wait(every_s):
            raise Interrupted(what)
        if stop is None:
            time.sleep(every_s)
