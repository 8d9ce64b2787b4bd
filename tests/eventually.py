"""Waiting in tests: for a condition, with a bound, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def eventually(predicate: Callable[[], T], *, timeout_s: float = 10.0, every_s: float = 0.02) -> T:
    """The first truthy result of `predicate`, called until `timeout_s` has passed.

    An AssertionError inside counts as not yet; the last one is shown when time is up.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        failure: AssertionError | None = None
        try:
            result = predicate()
            if result:
                return result
        except AssertionError as error:
            failure = error
        if time.monotonic() >= deadline:
            raise AssertionError(f"not so within {timeout_s} s: {_named(predicate)}") from failure
        time.sleep(every_s)


def _named(predicate: Callable[[], object]) -> str:
    return getattr(predicate, "__qualname__", repr(predicate))
