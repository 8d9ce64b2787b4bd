"""How far a sink has read, and who may move it on.

One instance of a sink works at a time. It holds an advisory lock while its session lives; another one waits
beside it and takes over when the session is gone (a killed process: at once) or when nothing moved for
`stale_ms` (a stopped one: its session is ended). The lock decides who works; what keeps the ledger exact is
the compare-and-set below, the first statement of every transaction: an older instance that wakes up finds
other offsets and stops.
"""

from collections.abc import Mapping
from typing import TypeAlias

import psycopg
from confluent_kafka import Message

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""

_LOCK_KEY = "hashtextextended('cashback ' || %(sink)s, 0)"
_LOCK = f"SELECT pg_try_advisory_lock({_LOCK_KEY})"
_STALE = """
SELECT coalesce(max(moved_at) < clock_timestamp() - %(stale_ms)s * interval '1 millisecond', false),
       (array_agg(instance ORDER BY moved_at DESC))[1]
FROM sink_positions WHERE sink = %(sink)s
"""
# A statement that runs is work, however long it takes; a stopped process sends none.
_HOLDER_WORKS = f"""
SELECT EXISTS (
    SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1 AND pg_stat_activity.state = 'active'
      AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32) | objid::bigint = {_LOCK_KEY}
)
"""  # noqa: S608
# Nothing but constants is put together here.
_END_HOLDER = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint = {_LOCK_KEY}
"""  # noqa: S608
_BEGIN = """
INSERT INTO sink_positions (sink, topic, partition, next_offset, instance)
SELECT %(sink)s, topic, partition, next_offset, %(instance)s
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
         AS place (topic, partition, next_offset)
ON CONFLICT DO NOTHING
"""
_READ = "SELECT topic, partition, next_offset FROM sink_positions WHERE sink = %(sink)s"
_MOVE = """
UPDATE sink_positions SET next_offset = place.after, instance = %(instance)s, moved_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(before)s::bigint[], %(after)s::bigint[])
         AS place (topic, partition, before, after)
WHERE sink = %(sink)s AND sink_positions.topic = place.topic AND sink_positions.partition = place.partition
  AND sink_positions.next_offset = place.before
"""


def lies_at(message: Message) -> tuple[Place, int]:
    """Where a record that was read lies, and its offset there."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return (topic, partition), offset


class Superseded(Exception):
    """Another instance has moved the positions: this one must stop, what it holds is already written."""


class Positions:
    """The stored offsets of one sink, as this instance last saw them."""

    def __init__(self, *, sink: str, instance: str, stale_ms: int) -> None:
        self._sink = sink
        self._instance = instance
        self._stale_ms = stale_ms
        self.next_offsets: dict[Place, int] = {}

    def try_claim(self, connection: psycopg.Connection) -> bool:
        """Whether this session is the one that works. Raises `Superseded` if it was and another is."""
        names = {"sink": self._sink, "stale_ms": self._stale_ms}
        if _one(connection, _LOCK, names):
            return True
        stale, holder = connection.execute(_STALE, names).fetchone() or (False, None)
        if self.next_offsets and not stale and holder != self._instance:
            raise Superseded(f"instance {holder} has taken over")
        if holder == self._instance or (stale and not _one(connection, _HOLDER_WORKS, names)):
            connection.execute(_END_HOLDER, names)
        return False

    def stored(self, connection: psycopg.Connection) -> set[Place]:
        """The places of which something was read, or could have been."""
        rows = connection.execute(_READ, {"sink": self._sink})
        return {(topic, partition) for topic, partition, _ in rows}

    def load(self, connection: psycopg.Connection, begin: Mapping[Place, int]) -> None:
        """Read the stored offsets; places not stored yet start at `begin`."""
        topics, partitions = [place[0] for place in begin], [place[1] for place in begin]
        names = {"sink": self._sink, "instance": self._instance, "topics": topics, "partitions": partitions}
        with connection.transaction():
            connection.execute(_BEGIN, names | {"offsets": list(begin.values())})
            rows = connection.execute(_READ, names).fetchall()
        stored = {(topic, partition): offset for topic, partition, offset in rows}
        self.next_offsets = {place: stored[place] for place in begin}

    def move(self, connection: psycopg.Connection, after: Mapping[Place, int]) -> None:
        """Compare and set, in the transaction that writes what lies before `after`; raises `Superseded`."""
        moved = connection.execute(
            _MOVE,
            {
                "sink": self._sink,
                "instance": self._instance,
                "topics": [place[0] for place in after],
                "partitions": [place[1] for place in after],
                "before": [self.next_offsets[place] for place in after],
                "after": list(after.values()),
            },
        )
        if moved.rowcount != len(after):
            raise Superseded("the stored offsets are not those this instance has read up to")

    def beat(self, connection: psycopg.Connection) -> None:
        """Say that this instance lives, and find out whether it still is the one; raises `Superseded`."""
        with connection.transaction():
            self.move(connection, self.next_offsets)


def _one(connection: psycopg.Connection, query: str, names: Mapping[str, object]) -> bool:
    row = connection.execute(query.encode(), names).fetchone()
    return bool(row and row[0])
