"""The audit log: every manual act with who, what and why, each row bound to the one before it.

Hash of a row = SHA-256 over the hash of the row before it (32 bytes; of the first: zeros), then, in UTF-8
and joined by U+001F: number, time in microseconds since 1970 UTC, actor, action, subject, reason, details as
JSON text. The database gives number, time and hashes (trigger `chain_audit`); here they are computed anew.

Seen: a row changed, left out, put in or moved, whoever did it; rows cut off the end, while `audit_head` is as
it was. Not seen by the log alone: a superuser who cuts the end and sets the head back, or writes all of it
anew. For that, keep a hash outside of the database and ask for it: `cashback audit verify --expect HASH`.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.pq import TransactionStatus

from schemas.errors import Rejected
from schemas.times import Micros, to_datetime
from schemas.transactions import check_id

SUBJECT_MAX, REASON_MAX, DETAILS_MAX = 256, 1_000, 100_000
"""Characters."""
_SEPARATOR = "\x1f"
_NOTHING = bytes(32)

_APPEND = """
INSERT INTO audit_log (actor, action, subject, reason, details) VALUES (%s, %s, %s, %s, %s)
RETURNING audit_no, hash
"""
_COLUMNS = (
    "audit_no, (extract(epoch FROM at) * 1000000)::bigint, actor, action, subject, reason, details::text"
)
_ALL = f"SELECT {_COLUMNS}, previous_hash, hash FROM audit_log ORDER BY audit_no"  # noqa: S608 - constants
_LATEST = f"""
SELECT {_COLUMNS}, previous_hash, hash FROM audit_log
WHERE at >= %(since)s AND (%(actor)s::text IS NULL OR actor = %(actor)s)
  AND (%(subject)s::text IS NULL OR subject = %(subject)s)
ORDER BY audit_no DESC LIMIT %(most)s
"""  # noqa: S608 - constants
_HEAD = "SELECT audit_no, hash FROM audit_head"


@dataclass(frozen=True)
class Mark:
    """A row by number and hash (hex); number 0 is the empty log."""

    audit_no: int
    hash: str


@dataclass(frozen=True)
class Act:
    """One row. `details` is JSON text as it was written; `at` in microseconds UTC."""

    audit_no: int
    at: Micros
    actor: str
    action: str
    subject: str
    reason: str
    details: str
    previous_hash: bytes
    hash: bytes

    def computed(self, previous: bytes) -> bytes:
        """The hash it must have behind a row of hash `previous`."""
        fields = (self.audit_no, self.at, self.actor, self.action, self.subject, self.reason, self.details)
        return sha256(previous + _SEPARATOR.join(map(str, fields)).encode()).digest()


@dataclass(frozen=True)
class Broken:
    """The first row that does not fit, and what about it."""

    audit_no: int
    problem: str


@dataclass(frozen=True)
class Verified:
    """How many rows fit, the last of them, and what is wrong (None: nothing)."""

    rows: int
    head: Mark
    broken: Broken | None


def record(
    connection: psycopg.Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    reason: str,
    details: Mapping[str, object],
) -> Mark:
    """Append one act inside the caller's transaction, best as its last statement: until its end others wait.

    `action` is `noun.verb` (`endpoint.disable`), `subject` an id; what else there is goes into `details`
    (JSON values). Raises `Rejected` naming the field that cannot be kept.
    """
    in_transaction = connection.info.transaction_status == TransactionStatus.INTRANS
    assert in_transaction or not connection.autocommit, "an act and its record commit together"
    check_words(actor=actor, reason=reason)
    check_id("action", action)
    check_id("subject", subject, SUBJECT_MAX)
    row = connection.execute(_APPEND, (actor, action, subject, reason, _text(details))).fetchone()
    assert row is not None
    return Mark(row[0], bytes(row[1]).hex())


def latest(
    connection: psycopg.Connection,
    *,
    most: int,
    actor: str | None = None,
    subject: str | None = None,
    since: Micros = 0,
) -> list[Act]:
    """The last `most` rows that fit, oldest first."""
    names = {"actor": actor, "subject": subject, "since": to_datetime(since), "most": most}
    return [Act(*row) for row in connection.execute(_LATEST, names)][::-1]


def head(connection: psycopg.Connection) -> Mark:
    """The latest row, as whoever wants to notice a cut keeps it elsewhere."""
    row = connection.execute(_HEAD).fetchone()
    return Mark(row[0], bytes(row[1]).hex()) if row else Mark(0, _NOTHING.hex())


def verify(connection: psycopg.Connection, *, expect: str | None = None) -> Verified:
    """Compute every hash anew. `expect`: a hash (hex) kept elsewhere that must still be in the log.

    `connection` must be outside of a transaction: one is opened, so that all is seen at one moment.
    """
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    with connection.transaction():
        kept = head(connection)
        with connection.cursor(name="audit") as rows:
            rows.execute(_ALL)
            return _verified((Act(*row) for row in rows), kept, expect)


def _verified(acts: Any, kept: Mark, expect: str | None) -> Verified:
    last, seen = Mark(0, _NOTHING.hex()), expect in (None, _NOTHING.hex())
    for act in acts:
        if problem := _problem(act, last):
            return Verified(last.audit_no, last, Broken(act.audit_no, problem))
        last = Mark(act.audit_no, act.hash.hex())
        seen = seen or last.hash == expect
    if last != kept:
        return Verified(last.audit_no, last, _cut(last, kept))
    broken = None if seen else Broken(last.audit_no + 1, f"no row has the expected hash {expect}")
    return Verified(last.audit_no, last, broken)


def _problem(act: Act, last: Mark) -> str | None:
    previous = bytes.fromhex(last.hash)
    if act.audit_no != last.audit_no + 1:
        return f"it follows row {last.audit_no}: what was between them is gone"
    if act.previous_hash != previous:
        return "it names another hash than that of the row before it"
    if act.hash != act.computed(previous):
        return "its hash does not fit what it says: it was changed"
    return None


def _cut(last: Mark, kept: Mark) -> Broken:
    if last.audit_no < kept.audit_no:
        return Broken(last.audit_no + 1, f"the log ended with row {kept.audit_no} once: its end is gone")
    return Broken(last.audit_no, "the head names another last row: log or head were changed")


def check_words(*, actor: str, reason: str) -> None:
    """Raises `Rejected` unless `record` can keep them, for who must know before an act."""
    check_id("actor", actor)
    if not actor.strip():
        raise Rejected("actor", "is blank", "say who does this")
    if not reason.strip():
        raise Rejected("reason", "empty", "say why; it is kept")
    if len(reason) > REASON_MAX:
        raise Rejected("reason", f"{len(reason)} characters long", f"at most {REASON_MAX}")
    if any(character in reason for character in ("\0", _SEPARATOR)) or not _is_utf8(reason):
        raise Rejected("reason", "holds U+0000, U+001F or half a surrogate pair", "remove it")


def _text(details: Mapping[str, object]) -> str:
    text = json.dumps(details, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    if len(text) > DETAILS_MAX:
        raise Rejected("details", f"{len(text)} characters of JSON", f"at most {DETAILS_MAX}; say less")
    if not _is_utf8(text):
        raise Rejected("details", "hold half a surrogate pair", "remove it")
    return text


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
