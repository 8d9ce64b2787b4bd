"""What a worker is doing, for the process main to serve."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    STARTING = "starting"
    RESTORING = "restoring"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPING = "stopping"


class Readiness:
    """Written by the engine, read by anyone from any thread."""

    def __init__(self) -> None:
        self.state = State.STARTING
        self.reason = "waiting for the first assignment"

    @property
    def ready(self) -> bool:
        """True while records are taken as they come (also by a spare worker that owns no partition)."""
        return self.state is State.RUNNING

    def become(self, state: State, reason: str = "") -> None:
        """Paused and stopping are final for the process: nothing but a restart leads back to running."""
        if self.state is State.STOPPING or (self.state is State.PAUSED and state is not State.STOPPING):
            return
        self.state, self.reason = state, reason
