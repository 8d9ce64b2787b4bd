"""Which unknown purchases are waited for, and since when: refunds and voids came before them."""

from heapq import heappop, heappush

from schemas.times import Micros


class ParkedIndex:
    """Row keys by when their oldest parked event began to wait. Rebuilt from the rows at a restore."""

    def __init__(self) -> None:
        self._since: dict[bytes, Micros] = {}
        self._heap: list[tuple[Micros, bytes]] = []

    def __len__(self) -> int:
        return len(self._since)

    def wait(self, key: bytes, since: Micros) -> None:
        """Notes that the oldest event parked under `key` waits since then."""
        if self._since.get(key) != since:
            self._since[key] = since
            heappush(self._heap, (since, key))

    def leave(self, key: bytes) -> None:
        """Nothing is parked under `key` any more."""
        self._since.pop(key, None)

    def oldest_at(self) -> Micros | None:
        """Since when the oldest parked event of all waits; None when there is none."""
        while self._heap and self._since.get(self._heap[0][1]) != self._heap[0][0]:
            heappop(self._heap)  # its purchase came or was given up, or it waits anew
        return self._heap[0][0] if self._heap else None
