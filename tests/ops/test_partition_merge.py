"""Partitions merged into one order: every member keeps what it saw, every program comes once."""

from collections import defaultdict
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from ops.partitions.merge import PATIENCE, Entry, merge
from schemas.times import SECOND

Seen = tuple[int, int, frozenset[bytes]]
"""Clock of a record, its number, and the programs known when it was taken."""
STEP = SECOND // 100


def entries(partition: int, steps: list[int], programs: dict[int, bytes]) -> list[Entry[tuple[int, int]]]:
    """A log: a record a step, each so much later; a program instead where `programs` says so."""
    clock, found = 0, []
    for number, step in enumerate(steps):
        clock += step * STEP
        found.append(Entry(clock, (partition, number), programs.get(number)))
    return found


def seen(log: list[Entry[tuple[int, int]]]) -> dict[int, list[Seen]]:
    """What the records of each partition saw, in their order."""
    known: set[bytes] = set()
    found: defaultdict[int, list[Seen]] = defaultdict(list)
    for entry in log:
        if entry.program is not None:
            known.add(entry.program)
        else:
            partition, number = entry.origin
            found[partition].append((entry.clock, number, frozenset(known)))
    return found


@st.composite
def logs(draw: st.DrawFn) -> dict[int, list[Entry[tuple[int, int]]]]:
    """Logs in which the programs a, b, c were published one after another, a little apart in each, perhaps
    repeated."""
    found = {}
    for partition in range(draw(st.integers(1, 4))):
        steps = draw(st.lists(st.integers(0, 3), min_size=6, max_size=25))
        at = sorted(draw(st.sets(st.integers(0, len(steps) - 1), min_size=4, max_size=4)))
        repeated = draw(st.sampled_from([b"a", b"b", b"c"]))
        found[partition] = entries(partition, steps, dict(zip(at, [b"a", b"b", b"c", repeated], strict=True)))
    return found


@given(logs())
def test_each_member_sees_the_same_records_at_the_same_clock_and_programs(
    given_logs: dict[int, list[Entry[tuple[int, int]]]],
) -> None:
    merged = list(merge({partition: iter(log) for partition, log in given_logs.items()}))
    told = seen(merged)
    for partition, log in given_logs.items():
        assert told[partition] == seen(log)[partition]
    programs = [entry.program for entry in merged if entry.program is not None]
    assert programs == [b"a", b"b", b"c"]


@given(logs())
def test_only_around_a_program_does_the_clock_step_back(
    given_logs: dict[int, list[Entry[tuple[int, int]]]],
) -> None:
    highest = 0
    apart = max(
        abs(first.clock - second.clock)
        for program in (b"a", b"b", b"c")
        for first in (next(e for e in log if e.program == program) for log in given_logs.values())
        for second in (next(e for e in log if e.program == program) for log in given_logs.values())
    )
    for entry in merge({partition: iter(log) for partition, log in given_logs.items()}):
        assert entry.clock >= highest - apart
        highest = max(highest, entry.clock)


def test_a_partition_that_never_got_a_program_is_not_waited_for_long() -> None:
    late = 2 * PATIENCE // STEP
    without = entries(0, [1, 1, 1, late, 1], {})
    having = entries(1, [1, 1, 1, late], {1: b"a"})
    order = [entry.origin for entry in merge({0: iter(without), 1: iter(having)})]
    assert order == [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1), (1, 2), (0, 3), (1, 3), (0, 4)]


def test_programs_in_another_order_do_not_stop_the_merge() -> None:
    first = entries(0, [1, 1, 1], {0: b"a", 1: b"b"})
    second = entries(1, [1, 1, 1], {0: b"b", 1: b"a"})
    merged = list(merge({0: iter(first), 1: iter(second)}))
    assert sorted(entry.program for entry in merged if entry.program) == [b"a", b"b"]
    assert len(merged) == 4


def test_nothing_is_read_ahead_of_what_is_taken() -> None:
    pulled: list[int] = []

    def log() -> Iterator[Entry[int]]:
        for number in range(1_000):
            pulled.append(number)
            yield Entry(number, number)

    merged = merge({0: log(), 1: log()})
    for _ in range(10):
        next(merged)
    assert len(pulled) <= 14
