"""Sessions that only look: one moment for everything they say, and no right to write."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import IsolationLevel

from sinks.database import READER_ROLE, session

PATIENCE = "10min"
ROWS_AT_ONCE = 2_000


@contextmanager
def reading(database_url: str, name: str) -> Iterator[psycopg.Connection]:
    """A transaction that writes nothing and sees the database as it is now, until it ends.

    Raises `WrongSchema` naming the command that helps.
    """
    with session(database_url, name, role=READER_ROLE) as connection:
        # Whoever pages through a long answer may take a while over it.
        connection.execute(f"SET statement_timeout = '{PATIENCE}'")
        connection.execute(f"SET idle_in_transaction_session_timeout = '{PATIENCE}'")
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            yield connection
