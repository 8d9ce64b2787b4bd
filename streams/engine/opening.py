"""From "this partition is yours" to a fold that may read on: fence the former owner, restore, index."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import partial

from confluent_kafka import KafkaException

from streams.engine.brokers import Brokers
from streams.engine.context import Context
from streams.engine.exits import ExitCode
from streams.engine.fold import Fold
from streams.engine.restore import PositionOutsideLog, RestoreCancelled, Restored, StateUnfit, restore
from streams.engine.store import DamagedState, StateStore, StoreFailed
from streams.engine.transactions import PartitionTransactions


@dataclass(frozen=True, slots=True)
class OpenedPartition:
    fold: Fold
    transactions: PartitionTransactions
    restored: Restored

    def close(self) -> None:
        """Give up what was opened and never used."""
        self.transactions.close()
        self.restored.store.close(clean=True)


def open_partition(
    context: Context, partition: int, *, brokers: Brokers, topic_id: str, cancelled: threading.Event
) -> OpenedPartition | None:
    """Runs in a thread of its own. None = cancelled; a failure ends the process."""
    if cancelled.is_set():
        return None
    transactions = PartitionTransactions(
        context.settings,
        partition,
        brokers,
        context.failpoint,
        wants_standing=context.stores.wants_standing,
    )
    try:
        fold, restored = _taken_over(context, partition, transactions, brokers, topic_id, cancelled)
    except RestoreCancelled:
        transactions.close()
        return None
    except PositionOutsideLog as error:
        context.fail_stop.end(ExitCode.POSITION_OUTSIDE_LOG, str(error), partition=partition)
    except StateUnfit as error:
        context.fail_stop.end(ExitCode.STATE_UNFIT, str(error), partition=partition)
    except (StoreFailed, DamagedState, OSError) as error:
        context.fail_stop.end(ExitCode.LOCAL_STATE_FAILED, str(error), partition=partition)
    except KafkaException as error:
        if transactions.fenced(error):
            code, reason = ExitCode.FENCED, "another worker took the partition over while it was restored"
        else:
            code, reason = ExitCode.RESTORE_FAILED, "Kafka refused the fence or the restore"
        context.fail_stop.end(code, reason, cause=error, partition=partition)
    except BaseException as error:  # noqa: BLE001 - ends the process
        context.fail_stop.end(
            ExitCode.RESTORE_FAILED, str(error) or "the fold raised", cause=error, partition=partition
        )
    context.observer.restored(partition, restored.rows, restored.seconds)
    if context.failpoint is not None:
        fold = context.failpoint.around(fold)
    return OpenedPartition(fold, transactions, restored)


def _taken_over(
    context: Context,
    partition: int,
    transactions: PartitionTransactions,
    brokers: Brokers,
    topic_id: str,
    cancelled: threading.Event,
) -> tuple[Fold, Restored]:
    # First the fence: after it the former owner adds nothing to the changelog. A new owner still may.
    transactions.fence()
    try:
        return _filled(context, partition, transactions, brokers, topic_id, cancelled)
    except StateUnfit:
        # Changelog and group offset are two looks: a new owner's commit between them is no lost state.
        transactions.prove_ownership()
        raise


def _filled(
    context: Context,
    partition: int,
    transactions: PartitionTransactions,
    brokers: Brokers,
    topic_id: str,
    cancelled: threading.Event,
) -> tuple[Fold, Restored]:
    """A fold over the restored rows; what was kept on disk and is damaged is made anew from the changelog."""
    store = context.stores.open(partition)
    kept_something = store.standing is not None
    try:
        try:
            return _restored(context, partition, store, transactions, brokers, topic_id, cancelled)
        except DamagedState as damage:
            if not kept_something:
                raise
            store.close(clean=False)
            store = context.stores.rebuild(partition, str(damage))
            return _restored(context, partition, store, transactions, brokers, topic_id, cancelled)
    except RestoreCancelled:
        store.close(clean=False)
        raise


def _restored(
    context: Context,
    partition: int,
    store: StateStore,
    transactions: PartitionTransactions,
    brokers: Brokers,
    topic_id: str,
    cancelled: threading.Event,
) -> tuple[Fold, Restored]:
    restored = restore(
        context.settings,
        partition,
        store,
        brokers=brokers,
        topic_id=topic_id,
        cancelled=cancelled,
        progress=partial(context.observer.restoring, partition),
    )
    fold = context.fold(partition, store, transactions.send)
    fold.restored()
    return fold, restored
