"""The delivery log: what was sent where, and what came back."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg

from sinks.database import READER_ROLE, session
from sinks.webhooks.endpoints import EVENT_TYPE
from sinks.webhooks.terms import EndpointRefused

LISTED_MAX = 10_000

_ATTEMPTS = f"""
SELECT started_at, webhook_attempts.endpoint_id, url, entries.event_id, {EVENT_TYPE}, cashback_id, attempt,
       webhook_attempts.replay, status, outcome, latency_us, error, response, batch_id
FROM webhook_attempts
JOIN webhook_endpoints USING (endpoint_id)
JOIN entries USING (entry_id)
JOIN cashbacks USING (cashback_no)
WHERE (%(endpoint)s::bigint IS NULL OR webhook_attempts.endpoint_id = %(endpoint)s)
  AND (%(entries)s::bigint[] IS NULL OR webhook_attempts.entry_id = ANY (%(entries)s))
  AND (%(since)s::timestamptz IS NULL OR started_at >= %(since)s)
  AND (NOT %(failed)s OR outcome IN ('failed', 'gave_up'))
ORDER BY attempt_id DESC LIMIT %(most)s
"""  # noqa: S608 - put together from constants
_OF_EVENT = "SELECT entry_id FROM entries WHERE event_id = %s"
_OF_CASHBACK = "SELECT entry_id FROM entries JOIN cashbacks USING (cashback_no) WHERE cashback_id = %s"


@dataclass(frozen=True)
class Attempt:
    """One attempt. `replay`: the act of the audit log that asked for it again.

    `outcome`: delivered, repeated (delivered before as well), failed (to be sent again) or gave_up.
    `response`: as it came, up to 20 kB, divided by the events of its batch. `batch_id`: of the request, if it
    carried a batch.
    """

    started_at: datetime
    endpoint_id: int
    url: str
    event_id: str
    type: str
    cashback_id: str
    attempt: int
    replay: int | None
    status: int | None
    outcome: str
    latency_us: int
    error: str | None
    response: bytes | None
    batch_id: str | None


def attempts(
    database_url: str,
    *,
    endpoint_id: int | None = None,
    event_id: str | None = None,
    cashback_id: str | None = None,
    since: datetime | None = None,
    only_failed: bool = False,
    most: int,
) -> list[Attempt]:
    """The latest attempts that fit, at most so many, newest first.

    Raises `EndpointRefused` for an event or a cashback that the ledger does not have.
    """
    with session(database_url, "cashback webhooks log", role=READER_ROLE) as connection:
        names: dict[str, Any] = {
            "endpoint": endpoint_id,
            "entries": _entries(connection, event_id, cashback_id),
            "since": since,
            "failed": only_failed,
            "most": most,
        }
        return [Attempt(*row) for row in connection.execute(_ATTEMPTS, names)]


def _entries(
    connection: psycopg.Connection, event_id: str | None, cashback_id: str | None
) -> list[int] | None:
    found: set[int] | None = None
    for field, query, value in (
        ("event_id", _OF_EVENT, event_id),
        ("cashback_id", _OF_CASHBACK, cashback_id),
    ):
        if value is None:
            continue
        entries = {row[0] for row in connection.execute(query.encode(), (value,))}
        if value.startswith("btch_"):
            raise EndpointRefused(f"{field}: {value} is a batch; give an event of it (evt_…)")
        if not entries:
            raise EndpointRefused(f"{field}: the ledger has no {value}; copy it from `cashback why`")
        found = entries if found is None else found & entries
    return None if found is None else sorted(found)
