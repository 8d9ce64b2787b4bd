"""When each version of a program rewards, as the stream reads it: in force, and valid."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

from schemas.programs import ProgramSpec
from schemas.times import Micros


class State(StrEnum):
    """How a version stands to a time."""

    IN_FORCE = "in force"
    COMING = "coming"
    PAST = "past"
    NEVER = "never"
    """It gives way before its validity begins, or begins after it."""


@dataclass(frozen=True)
class Span:
    """A version rewards purchases with `begins ≤ purchased_at < ends`; `ends` None: for ever."""

    spec: ProgramSpec
    begins: Micros
    ends: Micros | None
    successor: ProgramSpec | None
    """The version that takes its place at its `effective_from`."""

    @property
    def is_empty(self) -> bool:
        """Whether no purchase is ever rewarded by it."""
        return self.ends is not None and self.ends <= self.begins

    def overlaps(self, other: "Span") -> bool:
        """Whether both reward at one time."""
        if self.is_empty or other.is_empty:
            return False
        return (other.ends is None or self.begins < other.ends) and (
            self.ends is None or other.begins < self.ends
        )

    def covers(self, other: "Span") -> bool:
        """Whether it rewards at every time the other does."""
        if self.begins > other.begins:
            return False
        return self.ends is None or (other.ends is not None and other.ends <= self.ends)

    def state(self, at: Micros) -> State:
        """How it stands to `at`."""
        if self.is_empty:
            return State.NEVER
        if at < self.begins:
            return State.COMING
        return State.PAST if self.ends is not None and self.ends <= at else State.IN_FORCE


def takes_force_by(spec: ProgramSpec) -> str:
    """The field that says when a version takes force: effective_from is by default valid_from."""
    return "valid_from" if spec.effective_from == spec.valid_from else "effective_from"


def in_order(versions: Iterable[ProgramSpec]) -> list[ProgramSpec]:
    """Versions of one program in the order in which they take force: of equal times the higher one stands."""
    return sorted(versions, key=lambda spec: (spec.effective_from, spec.version))


def predecessor(spec: ProgramSpec, versions: Iterable[ProgramSpec]) -> ProgramSpec | None:
    """The version whose place `spec` takes, None when nothing is in force before it."""
    ordered = in_order([*(each for each in versions if each.version != spec.version), spec])
    place = ordered.index(spec)
    return ordered[place - 1] if place else None


def spans(versions: Iterable[ProgramSpec]) -> list[Span]:
    """The versions of one program in order, each with the time in which it rewards."""
    ordered = in_order(versions)
    found = []
    for spec, successor in zip(ordered, [*ordered[1:], None], strict=True):
        bounds = [spec.valid_to, successor.effective_from if successor else None]
        ends = min((bound for bound in bounds if bound is not None), default=None)
        found.append(Span(spec, max(spec.effective_from, spec.valid_from), ends, successor))
    return found


def by_program(programs: Iterable[ProgramSpec]) -> dict[str, list[Span]]:
    """The spans of each program, programs by id."""
    ordered = sorted(programs, key=lambda spec: spec.program_id)
    return {name: spans(versions) for name, versions in groupby(ordered, key=lambda spec: spec.program_id)}
