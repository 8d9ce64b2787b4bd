"""Sessions that commands open with the database they were given."""

from contextlib import AbstractContextManager

import psycopg

from ops.running import settings_here
from sinks.database import session


def session_here(database: str | None, name: str, *, role: str) -> AbstractContextManager[psycopg.Connection]:
    """As `sinks.database.session`, with the database that an option named, else that of `settings_here`."""
    return session(settings_here(database_url=database).database_url, name, role=role)
