"""Time on the wire: ISO 8601 in UTC; inside: integer microseconds since 1970-01-01 UTC."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

from schemas.errors import Rejected

Micros: TypeAlias = int

SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
DAY: Micros = 24 * 60 * MINUTE

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A payment outside of these years is a unit error (seconds for microseconds) or a broken clock.
EARLIEST: Micros = 946_684_800 * SECOND  # 2000-01-01
LATEST: Micros = 4_102_444_800 * SECOND  # 2100-01-01

_ISO = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d([.,]\d{1,6})?)?(Z|[+-]\d\d:\d\d)")


def from_iso(text: object, field: str) -> Micros:
    """Microseconds of an ISO 8601 instant with a zone. Raises `Rejected` naming `field`."""
    if not isinstance(text, str):
        raise Rejected(
            field, f"{text!r} is not a time", "write an ISO 8601 string such as 2024-01-15T10:30:00Z"
        )
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Rejected(
            field, f"{text!r} is not a time", "write ISO 8601 such as 2024-01-15T10:30:00Z"
        ) from None
    if moment.tzinfo is None:
        raise Rejected(field, f"{text!r} has no time zone", "end it with Z, or with an offset such as +01:00")
    if not _ISO.fullmatch(text):
        raise Rejected(
            field, f"{text!r} is not a full instant", "write ISO 8601 such as 2024-01-15T10:30:00Z"
        )
    return in_range(from_datetime(moment), field)


def in_range(at: Micros, field: str) -> Micros:
    """`at` if it lies between 2000 and 2100. Raises `Rejected` naming `field`."""
    if EARLIEST <= at < LATEST:
        return at
    raise Rejected(
        field,
        f"{at} µs lies outside the years 2000–2099",
        "send microseconds since 1970-01-01 UTC, or fix the sender's clock",
    )


def to_iso(at: Micros) -> str:
    """ISO 8601 with Z; a fraction only where there is one, without trailing zeros."""
    seconds, micros = divmod(at, SECOND)
    day, second = divmod(seconds, 86_400)
    text = f"{_date(day)}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"{text}.{micros:06d}".rstrip("0") + "Z" if micros else text + "Z"


def from_datetime(moment: datetime) -> Micros:
    """Microseconds of an aware datetime."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


@lru_cache(10_000)
def _date(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).date().isoformat()


def to_datetime(at: Micros) -> datetime:
    """The aware UTC datetime of `at`."""
    return _EPOCH + timedelta(microseconds=at)
