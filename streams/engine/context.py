"""What all partitions of a worker share."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.engine.exits import FailStop
from streams.engine.failpoints import Failpoint
from streams.engine.fold import FoldFactory
from streams.engine.observer import Observer
from streams.engine.readiness import Readiness
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStores, Stores


@dataclass(frozen=True, slots=True)
class Context:
    settings: EngineSettings
    fold: FoldFactory
    observer: Observer
    fail_stop: FailStop
    readiness: Readiness
    failpoint: Failpoint | None
    pauses: list[str] = field(default_factory=list)
    """Reasons to stop applying; any entry stops all partitions."""
    stores: Stores = field(default_factory=MemoryStores)
