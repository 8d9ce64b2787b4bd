"""Issues daily statements: a first revision for a day, a next one wherever the figures have changed since."""

import time
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import psycopg

from schemas.errors import Rejected
from sinks.books.issuing_sql import DAYS_OVER, ISSUE, KNOWN_AT, STILL_WRITING, WRITES_BEGUN
from sinks.books.statements import COLUMNS, Statement
from sinks.database import session

WAIT_FOR_WRITERS_S = 70
LOOK_EVERY_S = 0.02
PATIENCE = "30min"
DAYS_MAX = 3_700


class NotIssued(Exception):
    """Why nothing was issued, and what to do."""


@dataclass(frozen=True)
class Wanted:
    """The days of statements, both inclusive; a party: only its own, else everybody's."""

    since: date
    until: date
    merchant_id: str | None = None
    publisher_id: str | None = None

    def __post_init__(self) -> None:
        if self.merchant_id is not None and self.publisher_id is not None:
            raise Rejected("--publisher", "a merchant is named as well", "name one of them, or none for all")
        if self.until < self.since:
            raise Rejected("--through", f"{self.until} lies before --day {self.since}", "swap them")
        if self.until - self.since > timedelta(days=DAYS_MAX):
            raise Rejected("--through", f"{self.until} is more than {DAYS_MAX} days on", "take several runs")


def issue(database_url: str, wanted: Wanted) -> list[Statement]:
    """Issue what is missing, and revise every statement, of whatever day, whose figures have changed.

    A statement's opening balance is the closing balance of the day before, so an entry that comes late
    changes its own day and the openings of all later ones. Returns what was issued. Raises `NotIssued`.
    """
    with session(database_url, "statements") as connection:
        connection.execute(f"SET statement_timeout = '{PATIENCE}'")
        _refuse_unfinished_days(connection, wanted)
        # Of two that issue at once the second waits, and then finds nothing changed.
        connection.execute("SELECT pg_advisory_lock(hashtextextended('cashback statements', 0))")
        names = {
            "since": wanted.since,
            "until": wanted.until,
            "merchant": wanted.merchant_id,
            "publisher": wanted.publisher_id,
            "known_at": _settled_moment(connection),
        }
        rows = connection.execute(f"{ISSUE} RETURNING {', '.join(COLUMNS)}".encode(), names)
        return sorted((Statement(*row) for row in rows), key=lambda each: each.order)


def _refuse_unfinished_days(connection: psycopg.Connection, wanted: Wanted) -> None:
    row = connection.execute(DAYS_OVER).fetchone()
    assert row is not None
    if wanted.until >= row[0]:
        raise NotIssued(
            f"--day: {wanted.until} is not over for every merchant; the latest day that is over everywhere "
            f"is {row[0] - timedelta(days=1)}"
        )


def _settled_moment(connection: psycopg.Connection) -> datetime:
    """A moment before which nothing will be posted any more.

    Entries are stamped when they are written, and seen when their transaction ends. So a moment is taken,
    and then the end of all transactions that had begun to write is waited for.
    """
    (known_at,) = connection.execute(KNOWN_AT).fetchone() or (None,)
    assert isinstance(known_at, datetime)
    (begun,) = connection.execute(WRITES_BEGUN).fetchone() or (None,)
    until_s = time.monotonic() + WAIT_FOR_WRITERS_S
    while (connection.execute(STILL_WRITING, (begun,)).fetchone() or (False,))[0]:
        if time.monotonic() > until_s:
            raise NotIssued(
                f"a transaction on this server has been writing for more than {WAIT_FOR_WRITERS_S} s; until "
                "it ends nobody knows what it will post. End it (pg_stat_activity names it), run this again"
            )
        time.sleep(LOOK_EVERY_S)
    return known_at
