"""The index of what is due: who is next, in (due time, key) order, at a cost of what is due and no more."""

from heapq import heappop, heappush

from schemas.times import MINUTE, Micros

DRAWER: Micros = 10 * MINUTE
"""What is due later than the open drawer lies unsorted in one of its own.

Sorting one lets no other thread run, heartbeats included: millions in one would take longer than a session.
"""


class DueIndex:
    """Keys by due time. An entry whose row moved on is stale; whoever pops it compares it with the row.

    A calendar queue: one heap of all entries would cost more the more is held; here ten minutes are sorted.
    """

    def __init__(self) -> None:
        self._open: list[tuple[Micros, bytes]] = []
        self._open_until: Micros = 0
        self._drawers: dict[int, list[tuple[Micros, bytes]]] = {}
        self._numbers: list[int] = []
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def push(self, due_at: Micros, key: bytes) -> None:
        """Notes that `key` is due at `due_at`."""
        self._size += 1
        if due_at < self._open_until:
            heappush(self._open, (due_at, key))
            return
        number = due_at // DRAWER
        drawer = self._drawers.get(number)
        if drawer is None:
            self._drawers[number] = [(due_at, key)]
            heappush(self._numbers, number)
        else:
            drawer.append((due_at, key))

    def pop(self, now: Micros) -> tuple[Micros, bytes] | None:
        """The first entry that is due at `now`, removed; None when nothing is."""
        while not self._open:
            if not self._numbers or self._numbers[0] * DRAWER > now:
                return None
            number = heappop(self._numbers)
            self._open = self._drawers.pop(number)
            self._open.sort()  # a sorted list is a heap
            self._open_until = (number + 1) * DRAWER
        if self._open[0][0] > now:
            return None
        self._size -= 1
        return heappop(self._open)
