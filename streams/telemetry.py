"""What a worker measures, in the vocabulary of `ops.metrics`."""

from collections import Counter

from ops import metrics
from streams.engine import ExitCode
from streams.fold import CashbackFold

_PARKED_ENDS = {"parked_too_long": "too_long", "parked_conflict": "conflict"}
_TRANSITIONS = {"CashbackCreated": "created", "CashbackCleared": "cleared", "CashbackReverted": "reverted"}


class WorkerTelemetry:
    """Implements the engine's `Observer`; `report` takes the counts of a fold with each commit."""

    def __init__(self) -> None:
        self._reported: dict[int, tuple[CashbackFold, Counter[str]]] = {}
        for code in ExitCode:
            metrics.worker_exits_total.labels(code.name.lower())

    def report(self, fold: CashbackFold) -> None:
        """Adds what a fold counted since its last commit, and its gauges."""
        known, before = self._reported.get(fold.partition, (None, Counter()))
        if known is not fold:
            before = Counter()
        for name, count in fold.counts.items():
            grown = count - before[name]
            if not grown:
                continue
            if name in _TRANSITIONS:
                metrics.events_total.labels(_TRANSITIONS[name]).inc(grown)
            elif name == "over_refunded":
                metrics.over_refunded_total.inc(grown)
            elif name in _PARKED_ENDS:
                metrics.parked_ends_total.labels(_PARKED_ENDS[name]).inc(grown)
            else:
                metrics.inputs_total.labels(name).inc(grown)
        self._reported[fold.partition] = (fold, fold.counts.copy())
        partition = str(fold.partition)
        metrics.parked.labels(partition).set(fold.log.parked)
        metrics.due_items.labels(partition).set(len(fold.log.due))
        metrics.state_rows.labels(partition).set(len(fold.store))

    def batch_applied(self, partition: int, records: int, seconds: float) -> None:
        metrics.batch_records.observe(records)

    def committed(self, partition: int, rows: int, seconds: float) -> None:
        metrics.commit_seconds.observe(seconds)

    def lag(self, partition: int, records: int) -> None:
        metrics.lag_records.labels(str(partition)).set(records)

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        metrics.restored_rows.labels(str(partition)).set(rows)
        metrics.restore_seconds.set(seconds)

    def exiting(self, code: ExitCode) -> None:
        metrics.worker_exits_total.labels(code.name.lower()).inc()
