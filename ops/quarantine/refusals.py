"""What the ledger refused, beside what the stream set aside. Its table is append-only: no row is closed."""

from collections.abc import Iterator
from datetime import UTC, datetime

from ops.quarantine.decoding import decoded, whose
from ops.quarantine.listing import Row, Wanted
from sinks.database import READER_ROLE, session

PREFIX = "ledger:"
"""Leads the place of a refusal: ledger:topic:partition:offset."""

_QUERY = """
SELECT topic, partition, record_offset, reason, detail, record_key, record_value, refused_at
FROM ledger_quarantine
WHERE refused_at >= %(since)s AND (%(reason)s::text IS NULL OR reason = %(reason)s)
ORDER BY refused_at, topic, partition, record_offset
"""


def read_refusals(database_url: str, wanted: Wanted, *, now_ms: int) -> Iterator[tuple[Row, bytes, bytes]]:
    """Rows, oldest first, each with key and value of its record. Raises `WrongSchema`, `psycopg.Error`."""
    since = datetime.fromtimestamp(wanted.since_ms / 1_000, UTC)
    with session(database_url, "quarantine", role=READER_ROLE) as connection:
        names = {"since": since, "reason": wanted.reason}
        for topic, partition, offset, reason, detail, key, value, refused_at in connection.cursor().stream(
            _QUERY, names
        ):
            read = decoded(value or b"")
            partner_id, member_id = whose(key or b"", read)
            if wanted.partner not in (None, partner_id):
                continue
            row = Row(
                source="ledger",
                place=f"{PREFIX}{topic}:{partition}:{offset}",
                status="refused",
                reason=reason,
                message=detail,
                first_seen=refused_at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
                age_s=max(0, now_ms // 1_000 - int(refused_at.timestamp())),
                record=read.record,
                partner_id=partner_id,
                member_id=member_id,
            )
            yield row, key or b"", value or b""
