"""The credit log: every cashback with its basket, who gave it, and how it stands; newest posted first."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import psycopg
from psycopg import sql

from schemas.errors import Rejected
from schemas.times import Micros
from sinks.books.reading import ROWS_AT_ONCE

STATES = ("PENDING", "CLEARED", "REVERTED")

_MICROS = "(extract(epoch FROM {}) * 1000000)::bigint"
_COLUMNS = (
    "cashback_id",
    "livemode",
    "partner_id",
    "merchant_id",
    "member_id",
    "transaction_ref",
    "program_id",
    "program_version",
    "sequence",
    "basket_minor",
    "employee_id",
    "receipt_id",
    "webhook_id",
    "amount",
    "asset",
    "commission",
    "state",
    "transition::text",
    "reason",
    *(_MICROS.format(name) for name in ("credited_at", "credited_posted_at", "event_at", "posted_at")),
    "day",
    "silent",
)
_SELECT = sql.SQL("SELECT " + ", ".join(_COLUMNS) + " FROM credit_log")  # noqa: S608 - constants
_PLACE = "SELECT cashback_no FROM cashbacks WHERE cashback_id = %s"
# Looked up first: with the accounts at hand the planner knows how many cashbacks each has.
_ACCOUNTS = """
SELECT account_id FROM accounts
WHERE kind = %(kind)s::account_kind AND (%(partner)s::text IS NULL OR partner_id = %(partner)s)
  AND (%(merchant)s::text IS NULL OR merchant_id = %(merchant)s)
  AND (%(member)s::text IS NULL OR member_id = %(member)s)
"""
# Days are those of the merchants; the bounds around them, in any time zone, are what the index knows.
_SINCE = sql.SQL("day >= {day} AND credited_at >= {day}::timestamptz - interval '1 day'")
_UNTIL = sql.SQL("day <= {day} AND credited_at < {day}::timestamptz + interval '2 days'")


@dataclass(frozen=True)
class Wanted:
    """Which credits; None: any. Days are those of the merchant's time zone, both inclusive.

    `after`: the cashback id of the last one seen, reading goes on behind it.
    """

    partner_id: str | None = None
    merchant_id: str | None = None
    member_id: str | None = None
    employee_id: str | None = None
    receipt_id: str | None = None
    webhook_id: str | None = None
    program_id: str | None = None
    livemode: bool | None = None
    state: str | None = None
    since: date | None = None
    until: date | None = None
    after: str | None = None


@dataclass(frozen=True)
class Credit:
    """One cashback. Amounts in minor units or points; times in microseconds UTC.

    `credited_at` and `credited_posted_at` are of its creation, `event_at` and `posted_at` of its latest
    transition. `day`: of the merchant, when it was credited. `silent`: history, of which nobody was told.
    """

    cashback_id: str
    livemode: bool
    partner_id: str
    merchant_id: str
    member_id: str
    transaction_ref: str
    program_id: str
    program_version: int
    sequence: int
    basket_minor: int | None
    employee_id: str | None
    receipt_id: str | None
    webhook_id: str | None
    amount: int
    asset: str
    commission: int
    state: str
    transition: str
    reason: str | None
    credited_at: Micros
    credited_posted_at: Micros
    event_at: Micros
    posted_at: Micros
    day: date
    silent: bool


def credits_of(connection: psycopg.Connection, wanted: Wanted, limit: int | None) -> Iterator[Credit]:
    """Newest posted first, read while they are asked for; `limit` None: all.

    Raises `Rejected` when a member is named without its partner, or `after` is no cashback of this ledger.
    """
    with connection.cursor(name="credits") as rows:
        rows.itersize = ROWS_AT_ONCE
        rows.execute(statement(connection, wanted, limit))
        for row in rows:
            yield Credit(*row)


def statement(connection: psycopg.Connection, wanted: Wanted, limit: int | None) -> sql.Composed:
    """The query, with its values in it. Raises as `credits_of`."""
    conditions = [*_equal(wanted), *_owned(connection, wanted), *_placed(connection, wanted)]
    parts: list[sql.Composable] = [_SELECT]
    if conditions:
        parts += [sql.SQL("WHERE"), sql.SQL(" AND ").join(conditions)]
    parts.append(sql.SQL("ORDER BY cashback_no DESC"))
    if limit is not None:
        parts += [sql.SQL("LIMIT"), sql.Literal(limit)]
    return sql.SQL(" ").join(parts)


def _equal(wanted: Wanted) -> Iterator[sql.Composable]:
    names = ("partner_id", "employee_id", "receipt_id", "webhook_id", "program_id", "livemode", "state")
    for name in names:
        value = getattr(wanted, name)
        if value is not None:
            yield sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
    if wanted.since:
        yield _SINCE.format(day=sql.Literal(wanted.since))
    if wanted.until:
        yield _UNTIL.format(day=sql.Literal(wanted.until))


def _owned(connection: psycopg.Connection, wanted: Wanted) -> Iterator[sql.Composable]:
    if wanted.member_id is not None and wanted.partner_id is None:
        raise Rejected(
            "--member", f"{wanted.member_id!r} may be of several partners", "name the partner with --partner"
        )
    for column, kind, name in (
        ("pending_account", "member:pending", "member"),
        ("funding_account", "merchant:funding", "merchant"),
    ):
        value = getattr(wanted, f"{name}_id")
        if value is None:
            continue
        names: dict[str, Any] = {"kind": kind, "partner": wanted.partner_id, "merchant": None, "member": None}
        rows = connection.execute(_ACCOUNTS, names | {name: value})
        accounts = [account for (account,) in rows]
        yield sql.SQL("{} = ANY ({}::bigint[])").format(sql.Identifier(column), sql.Literal(accounts))


def _placed(connection: psycopg.Connection, wanted: Wanted) -> Iterator[sql.Composable]:
    if wanted.after is None:
        return
    row = connection.execute(_PLACE, (wanted.after,)).fetchone()
    if row is None:
        raise Rejected(
            "--after",
            f"the ledger has no cashback {wanted.after!r}",
            "give the `next` of the page before, or leave it out to begin at the newest",
        )
    yield sql.SQL("cashback_no < {}").format(sql.Literal(row[0]))
