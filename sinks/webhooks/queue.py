"""The queue of undelivered messages in the database: claim, settle, and take over from the dead.

A dispatcher marks what it claims with its number. The number is good while its session holds an advisory
lock and its heartbeat is young; when it is not, the others free its messages, and they are sent again under
the same id. So a killed dispatcher delays nothing for long, a stopped one not longer than `stale_ms`.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from sinks.webhooks.messages import Message, Settled, Stored

_LOCK_SPACE = 0x63617368  # "cash": apart from other users of advisory locks in this database

SESSION = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"

_ENTER = "INSERT INTO webhook_dispatchers (instance) VALUES (%s) RETURNING dispatcher_id"
_LOCK = "SELECT pg_advisory_lock(%s, %s)"
_BEAT = "UPDATE webhook_dispatchers SET heartbeat_at = clock_timestamp() WHERE dispatcher_id = %s"
_LEAVE = """
WITH freed AS (UPDATE webhook_queue SET leased_by = NULL WHERE leased_by = ANY (%(gone)s))
DELETE FROM webhook_dispatchers WHERE dispatcher_id = ANY (%(gone)s)
"""
_GONE = """
SELECT dispatcher_id FROM webhook_dispatchers
WHERE dispatcher_id <> %(me)s
  AND (heartbeat_at < clock_timestamp() - %(stale_ms)s * interval '1 millisecond'
       OR pg_try_advisory_xact_lock(%(space)s, dispatcher_id))
"""
_END_GONE = """
SELECT pg_terminate_backend(pid) FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND classid = %(space)s
  AND objid = ANY (%(gone)s::oid[])
  AND pid <> pg_backend_pid()
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
# Newest first; the one before it signs until its time is up, by the clock of the database.
SECRETS_NOW = "CASE WHEN old_secret_until > clock_timestamp() THEN secrets ELSE secrets[1:1] END"
_ENDPOINTS = f"""
SELECT endpoint_id, url, {SECRETS_NOW}, failing_since,
       coalesce(extract(epoch FROM paused_until - clock_timestamp()), 0)::float,
       per_second_max::float / (
           SELECT greatest(1, count(*)) FROM webhook_dispatchers
           WHERE heartbeat_at > clock_timestamp() - %(stale_ms)s * interval '1 millisecond'),
       batch_max
FROM webhook_endpoints WHERE disabled_at IS NULL
"""  # noqa: S608 - put together from constants
# A message whose cashback said something before that is not delivered yet is put behind that one, and so is
# one that is replayed while a later one is under way. (One that was given up holds up nothing: to lose the
# word that the money is there as well would help nobody.)
_CLAIM = """
WITH due AS MATERIALIZED (
    SELECT ready.* FROM unnest(%(endpoints)s::bigint[], %(rooms)s::int[]) AS wanted (endpoint_id, room)
    CROSS JOIN LATERAL (
        SELECT endpoint_id, cashback_no, step FROM webhook_queue
        WHERE webhook_queue.endpoint_id = wanted.endpoint_id
          AND leased_by IS NULL AND due_at <= clock_timestamp()
        ORDER BY due_at LIMIT wanted.room
        FOR UPDATE SKIP LOCKED
    ) AS ready
), judged AS MATERIALIZED (
    SELECT due.*, earlier.due_at AS behind
    FROM due LEFT JOIN LATERAL (
        SELECT due_at FROM webhook_queue
        WHERE webhook_queue.endpoint_id = due.endpoint_id AND webhook_queue.cashback_no = due.cashback_no
          AND (webhook_queue.step < due.step OR webhook_queue.step > due.step AND leased_by IS NOT NULL)
        ORDER BY step DESC LIMIT 1
    ) AS earlier ON true
), postponed AS (
    UPDATE webhook_queue
    SET due_at = greatest(judged.behind, clock_timestamp()) + interval '300 milliseconds'
    FROM judged WHERE judged.behind IS NOT NULL AND webhook_queue.endpoint_id = judged.endpoint_id
      AND webhook_queue.cashback_no = judged.cashback_no AND webhook_queue.step = judged.step
), taken AS (
    UPDATE webhook_queue SET leased_by = %(me)s
    FROM judged WHERE judged.behind IS NULL AND webhook_queue.endpoint_id = judged.endpoint_id
      AND webhook_queue.cashback_no = judged.cashback_no AND webhook_queue.step = judged.step
    RETURNING webhook_queue.endpoint_id, webhook_queue.cashback_no, webhook_queue.step,
        webhook_queue.entry_id, webhook_queue.attempts, webhook_queue.refusals, webhook_queue.replay
)
SELECT taken.*, event_id, body FROM taken JOIN webhook_messages USING (entry_id) ORDER BY entry_id
"""
_DONE = """
DELETE FROM webhook_queue
USING unnest(%(endpoints)s::bigint[], %(cashbacks)s::bigint[], %(steps)s::smallint[])
          AS done (endpoint_id, cashback_no, step)
WHERE webhook_queue.endpoint_id = done.endpoint_id AND webhook_queue.cashback_no = done.cashback_no
  AND webhook_queue.step = done.step AND leased_by = %(me)s
RETURNING entry_id, webhook_queue.endpoint_id
"""
_BACK = """
UPDATE webhook_queue
SET leased_by = NULL, attempts = back.attempts, refusals = back.refusals,
    due_at = clock_timestamp() + back.delay_s * interval '1 second'
FROM unnest(%(endpoints)s::bigint[], %(cashbacks)s::bigint[], %(steps)s::smallint[],
            %(attempts)s::smallint[], %(refusals)s::smallint[], %(delays)s::float[])
         AS back (endpoint_id, cashback_no, step, attempts, refusals, delay_s)
WHERE webhook_queue.endpoint_id = back.endpoint_id AND webhook_queue.cashback_no = back.cashback_no
  AND webhook_queue.step = back.step AND leased_by = %(me)s
"""
_LOG = """
COPY webhook_attempts
    (endpoint_id, entry_id, attempt, started_at, latency_us, status, outcome, error, response, replay,
     batch_id)
FROM STDIN (FORMAT BINARY)
"""
_LOG_TYPES = ("int8", "int8", "int2", "timestamptz", "int8", "int2", "text", "text", "bytea", "int8", "text")
_DELIVERED_BEFORE = """
SELECT entry_id, endpoint_id FROM unnest(%(entries)s::bigint[], %(endpoints)s::bigint[])
    AS again (entry_id, endpoint_id)
WHERE EXISTS (SELECT FROM webhook_attempts AS past WHERE past.entry_id = again.entry_id
              AND past.endpoint_id = again.endpoint_id AND past.outcome = 'delivered')
"""
_FAILING = """
UPDATE webhook_endpoints SET failing_since = %(since)s,
    paused_until = clock_timestamp() + %(pause_s)s * interval '1 second'
WHERE endpoint_id = %(endpoint)s
"""
_DISABLE = """
UPDATE webhook_endpoints SET disabled_at = clock_timestamp(), disabled_reason = %s
WHERE endpoint_id = %s AND disabled_at IS NULL
"""
_OLDEST = """
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(queued_at)), 0)::float
FROM (SELECT queued_at FROM webhook_endpoints CROSS JOIN LATERAL (
          SELECT queued_at FROM webhook_queue WHERE webhook_queue.endpoint_id = webhook_endpoints.endpoint_id
            AND leased_by IS NULL ORDER BY due_at LIMIT 1) AS first WHERE disabled_at IS NULL) AS oldest
"""


class Superseded(Exception):
    """The others took this dispatcher for dead and freed its messages; it must end and start anew."""


class Queue:
    """The queue through one session. One statement at a time; not to be shared by tasks without a lock."""

    def __init__(self, connection: AsyncConnection, instance: str, *, stale_ms: int) -> None:
        self._connection = connection
        self._instance = instance
        self._stale_ms = stale_ms
        self._me = 0

    async def enter(self) -> None:
        """Become a dispatcher with a number of its own."""
        await self._connection.execute(SESSION)
        async with self._connection.transaction():
            row = await (await self._connection.execute(_ENTER, (self._instance,))).fetchone()
            assert row is not None
            self._me = row[0]
            # Before the row is seen by others: nobody finds the number without its lock.
            await self._connection.execute(_LOCK, (_LOCK_SPACE, self._me))

    async def leave(self) -> None:
        """Free what is still claimed, at once."""
        await self._connection.execute(_LEAVE, {"gone": [self._me]})

    async def beat(self) -> None:
        """Say that this dispatcher lives and free what dead ones hold. Raises `Superseded`."""
        if (await self._connection.execute(_BEAT, (self._me,))).rowcount != 1:
            raise Superseded("this dispatcher was silent for too long, others have its messages")
        async with self._connection.transaction():
            names = {"me": self._me, "stale_ms": self._stale_ms, "space": _LOCK_SPACE}
            gone = [row[0] async for row in await self._connection.execute(_GONE, names)]
        if gone:
            # A stopped one may hold rows in the middle of a transaction: its session goes first. To end it
            # takes the login that both came with, which the dispatcher's role is not.
            async with self._connection.transaction():
                await self._connection.execute("SET LOCAL ROLE NONE")
                await self._connection.execute(_END_GONE, {"gone": gone, "space": _LOCK_SPACE})
            await self._connection.execute(_LEAVE, {"gone": gone})

    async def endpoints(self) -> list[Stored]:
        """All endpoints that are not disabled."""
        rows = await self._connection.execute(_ENDPOINTS, {"stale_ms": self._stale_ms})
        return [Stored(each[0], each[1], tuple(each[2]), *each[3:]) async for each in rows]

    async def oldest_s(self) -> float:
        """Age of the oldest message that waits, in seconds."""
        row = await (await self._connection.execute(_OLDEST)).fetchone()
        return float(row[0]) if row else 0.0

    async def claim(self, rooms: dict[int, int]) -> list[Message]:
        """Up to `rooms[endpoint_id]` due messages for each endpoint, oldest first."""
        names = {"me": self._me, "endpoints": list(rooms), "rooms": list(rooms.values())}
        rows = await (await self._connection.execute(_CLAIM, names, binary=True)).fetchall()
        return [Message(*row) for row in rows]

    async def settle(self, settled: Sequence[Settled]) -> None:
        """Write what came of attempts in one transaction: messages leave or wait, each attempt is logged."""
        async with self._connection.transaction():
            done = [each for each in settled if each.delay_s is None]
            left = await self._remove([each.message for each in done])
            left -= await self._delivered_before([each.message for each in done if each.message.replay])
            await self._return([each for each in settled if each.delay_s is not None])
            await self._log(settled, left)

    async def release(self, messages: Sequence[Message]) -> None:
        """Give back what was claimed but not sent."""
        async with self._connection.transaction():
            await self._connection.execute(
                _BACK,
                self._places(messages)
                | {
                    "attempts": [each.attempts for each in messages],
                    "refusals": [each.refusals for each in messages],
                    "delays": [0.0] * len(messages),
                },
            )

    async def mark(self, endpoint_id: int, *, failing_since: datetime | None, pause_s: float) -> None:
        """Keep since when all attempts to an endpoint fail, and for how long it wants to be left alone."""
        names = {"endpoint": endpoint_id, "since": failing_since, "pause_s": pause_s}
        await self._connection.execute(_FAILING, names)

    async def disable(self, endpoint_id: int, reason: str) -> bool:
        """Send nothing more there; returns False if it was disabled before."""
        return (await self._connection.execute(_DISABLE, (reason, endpoint_id))).rowcount == 1

    async def _remove(self, messages: Sequence[Message]) -> set[tuple[int, int]]:
        if not messages:
            return set()
        rows = await self._connection.execute(_DONE, self._places(messages), binary=True)
        return {(entry, endpoint) for entry, endpoint in await rows.fetchall()}

    async def _delivered_before(self, replayed: Sequence[Message]) -> set[tuple[int, int]]:
        if not replayed:
            return set()
        rows = await self._connection.execute(
            _DELIVERED_BEFORE,
            {
                "entries": [each.entry_id for each in replayed],
                "endpoints": [each.endpoint_id for each in replayed],
            },
        )
        return {(entry, endpoint) for entry, endpoint in await rows.fetchall()}

    async def _return(self, settled: Sequence[Settled]) -> None:
        if settled:
            places = self._places([each.message for each in settled])
            attempts = [each.message.attempts + 1 for each in settled]
            refusals = [each.message.refusals + each.is_refusal for each in settled]
            delays = [each.delay_s for each in settled]
            figures = {"attempts": attempts, "refusals": refusals, "delays": delays}
            await self._connection.execute(_BACK, places | figures)

    async def _log(self, settled: Sequence[Settled], left: set[tuple[int, int]]) -> None:
        async with self._connection.cursor().copy(_LOG) as copy:
            copy.set_types(_LOG_TYPES)
            for each in settled:
                message, outcome = each.message, each.outcome
                if outcome == "delivered" and (message.entry_id, message.endpoint_id) not in left:
                    outcome = "repeated"  # it was delivered before: each message is counted once
                await copy.write_row(
                    (
                        message.endpoint_id,
                        message.entry_id,
                        message.attempts + 1,
                        each.started_at,
                        each.latency_us,
                        each.status,
                        outcome,
                        each.error,
                        each.response,
                        message.replay,
                        each.batch_id,
                    )
                )

    def _places(self, messages: Sequence[Message]) -> dict[str, Any]:
        return {
            "me": self._me,
            "endpoints": [each.endpoint_id for each in messages],
            "cashbacks": [each.cashback_no for each in messages],
            "steps": [each.step for each in messages],
        }
