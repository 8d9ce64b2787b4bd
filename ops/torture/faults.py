"""The kinds of faults: how often each strikes, which stages it hits, how soon they must go on.

A pause is measured from the blow until every place of the stages has gone on; where a fault lasts (servers
away, a bad network, a receiver that refuses) from the moment it is over: `Form.lasts` says which.
"""

from dataclasses import dataclass
from enum import StrEnum

from ops.torture.watch import Stage

SINGLE_S = 15.0
SEVERAL_BROKERS_S = 60.0

_INPUT = (Stage.INPUT,)
_LEDGER = (Stage.LEDGER,)
_WEBHOOKS = (Stage.WEBHOOKS,)
_KAFKA = (Stage.INTAKE, Stage.INPUT, Stage.LEDGER)
_DATABASE = (Stage.LEDGER, Stage.WEBHOOKS)


class Kind(StrEnum):
    """Names as `--only` takes them."""

    WORKER_KILLED = "worker-killed"
    WORKER_FAILPOINT = "worker-failpoint"
    WORKER_SUSPENDED = "worker-suspended"
    WORKERS_COME_AND_GO = "workers-come-and-go"
    LEDGER_KILLED = "ledger-killed"
    LEDGER_SUSPENDED = "ledger-suspended"
    COMMIT_CUT_BEFORE = "commit-cut-before"
    COMMIT_CUT_AFTER = "commit-cut-after"
    WEBHOOKS_KILLED = "webhooks-killed"
    WEBHOOKS_COMMIT_CUT = "webhooks-commit-cut"
    RECEIVER = "receiver"
    POSTGRES_KILLED = "postgres-killed"
    POSTGRES_AWAY = "postgres-away"
    POSTGRES_SLOW = "postgres-slow"
    POSTGRES_FULL = "postgres-full"
    BROKER_KILLED = "broker-killed"
    BROKER_SUSPENDED = "broker-suspended"
    TWO_BROKERS_KILLED = "two-brokers-killed"
    ALL_BROKERS_KILLED = "all-brokers-killed"
    NETWORK_SLOW = "network-slow"
    NETWORK_CUT = "network-cut"
    NETWORK_AWAY = "network-away"
    NETWORK_HALF_OPEN = "network-half-open"
    DISK_FULL = "disk-full"
    CHANGELOG_COMPACTED = "changelog-compacted"
    CLOCK_SKEW = "clock-skew"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Form:
    """`weight`: share of the faults of a run. `limit_s`: longest pause allowed."""

    weight: int
    stages: tuple[Stage, ...]
    lasts: bool = False
    limit_s: float = SINGLE_S


FORMS = {
    Kind.WORKER_KILLED: Form(36, _INPUT),
    Kind.WORKER_FAILPOINT: Form(26, _INPUT),
    Kind.WORKER_SUSPENDED: Form(8, _INPUT),
    Kind.WORKERS_COME_AND_GO: Form(14, _INPUT),
    Kind.LEDGER_KILLED: Form(22, _LEDGER),
    Kind.LEDGER_SUSPENDED: Form(4, _LEDGER),
    Kind.COMMIT_CUT_BEFORE: Form(9, _LEDGER),
    Kind.COMMIT_CUT_AFTER: Form(9, _LEDGER),
    Kind.WEBHOOKS_KILLED: Form(16, _WEBHOOKS),
    Kind.WEBHOOKS_COMMIT_CUT: Form(8, _WEBHOOKS),
    Kind.RECEIVER: Form(16, _WEBHOOKS, lasts=True),
    Kind.POSTGRES_KILLED: Form(8, _DATABASE, lasts=True),
    Kind.POSTGRES_AWAY: Form(4, _DATABASE, lasts=True),
    Kind.POSTGRES_SLOW: Form(3, _DATABASE, lasts=True),
    Kind.POSTGRES_FULL: Form(3, _DATABASE, lasts=True),
    Kind.BROKER_KILLED: Form(24, _KAFKA),
    Kind.BROKER_SUSPENDED: Form(2, _KAFKA, lasts=True),
    Kind.TWO_BROKERS_KILLED: Form(4, _KAFKA, lasts=True, limit_s=SEVERAL_BROKERS_S),
    Kind.ALL_BROKERS_KILLED: Form(3, _KAFKA, lasts=True, limit_s=SEVERAL_BROKERS_S),
    Kind.NETWORK_SLOW: Form(5, _KAFKA, lasts=True),
    Kind.NETWORK_CUT: Form(4, _KAFKA, lasts=True),
    Kind.NETWORK_AWAY: Form(3, _KAFKA, lasts=True),
    Kind.NETWORK_HALF_OPEN: Form(3, _KAFKA, lasts=True),
    Kind.DISK_FULL: Form(2, _KAFKA),
    Kind.CHANGELOG_COMPACTED: Form(3, _INPUT),
    Kind.CLOCK_SKEW: Form(3, _INPUT),
    Kind.REPLAY: Form(4, _INPUT, lasts=True),
}
