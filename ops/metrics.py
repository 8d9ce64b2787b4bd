"""The one vocabulary of metrics. Labels are closed sets; never a merchant, a member or a URL."""

from prometheus_client import Counter, Gauge, Histogram

INPUT_OUTCOMES = (
    "judged", "applied", "duplicate", "conflict", "parked", "rejected", "program", "program_repeated", "tick",
)  # fmt: skip

inputs_total = Counter(
    "cashback_inputs_total", "Records of the input log by what became of them", ["outcome"]
)
for _outcome in INPUT_OUTCOMES:
    inputs_total.labels(_outcome)

parked_ends_total = Counter(
    "cashback_parked_ends_total", "Parked inputs that were given up, by why", ["outcome"]
)
for _outcome in ("too_long", "conflict"):
    parked_ends_total.labels(_outcome)
over_refunded_total = Counter("cashback_over_refunded_total", "Purchases refunded above what was bought")
parked = Gauge(
    "cashback_parked_purchases", "Unknown purchases for which refunds or voids wait", ["partition"]
)
events_total = Counter("cashback_events_total", "Cashback transitions decided", ["transition"])
for _transition in ("created", "cleared", "reverted"):
    events_total.labels(_transition)

commit_seconds = Histogram(
    "cashback_commit_seconds",
    "Kafka transaction: offsets and commit",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5),
)
batch_records = Histogram(
    "cashback_batch_records", "Records a batch fetched", buckets=(1, 10, 100, 1_000, 5_000, 20_000)
)
lag_records = Gauge("cashback_lag_records", "Records of the input log not yet decided", ["partition"])
restored_rows = Gauge(
    "cashback_restored_rows", "Rows restored from the changelog at the last assignment", ["partition"]
)
restore_seconds = Gauge("cashback_restore_seconds", "Time the last restore took")
due_items = Gauge("cashback_due_entries", "Entries of the due index, stale ones included", ["partition"])
state_rows = Gauge("cashback_state_rows", "Rows of state held", ["partition"])
worker_exits_total = Counter("cashback_worker_exits_total", "Times the worker ended itself", ["reason"])
worker_paused = Gauge("cashback_worker_paused", "1 when the worker paused itself because inputs were all bad")

ledger_entries_total = Counter("cashback_ledger_entries_total", "Ledger entries posted", ["transition"])
ledger_quarantined_total = Counter(
    "cashback_ledger_quarantined_total", "Events the ledger refused", ["reason"]
)
ledger_batch_seconds = Histogram(
    "cashback_ledger_batch_seconds", "One ledger batch", buckets=(0.01, 0.05, 0.1, 0.5, 1, 5)
)
webhook_attempts_total = Counter("cashback_webhook_attempts_total", "Delivery attempts", ["outcome"])
webhook_oldest_seconds = Gauge(
    "cashback_webhook_oldest_undelivered_seconds", "Age of the oldest undelivered webhook"
)
