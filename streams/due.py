"""The index of what is due: who is next, in (due time, key) order, at a cost of what is due and no more."""

from heapq import heappop, heappush

from schemas.times import Micros

NEVER: Micros = 2**63


class DueIndex:
    """Keys by due time. An entry whose row moved on is stale; whoever pops it compares it with the row."""

    def __init__(self) -> None:
        self._heap: list[tuple[Micros, bytes]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, due_at: Micros, key: bytes) -> None:
        """Notes that `key` is due at `due_at`."""
        heappush(self._heap, (due_at, key))

    @property
    def next_at(self) -> Micros:
        """When the first entry is due; `NEVER` when there is none."""
        return self._heap[0][0] if self._heap else NEVER

    def pop(self) -> tuple[Micros, bytes]:
        """The first entry, removed."""
        return heappop(self._heap)
