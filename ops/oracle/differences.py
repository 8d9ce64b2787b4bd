"""The ways in which what was found may depart from what was recomputed."""

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Missing:
    """Expected, and not found."""

    subject: str
    key: str
    expected: Any = None

    def __str__(self) -> str:
        return f"{self.subject} {self.key} is missing{_shown(self.expected)}"


@dataclass(frozen=True, slots=True)
class Unexpected:
    """Found, and nothing calls for it."""

    subject: str
    key: str
    found: Any = None

    def __str__(self) -> str:
        return f"{self.subject} {self.key} should not exist{_shown(self.found)}"


@dataclass(frozen=True, slots=True)
class Doubled:
    """Found more than once."""

    subject: str
    key: str

    def __str__(self) -> str:
        return f"{self.subject} {self.key} is there more than once"


@dataclass(frozen=True, slots=True)
class Differs:
    """Found with another value in one field."""

    subject: str
    key: str
    field: str
    expected: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.subject} {self.key}: {self.field} is {self.found!r}, should be {self.expected!r}"


@dataclass(frozen=True, slots=True)
class Misordered:
    """Found before what must come first."""

    subject: str
    key: str
    before: str

    def __str__(self) -> str:
        return f"{self.subject} {self.key} comes before its {self.before}"


Difference: TypeAlias = Missing | Unexpected | Doubled | Differs | Misordered


def _shown(value: Any) -> str:
    return "" if value is None else f": {value!r}"
