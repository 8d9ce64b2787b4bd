"""What the engine tells those who measure it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Appended = tuple[int, int]
"""Append time (milliseconds since 1970) and how many records have it."""


class Observer(Protocol):
    """Called from several threads; must be quick and must not raise. Durations in seconds."""

    def batch_applied(self, partition: int, records: int, seconds: float) -> None: ...

    def committed(self, partition: int, rows: int, seconds: float, taken: Sequence[Appended]) -> None:
        """A transaction is committed, and with it all that became of the records `taken`."""

    def lag(self, partition: int, records: int) -> None: ...

    def restoring(self, partition: int, passed: int, expected: int) -> None:
        """A restore has passed so many of the changelog's offsets."""

    def restored(self, partition: int, rows: int, seconds: float) -> None: ...

    def given_up(self, partition: int) -> None:
        """The partition is no longer this process's, or not yet."""


class NoObserver:
    """Measures nothing."""

    def batch_applied(self, partition: int, records: int, seconds: float) -> None:
        pass

    def committed(self, partition: int, rows: int, seconds: float, taken: Sequence[Appended]) -> None:
        pass

    def lag(self, partition: int, records: int) -> None:
        pass

    def restoring(self, partition: int, passed: int, expected: int) -> None:
        pass

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        pass

    def given_up(self, partition: int) -> None:
        pass
