"""The inputs of a file or of a log, in order, each with its place and the clock when it was read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

from ops.oracle.entitlements import FAMILIES, End, Grant, read_entitlement
from ops.oracle.facts import BadLineError, Fact, micros, read_fact
from ops.oracle.parked import ParkedWord, is_parked_word, read_parked_word
from ops.oracle.reversals import Decision, is_decision, read_decision
from ops.oracle.revocations import Revocation, is_revocation, read_revocation
from schemas.times import EARLIEST

Content: TypeAlias = Fact | Grant | End | Revocation | Decision | ParkedWord
LogRecord: TypeAlias = tuple[object, Mapping[str, Any]] | tuple[object, Mapping[str, Any], bool]
"""Clock (ISO 8601 or µs), input, and whether it is silent (false where it is left out)."""


class Input(NamedTuple):
    """Something said; the clock (µs) already stands at this record."""

    place: int
    clock: int
    content: Content
    silent: bool = False


def file_inputs(lines: Iterable[Mapping[str, Any]], bad: list[tuple[int, str]]) -> Iterator[Input]:
    """The facts of a file in its order; the clock is the running maximum of `occurred_at`.

    Duplicates and conflicts move the clock; bad lines do not, they go to `bad` with their place.
    """
    clock = EARLIEST
    for place, line in enumerate(lines):
        try:
            fact = read_fact(line)
        except BadLineError as error:
            bad.append((place, str(error)))
            continue
        clock = max(clock, fact.occurred_at)
        yield Input(place, clock, fact)


def log_inputs(records: Iterable[LogRecord], bad: list[tuple[int, str]]) -> Iterator[Input]:
    """The inputs of a log whose records carry their clock; it never goes back, bad lines move it too."""
    clock = EARLIEST
    for place, (stamp, line, *silent) in enumerate(records):
        clock = max(clock, micros(stamp))
        try:
            yield Input(place, clock, read(line), any(silent))
        except BadLineError as error:
            bad.append((place, str(error)))


def read(line: Mapping[str, Any]) -> Content:
    """A payment, or what is said beside payments, by its fields. Raises `BadLineError`."""
    kind = line.get("kind")
    if isinstance(kind, str) and kind in FAMILIES:
        return read_entitlement(line)
    if is_decision(line):
        return read_decision(line)
    if is_parked_word(line):
        return read_parked_word(line)
    if is_revocation(line):
        return read_revocation(line)
    return read_fact(line)
