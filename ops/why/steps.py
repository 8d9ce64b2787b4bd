"""One thing that happened to a payment, ready to be told or written as JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from schemas.times import Micros


class Detail(NamedTuple):
    """What belongs to a step: a label of a word or two, and what there is to say."""

    label: str
    said: str


@dataclass(frozen=True, slots=True)
class Step:
    """`at`: when it happened. `rank` and `number` order what happened at once.

    `what` is one of input, decision, created, cleared, reverted, reversed, case, refused. `place`: topic,
    partition and offset of its record. `figures`: the same for machines; amounts in minor units.
    """

    at: Micros
    rank: int
    number: tuple[Any, ...]
    what: str
    said: str
    place: str | None = None
    details: tuple[Detail, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def order(self) -> tuple[Any, ...]:
        """What steps are sorted by."""
        return self.at, self.rank, self.number
