"""Statements as they were issued: what a merchant, or a publisher, was told of one day."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import psycopg
from psycopg import sql

from schemas.errors import Rejected
from sinks.books.reading import ROWS_AT_ONCE


@dataclass(frozen=True)
class Statement:
    """One revision. Amounts in minor units or points; see `ops/docs/ledger/statements.md` for each.

    `side`: merchant or publisher, `party_id` which. `known_at`: entries posted up to then are in it.
    `changed`: what the revision before said and what this one says, by figure; None on the first.
    `late_events`: of the entries that the day got since the revision before, 100 at most.
    """

    statement_id: str
    side: str
    party_id: str
    livemode: bool
    asset: str
    day: date
    revision: int
    issued_at: datetime
    known_at: datetime
    entries: int
    opening_pending: int
    created: int
    cleared: int
    reverted: int
    closing_pending: int
    opening_earned: int
    reversed: int
    vouchers: int
    closing_earned: int
    opening_commission_pending: int
    commission_created: int
    commission_cleared: int
    commission_reverted: int
    closing_commission_pending: int
    opening_commission: int
    commission_reversed: int
    closing_commission: int
    changed: Mapping[str, list[int]] | None
    late_events: list[str]

    @property
    def order(self) -> tuple[Any, ...]:
        """By day, merchants before publishers, live before test."""
        return (self.day, self.side, self.party_id, not self.livemode, self.asset, self.revision)


COLUMNS = tuple(Statement.__dataclass_fields__)
_SELECT = sql.SQL("SELECT {columns} FROM {source}")
_ORDER = sql.SQL(" ORDER BY day, side, party_id, livemode DESC, asset, revision")


@dataclass(frozen=True)
class Wanted:
    """Which statements; days are inclusive, None: any. `every`: also revisions that were overtaken."""

    merchant_id: str | None = None
    publisher_id: str | None = None
    since: date | None = None
    until: date | None = None
    every: bool = False


def statements(
    connection: psycopg.Connection, wanted: Wanted, limit: int | None = None
) -> Iterator[Statement]:
    """By day, side, party, mode, asset and revision, read while they are asked for."""
    conditions = []
    if wanted.merchant_id is not None:
        conditions.append(_equal("side", "merchant") + _AND + _equal("party_id", wanted.merchant_id))
    if wanted.publisher_id is not None:
        conditions.append(_equal("side", "publisher") + _AND + _equal("party_id", wanted.publisher_id))
    query = _select("statements" if wanted.every else "statements_now")
    bounds = []
    if wanted.since:
        bounds.append(sql.SQL("day >= {}").format(sql.Literal(wanted.since)))
    if wanted.until:
        bounds.append(sql.SQL("day <= {}").format(sql.Literal(wanted.until)))
    if conditions:
        bounds.append(sql.SQL("({})").format(sql.SQL(" OR ").join(conditions)))
    if bounds:
        query += sql.SQL(" WHERE ") + _AND.join(bounds)
    query += _ORDER
    if limit is not None:
        query += sql.SQL(" LIMIT {}").format(sql.Literal(limit))
    with connection.cursor(name="statements") as rows:
        rows.itersize = ROWS_AT_ONCE
        rows.execute(query)
        for row in rows:
            yield Statement(*row)


def statement_and_revisions(connection: psycopg.Connection, statement_id: str) -> list[Statement]:
    """The statement of this id first, then the other revisions of its day, oldest first.

    Raises `Rejected` when there is none.
    """
    found = connection.execute(
        _select("statements") + sql.SQL(" WHERE ") + _equal("statement_id", statement_id)
    ).fetchone()
    if found is None:
        raise Rejected(
            "ID", f"there is no statement {statement_id!r}", "copy it from `cashback statements list`"
        )
    shown = Statement(*found)
    names = ("side", "party_id", "livemode", "asset", "day")
    same = _AND.join([_equal(name, getattr(shown, name)) for name in names])
    rows = connection.execute(_select("statements") + sql.SQL(" WHERE ") + same + _ORDER)
    return [shown, *(each for row in rows if (each := Statement(*row)).revision != shown.revision)]


_AND = sql.SQL(" AND ")


def _select(source: str) -> sql.Composed:
    columns = sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS)
    return _SELECT.format(columns=columns, source=sql.Identifier(source))


def _equal(name: str, value: object) -> sql.Composed:
    return sql.SQL("{} = {}").format(sql.Identifier(name), sql.Literal(value))
