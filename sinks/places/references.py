"""What a payment is looked up by, and the places found under it."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

import psycopg

from schemas.codec import decode
from schemas.errors import Undecodable

_FIND = """
SELECT topic, partition, record_offset FROM payment_places
WHERE reference = ANY (%s) AND topic = ANY (%s) ORDER BY topic, partition, record_offset
"""
_EXTERNAL_ID = {
    "Transaction": "external_id",
    "Revocation": "external_id",
    "ReversalDecision": "external_id",
    "ParkedDecision": "external_id",
    "Decision": "transaction_ref",
}
"""Records about one payment, and the field that holds the partner's id of it."""


@dataclass(frozen=True, slots=True, order=True)
class Whereabouts:
    """Where one record lies."""

    topic: str
    partition: int
    offset: int


def reference(livemode: bool, partner_id: str, external_id: str) -> int:
    """A signed 64-bit digest of what a partner calls a payment; members are not told apart.

    Two payments may share one, once in billions: who reads the records looks whose they are.
    """
    mode = "live" if livemode else "test"
    digest = sha256(f"{mode}\x1f{partner_id}\x1f{external_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def reference_in(value: bytes | None) -> int | None:
    """The reference of the payment a record is about; None when it is about none or cannot be read."""
    try:
        record, datum = decode(value)
        name = _EXTERNAL_ID.get(record)
        return None if name is None else reference(datum["livemode"], datum["partner_id"], datum[name])
    except (Undecodable, UnicodeEncodeError):
        return None


def find(
    connection: psycopg.Connection, references: Sequence[int], topics: Sequence[str]
) -> list[Whereabouts]:
    """Where the records under any of `references` lie in `topics` (full names), in order."""
    rows = connection.execute(_FIND, (list(references), list(topics)))
    return [Whereabouts(topic, partition, offset) for topic, partition, offset in rows]
