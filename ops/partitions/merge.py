"""Merges the partitions of an input log into one order in which it may be dealt out anew. Pure.

What must not change is what each member sees: its own records in their order, each at the same clock, and
every program published before or after the same of its records. Members of different partitions have no order
among themselves, so records are merged by the clock they were taken at. A program lies in every partition at
a slightly different time: all partitions are halted at it, and it is passed on once when all have reached it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Generic, TypeVar

from schemas.times import MINUTE, Micros

PATIENCE: Micros = 10 * MINUTE
"""A partition in which a program does not come within so much is not waited for: it has none of it."""

Origin = TypeVar("Origin")


@dataclass(frozen=True, slots=True)
class Entry(Generic[Origin]):
    """One record: its origin, the clock it is taken at, and its bytes if it publishes a program."""

    clock: Micros
    origin: Origin
    program: bytes | None = None


def merge(logs: Mapping[int, Iterator[Entry[Origin]]]) -> Iterator[Entry[Origin]]:
    """All entries by clock, then partition; each program once. Within a log the clock never falls."""
    yield from _Merge(logs).run()


class _Merge(Generic[Origin]):
    def __init__(self, logs: Mapping[int, Iterator[Entry[Origin]]]) -> None:
        self._logs = logs
        self._heads: dict[int, Entry[Origin]] = {}
        self._free: list[tuple[Micros, int]] = []
        self._halted: dict[bytes, list[int]] = {}
        """Partitions that wait at a program, by its bytes, in the order in which they reached it."""
        self._published: set[bytes] = set()

    def run(self) -> Iterator[Entry[Origin]]:
        for partition in self._logs:
            self._pull(partition)
        while self._free or self._halted:
            if (overdue := self._overdue()) is not None:
                yield self._publish(overdue)
                continue
            _, partition = heappop(self._free)
            entry = self._heads[partition]
            if entry.program is None:
                self._pull(partition)
                yield entry
            elif entry.program in self._published:
                self._pull(partition)
            else:
                self._halted.setdefault(entry.program, []).append(partition)

    def _overdue(self) -> bytes | None:
        """A program for which nobody need be waited for any more."""
        if not self._halted:
            return None
        first = min(self._halted, key=self._reached_at)
        if not self._free or self._free[0][0] > self._reached_at(first)[0] + PATIENCE:
            return first
        return None

    def _reached_at(self, program: bytes) -> tuple[Micros, int]:
        partition = self._halted[program][0]
        return self._heads[partition].clock, partition

    def _publish(self, program: bytes) -> Entry[Origin]:
        partitions = self._halted.pop(program)
        self._published.add(program)
        last = max((self._heads[partition] for partition in partitions), key=lambda entry: entry.clock)
        for partition in partitions:
            self._pull(partition)
        return last

    def _pull(self, partition: int) -> None:
        entry = next(self._logs[partition], None)
        if entry is None:
            self._heads.pop(partition, None)
        else:
            self._heads[partition] = entry
            heappush(self._free, (entry.clock, partition))
