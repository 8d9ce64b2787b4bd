"""What the stages and the recomputation have to say alike, whatever the history is made of."""

from collections import Counter

from ops.oracle import Recomputation, in_log_order
from ops.oracle.compare import compare_cases, compare_decisions, compare_events
from ops.oracle.recompute import recompute_log
from schemas.times import from_iso
from streams.simulate import SimulationResult
from tests.histories import History, Line
from tests.streams.log import Log

Record = tuple[int, Line]


def payments(history: History) -> list[Record]:
    """The payments as records that carry their clock, what members may use before them."""
    clock, records = 0, []
    for line in history.transactions:
        clock = max(clock, from_iso(line["occurred_at"], "at"))
        records.append((clock, line))
    return [*((records[0][0], line) for line in history.entitlements), *records]


def assert_same(expected: Recomputation, found: SimulationResult) -> None:
    assert compare_events(expected, found.events) == []
    assert compare_decisions(expected, found.decisions) == []
    assert compare_cases(expected, found.cases) == []
    assert found.events == in_log_order(expected)


def heard(history: History, records: list[Record]) -> tuple[Counter[str], Counter[str]]:
    """What became of the records by the stages and by the recomputation, which say the same of all else."""
    expected = recompute_log(history.programs, records, until=history.until)
    found = Log(*history.programs).hear(records)
    if history.until is not None:
        found.wait(history.until)
    assert_same(expected, found.result)
    return found.log.counts, expected.counts
