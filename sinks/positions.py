"""How far a sink has read, and who may move it on.

One instance of a sink works at a time, through one session or several, each with its own share of the
partitions. The first session holds an advisory lock while it lives; another instance waits beside it and
takes over when that session is gone (a killed process: at once) or when nothing moved for `stale_ms` (a
stopped one: its sessions are ended). The lock decides who works; what keeps the ledger exact is the
compare-and-set below, the first statement of every transaction. Whoever takes over puts its name to all
positions first, which waits for the transactions that were under way: an older instance that wakes up, or
lost only its first session, finds another name there and stops, whether or not the offsets have moved.
"""

from collections.abc import Mapping
from typing import TypeAlias

import psycopg
from confluent_kafka import Message

Place: TypeAlias = tuple[str, int]
"""Topic and partition."""

_LOCK_KEY = "hashtextextended('cashback ' || %(sink)s, 0)"
_LOCK = f"SELECT pg_try_advisory_lock({_LOCK_KEY})"
# Shared by all sessions of the instance that works: it keeps nobody off, they are found by it.
_MEMBER_KEY = "hashtextextended('cashback sessions of ' || %(sink)s, 0)"
_JOIN = f"SELECT pg_advisory_lock_shared({_MEMBER_KEY})"
_STALE = """
SELECT coalesce(max(moved_at) < clock_timestamp() - %(stale_ms)s * interval '1 millisecond', false),
       (array_agg(instance ORDER BY moved_at DESC))[1]
FROM sink_positions WHERE sink = %(sink)s
"""
_MEMBERS = f"""
SELECT pid FROM pg_locks
WHERE locktype = 'advisory' AND granted AND objsubid = 1
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (classid::bigint << 32) | objid::bigint IN ({_LOCK_KEY}, {_MEMBER_KEY})
"""  # noqa: S608
# Nothing but constants is put together here.
#
# A statement that runs is work, however long it takes; a stopped process sends none. One that waits for
# another session of its own instance is as stopped as that one, and so is a COPY that waits for its rows:
# no timeout of the server ends that.
_HOLDER_WORKS = f"""
WITH members AS ({_MEMBERS})
SELECT EXISTS (
    SELECT FROM pg_stat_activity WHERE pid IN (SELECT pid FROM members) AND state = 'active'
      AND wait_event IS DISTINCT FROM 'ClientRead'
      AND NOT pg_blocking_pids(pid) && (SELECT array_agg(pid) FROM members)
)
"""  # noqa: S608
_END_OTHERS = f"""
WITH members AS ({_MEMBERS})
SELECT DISTINCT pg_terminate_backend(pid) FROM members WHERE pid <> pg_backend_pid()
"""  # noqa: S608
_BEGIN = """
INSERT INTO sink_positions (sink, topic, partition, next_offset, instance)
SELECT %(sink)s, topic, partition, next_offset, %(instance)s
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(offsets)s::bigint[])
         AS place (topic, partition, next_offset)
ON CONFLICT DO NOTHING
"""
_SIGN = """
UPDATE sink_positions SET instance = %(instance)s, moved_at = clock_timestamp() WHERE sink = %(sink)s
"""
_STORED = "SELECT topic, partition FROM sink_positions WHERE sink = %(sink)s"
_TAKE = """
UPDATE sink_positions SET instance = %(instance)s, moved_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::int[]) AS place (topic, partition)
WHERE sink = %(sink)s AND sink_positions.topic = place.topic AND sink_positions.partition = place.partition
RETURNING sink_positions.topic, sink_positions.partition, next_offset
"""
_MOVE = """
UPDATE sink_positions SET next_offset = place.after, moved_at = clock_timestamp()
FROM unnest(%(topics)s::text[], %(partitions)s::int[], %(before)s::bigint[], %(after)s::bigint[])
         AS place (topic, partition, before, after)
WHERE sink = %(sink)s AND sink_positions.topic = place.topic AND sink_positions.partition = place.partition
  AND sink_positions.next_offset = place.before AND instance = %(instance)s
"""


def lies_at(message: Message) -> tuple[Place, int]:
    """Where a record that was read lies, and its offset there."""
    topic, partition, offset = message.topic(), message.partition(), message.offset()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return (topic, partition), offset


class Superseded(Exception):
    """Another instance has taken over: this one must stop, what it holds is no longer its to write."""


class Positions:
    """The stored offsets of one sink, or of a share of its partitions, as this instance last saw them."""

    def __init__(self, *, sink: str, instance: str, stale_ms: int) -> None:
        self._sink = sink
        self._instance = instance
        self._stale_ms = stale_ms
        self.next_offsets: dict[Place, int] = {}

    def try_claim(self, connection: psycopg.Connection) -> bool:
        """Whether this session leads those that work. Raises `Superseded` if it did and another does now."""
        names = {"sink": self._sink, "stale_ms": self._stale_ms, "instance": self._instance}
        if _one(connection, _LOCK, names):
            # Of an instance that lost its first session; a transaction of them would have to be waited for.
            connection.execute(_END_OTHERS.encode(), names)
            # At once: until the positions are loaded, whoever waits beside us would take us for stopped.
            connection.execute(_SIGN, names)
            return True
        stale, holder = connection.execute(_STALE, names).fetchone() or (False, None)
        if self.next_offsets and not stale and holder != self._instance:
            raise Superseded(f"instance {holder} has taken over")
        if holder == self._instance or (stale and not _one(connection, _HOLDER_WORKS, names)):
            connection.execute(_END_OTHERS.encode(), names)
        return False

    def join(self, connection: psycopg.Connection) -> None:
        """Let this session be ended with those of the instance; for every one through which it writes."""
        connection.execute(_JOIN.encode(), {"sink": self._sink})

    def stored(self, connection: psycopg.Connection) -> set[Place]:
        """The places of which something was read, or could have been."""
        return set(connection.execute(_STORED, {"sink": self._sink}).fetchall())

    def load(self, connection: psycopg.Connection, begin: Mapping[Place, int]) -> None:
        """Take the stored offsets over from whoever had them; places not stored yet start at `begin`."""
        topics, partitions = [place[0] for place in begin], [place[1] for place in begin]
        names = {"sink": self._sink, "instance": self._instance, "topics": topics, "partitions": partitions}
        with connection.transaction():
            connection.execute(_BEGIN, names | {"offsets": list(begin.values())})
            rows = connection.execute(_TAKE, names).fetchall()
        stored = {(topic, partition): offset for topic, partition, offset in rows}
        self.next_offsets = {place: stored[place] for place in begin}

    def share(self, number: int, of: int) -> "Positions":
        """Those of every `of`-th partition of all topics, from `number` on, to be moved by themselves."""
        shared = Positions(sink=self._sink, instance=self._instance, stale_ms=self._stale_ms)
        shared.next_offsets = {
            place: offset for place, offset in self.next_offsets.items() if place[1] % of == number
        }
        return shared

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
            raise Superseded("the stored offsets are no longer where this instance has put them")

    def beat(self, connection: psycopg.Connection) -> None:
        """Say that this instance lives, and find out whether it still is the one; raises `Superseded`."""
        with connection.transaction():
            self.move(connection, self.next_offsets)


def _one(connection: psycopg.Connection, query: str, names: Mapping[str, object]) -> bool:
    row = connection.execute(query.encode(), names).fetchone()
    return bool(row and row[0])
