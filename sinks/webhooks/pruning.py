"""Cuts the delivery log at its old end: nothing else of what sinks write ever goes.

Messages and entries stay, so a replay by event or by time of booking still finds everything; one of what
failed since a time finds what the log still has. What is sent again after its log was cut counts as
delivered, not as repeated.
"""

from datetime import UTC, datetime, timedelta

from sinks import audit
from sinks.database import session
from sinks.webhooks.terms import EndpointRefused

KEPT_DAYS_MIN = 30
"""Longer than any schedule runs, and than an endpoint that fails stays enabled."""
KEPT_DAYS_MAX = 36_500
_ROWS = 50_000
"""A transaction: short enough to hold up nobody."""

_NEXT = """
SELECT max(attempt_id), min(started_at)
FROM (SELECT attempt_id, started_at FROM webhook_attempts WHERE attempt_id > %s ORDER BY attempt_id LIMIT %s)
    AS following
"""
_CUT = "DELETE FROM webhook_attempts WHERE attempt_id > %s AND attempt_id <= %s AND started_at < %s"


def prune(database_url: str, *, kept_days: int, now: datetime | None = None, actor: str, reason: str) -> int:
    """Remove attempts that began more than so many days before `now` (the present); how many those were.

    Raises `EndpointRefused` for days out of bounds. Ended amidst, it goes on when called again.
    """
    if not KEPT_DAYS_MIN <= kept_days <= KEPT_DAYS_MAX:
        raise EndpointRefused(
            f"kept_days: {kept_days} is out of bounds; give {KEPT_DAYS_MIN}, which what is being sent needs, "
            f"to {KEPT_DAYS_MAX}"
        )
    before = (now or datetime.now(UTC)) - timedelta(days=kept_days)
    removed = after = 0
    with session(database_url, "cashback webhooks prune") as connection:
        with connection.transaction():
            audit.record(
                connection,
                actor=actor,
                action="webhook.prune",
                subject="webhook_attempts",
                reason=reason,
                details={"before": before.isoformat()},
            )
        while True:
            row = connection.execute(_NEXT, (after, _ROWS)).fetchone()
            # Numbers are given when attempts are written down, so the later numbers are the later attempts.
            if row is None or row[0] is None or row[1] >= before:
                return removed
            removed += connection.execute(_CUT, (after, row[0], before)).rowcount
            after = row[0]
