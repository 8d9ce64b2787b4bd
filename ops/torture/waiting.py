"""Waiting for a condition, with a bound."""

import time
from collections.abc import Callable

EVERY_S = 0.05


class NotInTime(Exception):
    """What was waited for did not come; the message says what."""


def wait_until(
    condition: Callable[[], bool], what: str, *, timeout_s: float, every_s: float = EVERY_S
) -> None:
    """Return as soon as `condition` holds; raises `NotInTime` naming `what`."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline_s:
            raise NotInTime(f"not within {timeout_s:.0f} s: {what}")
        time.sleep(every_s)
