"""What the engine tells those who measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from streams.engine.exits import ExitCode


class Observer(Protocol):
    """Called from several threads; must be quick and must not raise. Durations in seconds."""

    def batch_applied(self, partition: int, records: int, seconds: float) -> None: ...

    def committed(self, partition: int, rows: int, seconds: float) -> None: ...

    def lag(self, partition: int, records: int) -> None: ...

    def restored(self, partition: int, rows: int, seconds: float) -> None: ...

    def exiting(self, code: ExitCode) -> None: ...


class NoObserver:
    """Measures nothing."""

    def batch_applied(self, partition: int, records: int, seconds: float) -> None:
        pass

    def committed(self, partition: int, rows: int, seconds: float) -> None:
        pass

    def lag(self, partition: int, records: int) -> None:
        pass

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        pass

    def exiting(self, code: ExitCode) -> None:
        pass
