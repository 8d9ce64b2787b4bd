"""Reversal cases as accounting reads them, and approvals that wait for a second person."""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
from psycopg.rows import class_row

from schemas.reversals import is_same, person
from schemas.times import Micros

STATES = ("open", "approved", "declined", "made_good", "all")
"""What `cases` takes: `open` waits for a decision, `made_good` is open and has nothing to decide any more."""


def _micros(column: str) -> str:
    return f"(extract(epoch FROM {column}) * 1000000)::bigint AS {column}"


_COLUMNS = f"""
    case_id, revision, state, cashback_id, partner_id, member_id, merchant_id, transaction_ref, program_id,
    sequence, livemode, amount, asset, shortfall, net_minor, cause, {_micros("opened_at")},
    {_micros("updated_at")}, actor, second_actor, note"""
_STATE = "CASE WHEN state = 'OPEN' AND shortfall = 0 THEN 'MADE_GOOD' ELSE state END AS state,"
_CASES = f"""
SELECT {_COLUMNS} FROM reversal_cases_now
WHERE (%(state)s = 'ALL' OR state = %(state)s)
  AND (%(partner)s::text IS NULL OR partner_id = %(partner)s)
ORDER BY reversal_cases_now.opened_at, case_id LIMIT %(most)s
"""  # noqa: S608 - put together from constants
_REVISIONS = f"""
SELECT {_COLUMNS.replace("state,", _STATE)} FROM reversal_cases WHERE case_id = %s ORDER BY revision
"""  # noqa: S608 - put together from constants
_NOW = f"SELECT {_COLUMNS} FROM reversal_cases_now WHERE case_id = %s"  # noqa: S608 - put together from constants
_APPROVALS = f"""
SELECT case_id, revision, actor, reason, {_micros("approved_at")} FROM reversal_approvals
WHERE case_id = ANY (%s) ORDER BY reversal_approvals.approved_at
"""  # noqa: S608 - put together from constants
_APPROVE = """
INSERT INTO reversal_approvals (case_id, revision, person, actor, reason) VALUES (%s, %s, %s, %s, %s)
"""
# Two who approve in the same moment are one after the other.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"


@dataclass(frozen=True)
class Case:
    """One revision of a case; amounts in minor units or points, times in microseconds UTC.

    `shortfall`: how much of `amount` is too much. `actor`, `second_actor`, `note`: whose word led to it.
    """

    case_id: str
    revision: int
    state: str
    cashback_id: str
    partner_id: str
    member_id: str
    merchant_id: str
    transaction_ref: str
    program_id: str
    sequence: int
    livemode: bool
    amount: int
    asset: str
    shortfall: int
    net_minor: int
    cause: str
    opened_at: Micros
    updated_at: Micros
    actor: str | None
    second_actor: str | None
    note: str | None


@dataclass(frozen=True)
class Approval:
    """What the first of two said of one revision of a case."""

    case_id: str
    revision: int
    actor: str
    reason: str
    approved_at: Micros

    def is_by(self, actor: str) -> bool:
        """Whether it is this person's own."""
        return is_same(self.actor, actor)


def cases(connection: psycopg.Connection, *, state: str, partner: str | None, most: int) -> list[Case]:
    """The cases as they stand, oldest first; `state` as in `STATES`."""
    names = {"state": state.upper(), "partner": partner, "most": most}
    with connection.cursor(row_factory=class_row(Case)) as cursor:
        return cursor.execute(_CASES.encode(), names).fetchall()


def find(connection: psycopg.Connection, case_id: str) -> Case | None:
    """A case as it stands."""
    with connection.cursor(row_factory=class_row(Case)) as cursor:
        return cursor.execute(_NOW.encode(), (case_id,)).fetchone()


def revisions(connection: psycopg.Connection, case_id: str) -> list[Case]:
    """All that a case was, in order."""
    with connection.cursor(row_factory=class_row(Case)) as cursor:
        return cursor.execute(_REVISIONS.encode(), (case_id,)).fetchall()


def waiting(connection: psycopg.Connection, found: list[Case]) -> dict[str, Approval]:
    """By case, the approval that waits for a second person: of its present revision, while it is open."""
    stands = {case.case_id: case.revision for case in found if case.state == "OPEN"}
    return {
        approval.case_id: approval
        for approval in _approvals(connection, list(stands))
        if approval.revision == stands[approval.case_id]
    }


def approve_first(connection: psycopg.Connection, case: Case, *, actor: str, reason: str) -> Approval | None:
    """Keeps an approval to wait for a second one; the one that waits already, if there is one.

    Inside the caller's transaction, which holds all others off this case until it ends.
    """
    connection.execute(_LOCK, (case.case_id,))
    first = waiting(connection, [case]).get(case.case_id)
    if first is None:
        connection.execute(_APPROVE, (case.case_id, case.revision, person(actor), actor, reason))
    return first


def _approvals(connection: psycopg.Connection, case_ids: list[str]) -> Iterator[Approval]:
    with connection.cursor(row_factory=class_row(Approval)) as cursor:
        yield from cursor.execute(_APPROVALS.encode(), (case_ids,))
