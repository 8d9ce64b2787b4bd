"""What a worker measures, in the vocabulary of `ops.metrics`."""

import time
from collections import Counter
from collections.abc import Sequence

from ops import metrics
from schemas.times import SECOND
from streams.fold import CashbackFold

_PARKED_ENDS = {"parked_too_long": "too_long", "parked_conflict": "conflict", "parked_discarded": "discarded"}
_QUARANTINED = {
    "parked_too_long": "parked_too_long",
    "parked_conflict": "conflict",
    "parked_discarded": "discarded",
}
_TRANSITIONS = {"CashbackCreated": "created", "CashbackCleared": "cleared", "CashbackReverted": "reverted"}


class WorkerTelemetry:
    """Implements the engine's `Observer`. What a fold counted is told once its transaction is committed.

    Told before, it would be counted again by whoever repeats the work after a crash.
    """

    def __init__(self) -> None:
        self._folds: dict[int, CashbackFold] = {}
        self._told: dict[int, Counter[str]] = {}
        self._held: set[int] = set()

    def report(self, fold: CashbackFold) -> None:
        """A fold is about to be committed."""
        if self._folds.get(fold.partition) is not fold:
            self._folds[fold.partition], self._told[fold.partition] = fold, Counter()

    def committed(self, partition: int, rows: int, seconds: float, taken: Sequence[tuple[int, int]]) -> None:
        metrics.commit_seconds.observe(seconds)
        metrics.commit_rows.observe(rows)
        metrics.decided_age_seconds.observe(taken, time.time_ns() // 1_000_000)
        fold = self._folds[partition]
        self._tell_counts(fold)
        label, waits_since = str(partition), fold.log.parked.oldest_at()
        waited = 0 if waits_since is None else max(0, fold.log.clock - waits_since)
        metrics.parked.labels(label).set(len(fold.log.parked))
        metrics.parked_oldest_seconds.labels(label).set(waited / SECOND)
        metrics.due_items.labels(label).set(len(fold.log.due))
        metrics.state_rows.labels(label).set(len(fold.store))

    def batch_applied(self, partition: int, records: int, seconds: float) -> None:
        metrics.batch_records.observe(records)

    def lag(self, partition: int, records: int) -> None:
        if partition in self._held:  # it is told from another thread, perhaps after the partition went
            metrics.lag_records.labels(str(partition)).set(records)

    def restoring(self, partition: int, passed: int, expected: int) -> None:
        metrics.restore_records.labels(str(partition)).set(passed)
        metrics.restore_expected_records.labels(str(partition)).set(expected)

    def restored(self, partition: int, rows: int, seconds: float) -> None:
        self._held.add(partition)
        metrics.restored_rows.labels(str(partition)).set(rows)
        metrics.restore_seconds.labels(str(partition)).set(seconds)

    def given_up(self, partition: int) -> None:
        self._held.discard(partition)
        self._folds.pop(partition, None)
        metrics.forget_partition(partition)

    def _tell_counts(self, fold: CashbackFold) -> None:
        told = self._told[fold.partition]
        for name, count in fold.counts.items():
            if grown := count - told[name]:
                told[name] = count
                _tell(name, grown)


def _tell(name: str, grown: int) -> None:
    if name in _TRANSITIONS:
        metrics.events_total.labels(_TRANSITIONS[name]).inc(grown)
    elif name.startswith("quarantined_"):
        metrics.quarantined_total.labels(name.removeprefix("quarantined_")).inc(grown)
    elif name == "over_refunded":
        metrics.over_refunded_total.inc(grown)
    elif name in _PARKED_ENDS:
        metrics.quarantined_total.labels(_QUARANTINED[name]).inc(grown)
        metrics.parked_ends_total.labels(_PARKED_ENDS[name]).inc(grown)
        if name in metrics.INPUT_OUTCOMES:  # not the clock or the purchase ended it, but an input of its own
            metrics.inputs_total.labels(name).inc(grown)
    else:
        metrics.inputs_total.labels(name).inc(grown)
