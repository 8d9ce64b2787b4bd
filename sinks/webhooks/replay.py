"""Send again what was sent before, or what failed: same ids, same bytes, in the order of each cashback.

Only messages that were meant to be sent exist: of history that was loaded silently nobody is told, not even
by a replay. What waits in the queue for a later attempt is not added, but goes at once.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, assert_never

import psycopg

from sinks import audit
from sinks.database import session
from sinks.webhooks.endpoints import EVENT_TYPE
from sinks.webhooks.terms import EndpointRefused

MESSAGES_MAX = 100_000

_ENDPOINT = """
SELECT partner_id, livemode, event_types, disabled_at IS NOT NULL FROM webhook_endpoints
WHERE endpoint_id = %s
"""
_FITTING = f"""
SELECT entries.entry_id FROM entries
JOIN webhook_messages USING (entry_id)
JOIN cashbacks USING (cashback_no)
JOIN purchases USING (purchase_no)
WHERE {{chosen}} AND partner_id = %(partner)s AND livemode = %(livemode)s
  AND {EVENT_TYPE} = ANY (%(types)s)
ORDER BY entries.entry_id LIMIT %(most)s
"""  # noqa: S608 - put together from constants
_CHOSEN_EVENT = "entries.event_id = %(event)s"
_CHOSEN_RANGE = "posted_at >= %(begin)s AND posted_at < %(end)s"
_CHOSEN_FAILED = """entries.entry_id IN (
    SELECT entry_id FROM webhook_attempts AS bad
    WHERE endpoint_id = %(endpoint)s AND started_at >= %(since)s AND outcome IN ('failed', 'gave_up')
      AND NOT EXISTS (
          SELECT FROM webhook_attempts AS good
          WHERE good.entry_id = bad.entry_id AND good.endpoint_id = bad.endpoint_id
            AND good.attempt_id > bad.attempt_id AND good.outcome IN ('delivered', 'repeated')))"""
_ABOUT_EVENT = f"""
SELECT partner_id, livemode, {EVENT_TYPE}, silent, webhook_messages.entry_id IS NOT NULL
FROM entries JOIN cashbacks USING (cashback_no) JOIN purchases USING (purchase_no)
LEFT JOIN webhook_messages USING (entry_id) WHERE entries.event_id = %s
"""  # noqa: S608 - put together from constants
# Rows that dispatchers hold are left alone, and not waited for: who settles them never waits for us either.
_QUEUE = """
WITH wanted AS MATERIALIZED (
    SELECT %(endpoint)s::bigint AS endpoint_id, cashback_no, step, entry_id,
           clock_timestamp() + row_number() OVER (ORDER BY entry_id) * interval '1 microsecond' AS due_at
    FROM unnest(%(entries)s::bigint[]) AS asked (entry_id) JOIN entries USING (entry_id)
), held AS MATERIALIZED (
    SELECT webhook_queue.endpoint_id, webhook_queue.cashback_no, webhook_queue.step, wanted.due_at
    FROM wanted JOIN webhook_queue USING (endpoint_id, cashback_no, step)
    WHERE leased_by IS NULL AND attempts > 0 FOR UPDATE OF webhook_queue SKIP LOCKED
), hastened AS (
    UPDATE webhook_queue SET due_at = held.due_at, attempts = 0, refusals = 0, replay = %(replay)s
    FROM held WHERE webhook_queue.endpoint_id = held.endpoint_id
      AND webhook_queue.cashback_no = held.cashback_no AND webhook_queue.step = held.step
    RETURNING webhook_queue.entry_id
), followers AS (
    -- What was put behind them would else come as late as they were due before.
    UPDATE webhook_queue SET due_at = clock_timestamp()
    WHERE (endpoint_id, cashback_no, step) IN (
        SELECT later.endpoint_id, later.cashback_no, later.step
        FROM held JOIN webhook_queue AS later ON later.endpoint_id = held.endpoint_id
            AND later.cashback_no = held.cashback_no AND later.step > held.step
        WHERE later.leased_by IS NULL AND later.attempts = 0 FOR UPDATE OF later SKIP LOCKED)
), added AS (
    INSERT INTO webhook_queue (endpoint_id, cashback_no, step, entry_id, due_at, replay)
    SELECT endpoint_id, cashback_no, step, entry_id, due_at, %(replay)s FROM wanted ORDER BY entry_id
    ON CONFLICT DO NOTHING RETURNING entry_id
)
SELECT (SELECT count(*) FROM added) + (SELECT count(*) FROM hastened)
"""


@dataclass(frozen=True)
class OneEvent:
    """The message of one event."""

    event_id: str


@dataclass(frozen=True)
class Booked:
    """Messages of what the ledger booked from `begin` to before `end`."""

    begin: datetime
    end: datetime


@dataclass(frozen=True)
class FailedSince:
    """Messages with an attempt since then that failed, and none after it that succeeded."""

    since: datetime


Choice: TypeAlias = OneEvent | Booked | FailedSince


@dataclass(frozen=True)
class Replayed:
    """`queued` messages go at once; `waiting` others of the `found` were on their way already."""

    replay: int
    found: int
    queued: int

    @property
    def waiting(self) -> int:
        """Found, but queued for their first attempt or under way: they are sent once."""
        return self.found - self.queued


def replay(
    database_url: str,
    endpoint_id: int,
    choice: Choice,
    *,
    most: int = MESSAGES_MAX,
    actor: str,
    reason: str,
) -> Replayed:
    """Queue what is chosen, of the types the endpoint gets; its attempts are logged as this replay.

    Raises `EndpointRefused` when there is no such endpoint or event, when the endpoint is disabled, or when
    more than `most` messages fit: then nothing is queued.
    """
    with session(database_url, "cashback webhooks replay") as connection, connection.transaction():
        endpoint = _endpoint(connection, endpoint_id)
        chosen, names = _chosen(choice)
        fitting = _FITTING.format(chosen=chosen).encode()
        names |= {"endpoint": endpoint_id, "most": most + 1}
        entries = [row[0] for row in connection.execute(fitting, endpoint | names)]
        if len(entries) > most:
            raise EndpointRefused(
                f"choice: more than {most} messages fit; choose a shorter time, and the rest afterwards"
            )
        if not entries and isinstance(choice, OneEvent):
            raise _why_not(connection, choice.event_id, endpoint_id, endpoint)
        details = {"choice": _said(choice), "messages": len(entries)}
        subject = f"endpoint {endpoint_id}"
        mark = audit.record(
            connection, actor=actor, action="webhook.replay", subject=subject, reason=reason, details=details
        )
        asked = {"endpoint": endpoint_id, "entries": entries, "replay": mark.audit_no}
        row = connection.execute(_QUEUE, asked).fetchone()
    assert row is not None
    return Replayed(mark.audit_no, len(entries), row[0])


def _endpoint(connection: psycopg.Connection, endpoint_id: int) -> dict[str, Any]:
    row = connection.execute(_ENDPOINT, (endpoint_id,)).fetchone()
    if row is None:
        raise EndpointRefused(
            f"endpoint_id: there is no endpoint {endpoint_id}; `cashback endpoints list` shows them"
        )
    partner_id, livemode, types, is_disabled = row
    if is_disabled:
        raise EndpointRefused(
            f"endpoint_id: {endpoint_id} is disabled; enable it first: that sends what it missed"
        )
    return {"partner": partner_id, "livemode": livemode, "types": types}


def _chosen(choice: Choice) -> tuple[str, dict[str, Any]]:
    match choice:
        case OneEvent(event_id):
            return _CHOSEN_EVENT, {"event": event_id}
        case Booked(begin, end):
            if begin >= end:
                raise EndpointRefused("from: is not before `to`; give a time before it")
            return _CHOSEN_RANGE, {"begin": begin, "end": end}
        case FailedSince(since):
            return _CHOSEN_FAILED, {"since": since}
        case _:
            assert_never(choice)


def _said(choice: Choice) -> dict[str, str]:
    match choice:
        case OneEvent(event_id):
            return {"event_id": event_id}
        case Booked(begin, end):
            return {"from": begin.isoformat(), "to": end.isoformat()}
        case FailedSince(since):
            return {"failed_since": since.isoformat()}
        case _:
            assert_never(choice)


def _why_not(
    connection: psycopg.Connection, event_id: str, endpoint_id: int, endpoint: dict[str, Any]
) -> EndpointRefused:
    row = connection.execute(_ABOUT_EVENT, (event_id,)).fetchone()
    if row is None:
        return EndpointRefused(f"event_id: the ledger has no {event_id}; copy it from `cashback why`")
    partner_id, livemode, kind, is_silent, has_message = row
    whose = f"endpoint_id: {endpoint_id}"
    if (partner_id, livemode) != (endpoint["partner"], endpoint["livemode"]):
        mode = "live" if livemode else "test"
        return EndpointRefused(f"{whose} is not of {partner_id} in {mode} mode, whose event this is")
    if is_silent:
        return EndpointRefused(f"event_id: {event_id} is history, loaded silently; nobody is told of it")
    if not has_message:
        return EndpointRefused(
            f"event_id: {event_id} was booked before {partner_id} had an endpoint; there is no message of it"
        )
    return EndpointRefused(f"{whose} does not get {kind}; choose an endpoint that does")
