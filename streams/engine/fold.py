"""What the engine runs: the state machine of one partition of the input log, pure of Kafka."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.engine.store import Store


class InputRecord(Protocol):
    """One record of the input log, as aiokafka parses it (timestamp: broker time, milliseconds UTC)."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]


class Send(Protocol):
    """Puts one output record into the open transaction; nobody sees it before the commit."""

    def __call__(
        self, topic: str, key: bytes, value: bytes, headers: list[tuple[str, bytes]] | None = None, /
    ) -> None: ...


class Fold(Protocol):
    """State = fold(log). All calls for one partition come one after another, never two at a time.

    An exception out of any method ends the process before anything of the open transaction is committed,
    so a fold need not undo what it did; the restarted process sees the record again.
    """

    def restored(self) -> None:
        """The store holds what was committed: build indexes."""

    def advance(self, record: InputRecord) -> bool:
        """Move the clock to the record and do a bounded slice of what is due; True = more is due.

        On True the engine commits the slice with the offset unmoved and calls again with the same record.
        """

    def apply(self, record: InputRecord) -> None:
        """Take exactly one record."""

    def before_commit(self) -> None:
        """Put what lives outside the store, such as the clock, into the store."""


FoldFactory = Callable[[int, "Store", Send], Fold]
"""Makes the fold of a partition: (partition, its store, send)."""
