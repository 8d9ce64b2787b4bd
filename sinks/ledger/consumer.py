"""What the ledger does with what it reads: events and reversal cases become entries."""

from collections.abc import Mapping

import psycopg

from ops import metrics
from ops.settings import Settings
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES, Topic
from sinks.ledger import SINK
from sinks.ledger.posting import Batch, Ledger, Posted
from sinks.positions import Positions


class LedgerWork:
    """Posts batches through the session it was given last."""

    name = SINK
    topics: tuple[Topic, ...] = (CASHBACK_EVENTS, REVERSAL_CASES)
    calm_s = 0.0

    def __init__(self, settings: Settings) -> None:
        self.batch_records_max = settings.ledger_batch_events
        self._commission_bps = settings.commission_bps
        self._ledger: Ledger | None = None

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> None:
        """Post through this session from now on."""
        self._ledger = Ledger(connection, positions)

    def batch(self) -> Batch:
        """An empty batch."""
        return Batch(self._commission_bps)

    def write(self, batch: Batch) -> Posted:
        """As `Ledger.post`."""
        assert self._ledger is not None, "prepare first"
        return self._ledger.post(batch)

    def count(self, written: Posted) -> Mapping[str, int]:
        """Entries posted and records refused."""
        metrics.ledger_entries_total.labels("created").inc(written.created)
        metrics.ledger_entries_total.labels("resolved").inc(written.resolved)
        return {"entries": written.entries, "quarantined": written.refused}
