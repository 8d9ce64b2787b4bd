"""Strict reading of small forms: every field named, typed and bounded, and none too many."""

import re
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from schemas.errors import Rejected
from schemas.money import CURRENCIES, POINTS
from schemas.times import Micros, from_iso
from schemas.transactions import check_id

ASSETS = CURRENCIES | {POINTS}
RATE_MAX = 10_000
"""Hundredths of a percent."""
VOLUME_MAX = 10**18
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")


class Form:
    """One form as it was parsed from YAML or JSON; each reading raises `Rejected` naming the field."""

    def __init__(self, given: object, known: Iterable[str], path: str = "") -> None:
        self._path = path
        if not isinstance(given, Mapping):
            raise Rejected(path or "form", f"{given!r} has no fields", "write them as name: value")
        self._given: Mapping[str, Any] = given
        for name in given:
            if name not in known:
                raise Rejected(f"{path}{name}", "unknown", f"use {', '.join(known)}")

    def identifier(self, name: str) -> str:
        """A text of 1 to 128 characters."""
        value = self._value(name)
        if not isinstance(value, str):
            raise Rejected(self._path + name, f"{value!r} is not a text", "put it in quotes")
        check_id(self._path + name, value)
        return value

    def asset(self, name: str) -> str:
        """A currency of ours, or points."""
        value = self._value(name)
        if value not in ASSETS:
            raise Rejected(self._path + name, f"{value!r} is unknown", f"use {', '.join(sorted(ASSETS))}")
        return str(value)

    def integer(self, name: str, maximum: int) -> int:
        """From 0 to `maximum`."""
        value = self._value(name)
        if type(value) is not int or not 0 <= value <= maximum:
            raise Rejected(self._path + name, f"{value!r} is not from 0 to {maximum}", "write a whole number")
        return value

    def boolean(self, name: str) -> bool:
        """True or false."""
        value = self._value(name)
        if type(value) is not bool:
            raise Rejected(self._path + name, f"{value!r} is not a boolean", "write true or false")
        return value

    def month(self, name: str) -> date:
        """The first day of a month written 2024-02."""
        value = self._value(name)
        if not isinstance(value, str) or not _MONTH.fullmatch(value):
            raise Rejected(self._path + name, f"{value!r} is not a month", "write it as 2024-02")
        return date.fromisoformat(f"{value}-01")

    def instant(self, name: str) -> Micros:
        """An ISO 8601 time."""
        return from_iso(self._value(name), self._path + name)

    def entries(self, name: str) -> list[Any]:
        """A list of at least one."""
        value = self._value(name)
        if not isinstance(value, list) or not value:
            raise Rejected(self._path + name, f"{value!r} is not a list of at least one", "list them with -")
        return value

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._given.get(name) is not None

    def _value(self, name: str) -> Any:
        if name not in self._given:
            raise Rejected(self._path + name, "missing", "add it")
        return self._given[name]
