"""The clock that a record of the input log carries when history is loaded (setting clock=event).

In production the broker's append time is the clock and records carry nothing. When history is loaded the
append time says when it was loaded, so the loader stamps its own: the largest `occurred_at` it has seen so
far, in every record.
"""

from collections.abc import Iterable

from schemas.errors import Rejected
from schemas.times import EARLIEST, LATEST, Micros

CLOCK_HEADER = "clock"
"""Record header; its value is decimal microseconds since 1970-01-01 UTC, in ASCII."""

_DIGITS_MAX = 16

Headers = Iterable[tuple[str, bytes | None]]


def clock_header(at: Micros) -> tuple[str, bytes]:
    """The header that says the clock stands at `at`."""
    return CLOCK_HEADER, b"%d" % at


def clock_of(headers: Headers | None) -> Micros | None:
    """The clock a record carries, None when it carries none. Raises `Rejected` when it is not a time."""
    for name, value in headers or ():
        if name == CLOCK_HEADER:
            return _parsed(value)
    return None


def _parsed(value: bytes | None) -> Micros:
    if value is not None and value.isdigit() and len(value) <= _DIGITS_MAX:
        at = int(value)
        if EARLIEST <= at < LATEST:
            return at
    raise Rejected(
        CLOCK_HEADER, f"{value!r} is no time", "write decimal microseconds since 1970-01-01 UTC in ASCII"
    )
