"""The one vocabulary of metrics: names, what they say, labels and every value a label can have.

Label values are closed sets, numbers of partitions or, for budgets, ids of programs (so many at most:
`BUDGETS_SHOWN_MAX`); never a merchant, a member or a URL. Every process serves all of them; those it has no
part in stay at nothing.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Lock
from typing import TypeVar

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

# A second series for each counter, about when it was first counted, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

INPUT_OUTCOMES = (
    "judged", "applied", "duplicate", "conflict", "parked", "rejected", "program", "program_repeated", "tick",
    "entitlement", "entitlement_repeated", "grant", "grant_repeated",
    "revoked", "revocation_case", "revocation_repeated",
    "reversal_approved", "reversal_declined", "reversal_repeated",
    "parked_discarded", "parked_requeued", "parked_decision_repeated",
)  # fmt: skip
QUARANTINE_REASONS = ("undecodable", "rejected", "conflict", "parked_too_long", "discarded")
LEDGER_REFUSALS = (
    "undecodable", "unexpected_record", "invalid", "conflict", "reference_taken", "created_missing",
    "resolved_otherwise", "not_cleared", "refused_by_database",
)  # fmt: skip
BUDGET_OUTCOMES = ("granted", "closed", "returned", "repeated", "refused")
BUDGETS_SHOWN_MAX = 1_000
EXIT_REASONS: Mapping[int, str] = {
    0: "stopped",
    1: "failed",
    2: "misconfigured",
    80: "fold_failed",
    81: "transaction_failed",
    82: "fenced",
    83: "session_lost",
    84: "suspended",
    85: "stalled",
    86: "restore_failed",
    87: "position_outside_log",
    88: "batch_lost",
    89: "input_unreadable",
    90: "topics_unfit",
    91: "brokers_away",
    92: "app_crashed",
    93: "state_unfit",
    94: "local_state_failed",
    -9: "killed",
    -15: "terminated",
}
"""Reasons by exit code; minus a number: by that signal. 80 and above are those of a worker."""
OTHER_EXIT = "other"

LABELS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "cashback_inputs": {"outcome": INPUT_OUTCOMES},
    "cashback_quarantined": {"reason": QUARANTINE_REASONS},
    "cashback_quarantine_open_records": {"reason": QUARANTINE_REASONS},
    "cashback_parked_ends": {"outcome": ("too_long", "conflict", "discarded")},
    "cashback_events": {"transition": ("created", "cleared", "reverted")},
    "cashback_exits": {"reason": (*EXIT_REASONS.values(), OTHER_EXIT)},
    "cashback_ledger_entries": {"transition": ("created", "resolved")},
    "cashback_ledger_quarantined": {"reason": LEDGER_REFUSALS},
    "cashback_webhook_attempts": {"outcome": ("delivered", "failed", "gave_up")},
    "cashback_webhook_disabled": {"reason": ("gone", "failing", "unusable")},
    "cashback_budget_requests": {"outcome": BUDGET_OUTCOMES},
}
"""Every value of the labels that are words. The others are `partition`, and those of `OF_BUDGET`."""

_Made = TypeVar("_Made")


def _labelled(kind: Callable[..., _Made], name: str, documentation: str) -> _Made:
    (label, values), *none = LABELS[name].items()
    assert not none, "one label each"
    metric = kind(name + "_total" if kind is Counter else name, documentation, [label])
    for value in values:
        metric.labels(value)  # type: ignore[attr-defined]
    return metric


class AgeHistogram(Collector):
    """How old things were when something became of them; counts many of the same age in one step.

    The client library's own histogram takes one observation at a time, a fortieth of what deciding one
    record costs.
    """

    BOUNDS_S = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 15.0, 60.0, 600.0)

    def __init__(self, name: str, documentation: str) -> None:
        self._name, self._documentation = name, documentation
        self._bounds_ms = [int(bound * 1_000) for bound in self.BOUNDS_S]
        self._counts = [0] * (len(self._bounds_ms) + 1)
        self._sum_ms = 0
        self._lock = Lock()
        REGISTRY.register(self)

    def observe(self, moments: Iterable[tuple[int, int]], now_ms: int) -> None:
        """Count, for each (milliseconds since 1970, how many), so many of that age at `now_ms`.

        Moments ahead of `now_ms` (another machine's clock) count as age 0. From any thread.
        """
        with self._lock:
            for at_ms, count in moments:
                age_ms = max(0, now_ms - at_ms)
                self._counts[bisect_left(self._bounds_ms, age_ms)] += count
                self._sum_ms += age_ms * count

    def collect(self) -> Iterable[HistogramMetricFamily]:
        """For the registry."""
        total, buckets = 0, []
        for bound, count in zip((*map(str, self.BOUNDS_S), "+Inf"), tuple(self._counts), strict=True):
            total += count
            buckets.append((bound, total))
        yield HistogramMetricFamily(self._name, self._documentation, buckets, self._sum_ms / 1_000)


inputs_total = _labelled(Counter, "cashback_inputs", "Committed records of the input log by outcome")
quarantined_total = _labelled(Counter, "cashback_quarantined", "Inputs set aside, by reason")
quarantine_open = _labelled(
    Gauge, "cashback_quarantine_open_records", "Quarantined records that wait for somebody; of the ticker"
)
quarantine_oldest_seconds = Gauge(
    "cashback_quarantine_oldest_seconds", "How long ago the oldest of them was first seen; of the ticker"
)
parked_ends_total = _labelled(Counter, "cashback_parked_ends", "Parked inputs that were given up, by why")
over_refunded_total = Counter("cashback_over_refunded_total", "Purchases refunded above what was bought")
parked = Gauge(
    "cashback_parked_purchases", "Unknown purchases for which refunds or voids wait", ["partition"]
)
parked_oldest_seconds = Gauge(
    "cashback_parked_oldest_seconds", "How long the oldest of them waits, by the log's clock", ["partition"]
)
events_total = _labelled(Counter, "cashback_events", "Cashback transitions decided and committed")

decided_age_seconds = AgeHistogram(
    "cashback_decided_age_seconds", "From an input's append to the commit of what it led to"
)
commit_seconds = Histogram(
    "cashback_commit_seconds",
    "Kafka transaction: what waits is sent, and committed",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
commit_rows = Histogram(
    "cashback_commit_rows", "Rows of state a commit changed", buckets=(0, 10, 100, 1_000, 10_000, 100_000)
)
batch_records = Histogram(
    "cashback_batch_records", "Records a batch fetched", buckets=(1, 10, 100, 1_000, 5_000, 20_000)
)
lag_records = Gauge("cashback_lag_records", "Records of the input log not yet decided", ["partition"])
restore_records = Gauge(
    "cashback_restore_records", "Changelog offsets the restore has passed so far", ["partition"]
)
restore_expected_records = Gauge(
    "cashback_restore_expected_records", "Changelog offsets the restore has to pass in all", ["partition"]
)
restored_rows = Gauge(
    "cashback_restored_rows", "Rows read from the changelog by the last restore", ["partition"]
)
restore_seconds = Gauge("cashback_restore_seconds", "Time the last restore took", ["partition"])
due_items = Gauge("cashback_due_entries", "Entries of the due index, stale ones included", ["partition"])
state_rows = Gauge("cashback_state_rows", "Rows of state held", ["partition"])
worker_paused = Gauge("cashback_worker_paused", "1 when the worker paused itself because inputs were all bad")
exits_total = _labelled(
    Counter, "cashback_exits", "How this process ended before, as its supervisor counted, by reason"
)

OF_PARTITION = (
    parked, parked_oldest_seconds, lag_records, restore_records, restore_expected_records, restored_rows,
    restore_seconds, due_items, state_rows,
)  # fmt: skip
"""What is true of a partition only while this process runs it."""

ledger_entries_total = _labelled(Counter, "cashback_ledger_entries", "Ledger entries posted")
ledger_quarantined_total = _labelled(
    Counter, "cashback_ledger_quarantined", "Events the ledger refused, by reason"
)
ledger_batch_seconds = Histogram(
    "cashback_ledger_batch_seconds", "One ledger batch", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5)
)
ledger_drift_accounts = Gauge(
    "cashback_ledger_drift_accounts", "Accounts whose balance is not what their transfers say; must be 0"
)
ledger_imbalance_minor = Gauge(
    "cashback_ledger_imbalance_minor", "What all balances of an asset lack to 0, over all assets; must be 0"
)
ledger_proved_timestamp_seconds = Gauge(
    "cashback_ledger_proved_timestamp_seconds", "When balances were last held against their transfers"
)
posted_age_seconds = AgeHistogram(
    "cashback_posted_age_seconds", "From an event's append to the commit of its ledger entry"
)
places_total = Counter("cashback_places_total", "Places of records about payments written to the index")
webhook_attempts_total = _labelled(
    Counter, "cashback_webhook_attempts", "Attempts to deliver an event, by outcome"
)
webhook_oldest_seconds = Gauge(
    "cashback_webhook_oldest_undelivered_seconds", "Age of the oldest undelivered webhook"
)
webhook_disabled_total = _labelled(
    Counter, "cashback_webhook_disabled", "Endpoints that were disabled by the dispatcher, by why"
)
webhook_resting = Gauge(
    "cashback_webhook_resting_endpoints", "Endpoints that failed in a row and get probes only"
)
ticks_total = Counter("cashback_ticks_total", "Ticks the brokers acknowledged")

OF_BUDGET: Mapping[str, tuple[str, ...] | None] = {
    "program": None,
    "mode": ("live", "test"),
    "scope": ("total", "day"),
}
"""Labels of a budget with their values; None: ids of programs. `day` is the latest day asked for."""
budget_granted_minor = Gauge(
    "cashback_budget_granted_minor",
    "Spent of a budget, or set aside (minor units, points)",
    [*OF_BUDGET],
)
budget_left_minor = Gauge(
    "cashback_budget_left_minor", "What of a budget can still be granted (minor units, points)", [*OF_BUDGET]
)
budget_closed_partitions = Gauge(
    "cashback_budget_closed_partitions", "Partitions that were told a budget has nothing left", [*OF_BUDGET]
)
budget_requests_total = _labelled(
    Counter, "cashback_budget_requests", "Requests the keeper of budgets took, by what it said"
)
budget_unanswered_seconds = Gauge(
    "cashback_budget_oldest_unanswered_seconds", "Age of the oldest request whose answer is not on its way"
)


def forget_partition(partition: int) -> None:
    """Remove the gauges of a partition that another process runs now."""
    for gauge in OF_PARTITION:
        with suppress(KeyError):
            gauge.remove(str(partition))


def count_exits(by_code: Mapping[int, int]) -> None:
    """Count how often this process ended with each exit code, as whoever restarts it has seen."""
    for code, times in by_code.items():
        exits_total.labels(EXIT_REASONS.get(code, OTHER_EXIT)).inc(times)
