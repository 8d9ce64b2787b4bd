"""Makes Faust exact and fast; knows nothing of what the records mean.

Faust keeps: app and worker life cycle, group membership, co-partitioned assignment, rebalance signals,
agents. Replaced: delivery (batches), state and its restore, commits (one Kafka transaction for everything),
supervision of failures (the process ends).
"""

from streams.engine.batch import Batch
from streams.engine.engine import Engine
from streams.engine.exits import ExitCode
from streams.engine.fold import Fold, FoldFactory, InputRecord, Send
from streams.engine.observer import NoObserver, Observer
from streams.engine.readiness import Readiness, State
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStore, Store
from streams.engine.versions import UnknownVersion

__all__ = [
    "Batch",
    "Engine",
    "EngineSettings",
    "ExitCode",
    "Fold",
    "FoldFactory",
    "InputRecord",
    "MemoryStore",
    "NoObserver",
    "Observer",
    "Readiness",
    "Send",
    "State",
    "Store",
    "UnknownVersion",
]
