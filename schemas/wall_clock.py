"""Times of day, weekdays, dates and time zones as programs write them."""

import re
from datetime import date
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BeforeValidator, Field


def _clock_time(value: object) -> object:
    if isinstance(value, str) and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise ValueError(f"{value!r} is not a time of day; write HH:MM from 00:00 to 23:59")
    return value


def _weekday_set(value: object) -> object:
    if isinstance(value, list) and len(set(map(str, value))) != len(value):
        raise ValueError("names a day twice; name each once")
    return value


def _local_date(value: object) -> object:
    if isinstance(value, str):
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
                raise ValueError(value)
            date.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is not a date; write YYYY-MM-DD") from None
    return value


_ZONES_OF_THE_HOST = frozenset({"localtime", "posixrules", "Factory"})
"""Names that mean something else on every machine: a rebuild elsewhere would judge otherwise."""


def _zone(value: object) -> object:
    if isinstance(value, str):
        try:
            ZoneInfo(value)
            if value in _ZONES_OF_THE_HOST or value.startswith(("right/", "posix/")):
                raise ValueError(value)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"{value!r} is not a time zone; use an IANA name such as Europe/Paris") from None
    return value


ClockTime = Annotated[str, BeforeValidator(_clock_time)]
"""HH:MM."""
Weekdays = Annotated[
    list[Annotated[int, Field(ge=1, le=7)]], Field(min_length=1), BeforeValidator(_weekday_set)
]
"""1 is Monday."""
LocalDate = Annotated[str, BeforeValidator(_local_date)]
"""YYYY-MM-DD."""
Zone = Annotated[str, BeforeValidator(_zone)]
"""An IANA name."""
