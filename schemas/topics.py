"""The one registry of topics. Topics are created from it; compose and the documents are tested against it."""

from dataclasses import dataclass, field

FOREVER = -1
DAY_MS = 24 * 60 * 60 * 1000
LARGE_RECORD_BYTES = str(4 * 1024 * 1024)


@dataclass(frozen=True)
class Topic:
    """One topic.

    `partitions` None: as many as the setting `partitions` (co-partitioned with `inputs`).
    `retention_ms` -1: for ever. `config`: further broker settings of the topic.
    """

    name: str
    key: str
    records: tuple[str, ...]
    owner: str
    purpose: str
    partitions: int | None = None
    cleanup: str = "delete"
    retention_ms: int = FOREVER
    config: dict[str, str] = field(default_factory=dict)

    def full_name(self, prefix: str) -> str:
        """The name on the broker; `prefix` is the setting `topic_prefix`."""
        return prefix + self.name

    def broker_config(self) -> dict[str, str]:
        """Everything the broker must be told, as topic-level settings."""
        return {"cleanup.policy": self.cleanup, "retention.ms": str(self.retention_ms), **self.config}


MEMBER_KEY = "{partner_id}:{member_id}"

INPUTS = Topic(
    name="inputs",
    key=MEMBER_KEY,
    records=(
        *("Transaction", "Entitlement", "Program", "Tick"),
        *("Revocation", "ReversalDecision", "ParkedDecision", "BudgetGrant"),
    ),
    owner="connectors",
    purpose="All that happens to a member, in one order; the state of the system is a fold of it",
    # The broker's append time is the clock: no sender can move it.
    config={"message.timestamp.type": "LogAppendTime"},
)
PROGRAMS = Topic(
    name="programs",
    key="{program_id}:{version}",
    records=("Program",),
    owner="connectors",
    purpose="Catalogue of all program versions, for people and tools",
    partitions=1,
    cleanup="compact",
)
CASHBACK_EVENTS = Topic(
    name="cashback-events",
    key=MEMBER_KEY,
    records=("CashbackCreated", "CashbackCleared", "CashbackReverted"),
    owner="streams",
    purpose="What happened to every cashback; the ledger is made of it",
)
DECISIONS = Topic(
    name="decisions",
    key=MEMBER_KEY,
    records=("Decision",),
    owner="streams",
    purpose="Why each payment did or did not earn",
    retention_ms=400 * DAY_MS,
)
REVERSAL_CASES = Topic(
    name="reversal-cases",
    key=MEMBER_KEY,
    records=("ReversalCase",),
    owner="streams",
    purpose="Cleared cashbacks that a later refund left too high, for accounting to decide",
)
BUDGET_REQUESTS = Topic(
    name="budget-requests",
    key="{program_id}",
    records=("BudgetRequest",),
    owner="streams",
    purpose="Partitions ask for a lease of a budget; its keeper answers on inputs",
    # One order over all partitions: who asked first is served first, also by a keeper that reads it again.
    partitions=1,
)
QUARANTINE = Topic(
    name="quarantine",
    key="key of the record as it came",
    records=(),
    owner="streams",
    purpose="Records that could not be accepted: original bytes, reason and origin in headers",
    # The largest record any other topic takes, and the headers that tell why it is here.
    config={"max.message.bytes": str(5 * 1024 * 1024)},
)
QUARANTINE_RESOLUTIONS = Topic(
    name="quarantine-resolutions",
    key="{partition}:{offset}",
    records=("QuarantineResolution",),
    owner="connectors",
    purpose="What was done about quarantined records, by whom and why",
    # One order of what people did; never compacted, as each word of it counts, not the last of each key.
    partitions=1,
)
STATE = Topic(
    name="cashback-state",
    key="row of the state",
    records=(),
    owner="streams",
    purpose="Changelog of the worker's state, with the position in inputs it belongs to",
    cleanup="compact",
    config={
        "min.cleanable.dirty.ratio": "0.3",
        # For so long a worker's files on disk can be caught up with: streams.engine.local asks for half.
        "delete.retention.ms": str(DAY_MS),
        "segment.bytes": str(64 * 1024 * 1024),
        "max.message.bytes": LARGE_RECORD_BYTES,
    },
)

WORKER_GROUP = "cashback"
"""Consumer group of the workers and stem of their transactional ids; `topic_prefix` comes before it."""

BUDGET_GROUP = "cashback-budgets"
"""Where the keeper of budgets stands: its committed offset on `budget-requests`; `topic_prefix` before it."""

TOPICS = (
    INPUTS, PROGRAMS, CASHBACK_EVENTS, DECISIONS, REVERSAL_CASES, BUDGET_REQUESTS, QUARANTINE,
    QUARANTINE_RESOLUTIONS, STATE,
)  # fmt: skip
