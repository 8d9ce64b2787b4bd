"""The index of what is due: who is next, in (due time, key) order, at a cost of what is due and no more."""

from heapq import heappop, heappush

from schemas.times import Micros


class DueIndex:
    """Keys by due time. An entry whose row moved on is stale; whoever pops it compares it with the row."""

    def __init__(self) -> None:
        self._heap: list[tuple[Micros, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, due_at: Micros, key: bytes) -> None:
        """Notes that `key` is due at `due_at`."""
        heappush(self._heap, (due_at, key))

    def pop_due(self, now: Micros) -> tuple[Micros, bytes] | None:
        """The first entry due at or before `now`, removed; None when nothing is due."""
        heap = self._heap
        return heappop(heap) if heap and heap[0][0] <= now else None
