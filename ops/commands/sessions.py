"""The database that a command was given, and sessions with it."""

from contextlib import AbstractContextManager

import psycopg

from ops.running import settings_here
from sinks.books.reading import reading
from sinks.database import session


def database_here(database: str | None) -> str:
    """URL of the database that an option named, else of that of `settings_here`."""
    return settings_here(database_url=database).database_url


def session_here(database: str | None, name: str, *, role: str) -> AbstractContextManager[psycopg.Connection]:
    """As `sinks.database.session`, with `database_here`."""
    return session(database_here(database), name, role=role)


def reading_here(database: str | None, name: str) -> AbstractContextManager[psycopg.Connection]:
    """As `sinks.books.reading.reading`, with `database_here`."""
    return reading(database_here(database), name)
