"""What the ledger does with what it reads: events and reversal cases become entries."""

from collections.abc import Callable, Mapping

import psycopg
from confluent_kafka import Message

from ops import metrics
from ops.settings import Settings
from schemas.codec import decode
from schemas.errors import Undecodable
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES, Topic
from sinks.belonging import Unsound
from sinks.ledger import SINK
from sinks.ledger.posting import Batch, Ledger, Posted
from sinks.positions import Positions

_REFUSED = "SELECT 1 FROM ledger_quarantine WHERE (topic, partition, record_offset) = (%s, %s, %s)"
_ENTRY = """
SELECT 1 FROM cashbacks JOIN entries USING (cashback_no)
WHERE cashback_id = %(cashback_transaction_id)s AND event_id = %(event_id)s
"""
_CASE = "SELECT 1 FROM reversal_cases WHERE case_id = %(case_id)s AND revision = %(revision)s"
_NUMBERS = """
SELECT sequence, coalesce(pg_sequence_last_value(sequence::regclass), 0), coalesce(used, 0) FROM (
    SELECT 'entry_ids', greatest(
        (SELECT max(entry_id) FROM entries), (SELECT max(cashback_no) FROM cashbacks),
        (SELECT max(purchase_no) FROM purchases), (SELECT max(entry_id) FROM voucher_entries))
    UNION ALL
    SELECT pg_get_serial_sequence('accounts', 'account_id'), (SELECT max(account_id) FROM accounts)
) AS given (sequence, used)
"""


class LedgerWork:
    """Posts events and cases."""

    name = SINK
    topics: tuple[Topic, ...] = (CASHBACK_EVENTS, REVERSAL_CASES)
    calm_s = 0.0
    needs_all = True

    def __init__(self, settings: Settings) -> None:
        self.lanes = settings.ledger_lanes
        self.batch_records_max = settings.ledger_batch_events
        self._commission_bps = settings.commission_bps

    def prepare(self, connection: psycopg.Connection, positions: Positions) -> Callable[[Batch], Posted]:
        """What posts through this session. Raises `Unsound` if it would give a number twice."""
        _refuse_used_numbers(connection)
        return Ledger(connection, positions).post

    def knows(self, connection: psycopg.Connection, message: Message) -> bool:
        """Whether the entry or the case is there, or the record is in the quarantine."""
        place = (message.topic(), message.partition(), message.offset())
        if connection.execute(_REFUSED, place).fetchone():
            return True
        try:
            record, datum = decode(message.value())
        except Undecodable:
            return False
        if record == "ReversalCase":
            return connection.execute(_CASE, datum).fetchone() is not None
        nothing = {"cashback_transaction_id": None, "event_id": None}
        return connection.execute(_ENTRY, nothing | datum).fetchone() is not None

    def batch(self) -> Batch:
        """An empty batch."""
        return Batch(self._commission_bps)

    def count(self, written: Posted) -> Mapping[str, int]:
        """Entries posted and records refused."""
        metrics.ledger_entries_total.labels("created").inc(written.created)
        metrics.ledger_entries_total.labels("resolved").inc(written.resolved)
        return {"entries": written.entries, "quarantined": written.refused}


def _refuse_used_numbers(connection: psycopg.Connection) -> None:
    # Tables restored without their sequence: numbers would be given a second time, and what gets one would be
    # refused by the database and quarantined.
    for sequence, last, used in connection.execute(_NUMBERS):
        if used > last:
            raise Unsound(
                f"the sequence {sequence} stands at {last}, but number {used} is taken: it was not restored "
                f"with the tables; run SELECT setval('{sequence}', {used}) as their owner, then start again"
            )
