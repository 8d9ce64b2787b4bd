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
from streams.engine.restore import PositionOutsideLog, RestoreCancelled, Restored, restore
from streams.engine.transactions import PartitionTransactions


@dataclass(frozen=True, slots=True)
class OpenedPartition:
    fold: Fold
    transactions: PartitionTransactions
    restored: Restored


def open_partition(
    context: Context, partition: int, *, brokers: Brokers, topic_id: str, cancelled: threading.Event
) -> OpenedPartition | None:
    """Runs in a thread of its own. None = cancelled; a failure ends the process."""
    settings = context.settings
    try:
        if cancelled.is_set():
            return None
        transactions = PartitionTransactions(settings, partition, brokers, context.failpoint)
        # First the fence: after it, what the changelog holds is final.
        transactions.fence()
        try:
            restored = restore(
                settings,
                partition,
                brokers=brokers,
                topic_id=topic_id,
                cancelled=cancelled,
                progress=partial(context.observer.restoring, partition),
            )
        except RestoreCancelled:
            transactions.close()
            return None
        fold = context.fold(partition, restored.store, transactions.send)
        fold.restored()
    except PositionOutsideLog as error:
        context.fail_stop.end(ExitCode.POSITION_OUTSIDE_LOG, str(error), partition=partition)
    except KafkaException as error:
        context.fail_stop.end(
            ExitCode.RESTORE_FAILED,
            "Kafka refused the fence or the restore",
            cause=error,
            partition=partition,
        )
    except BaseException as error:  # noqa: BLE001 - ends the process
        context.fail_stop.end(
            ExitCode.RESTORE_FAILED, str(error) or "the fold raised", cause=error, partition=partition
        )
    context.observer.restored(partition, restored.rows, restored.seconds)
    if context.failpoint is not None:
        fold = context.failpoint.around(fold)
    return OpenedPartition(fold, transactions, restored)
