"""Where the stages keep what they remember."""

from typing import Protocol


class Rows(Protocol):
    """Rows by key, as in the engine's store. A row is a purchase, a counter, a grant; never a member."""

    def get(self, key: bytes) -> bytes | None: ...
    def put(self, key: bytes, value: bytes) -> None: ...
    def delete(self, key: bytes) -> None: ...


class MemoryRows(dict[bytes, bytes]):
    """Rows in memory, thrown away with the run."""

    put = dict.__setitem__

    def delete(self, key: bytes) -> None:
        self.pop(key, None)
