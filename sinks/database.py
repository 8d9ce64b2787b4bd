"""Sessions of the sinks: bounded waits, so that neither a lost server nor a stopped process holds locks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import AsyncConnection, sql

from sinks.migrations import check

WRITER_ROLE = "cashback_writer"
DISPATCHER_ROLE = "cashback_dispatcher"
READER_ROLE = "cashback_reader"
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 60
IDLE_IN_TRANSACTION_TIMEOUT_S = 10

_IS_OURS = "SELECT pg_has_role(rolname, 'MEMBER') FROM pg_roles WHERE rolname = %s"


def session_options(application_name: str) -> dict[str, Any]:
    """Keyword arguments of `psycopg.connect` for a session of ours."""
    return {
        "application_name": application_name,
        # A plan kept from when a table was empty would be slow for ever.
        "prepare_threshold": None,
        "connect_timeout": CONNECT_TIMEOUT_S,
        # Seconds; a cut network is noticed within fifteen.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 15_000,
        "options": (
            f"-c statement_timeout={STATEMENT_TIMEOUT_S}s "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_TIMEOUT_S}s "
            "-c timezone=UTC -c client_min_messages=warning -c jit=off "
            # The same for the server: a host that is gone leaves no session, and no lock, behind.
            "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=5"
        ),
    }


@contextmanager
def session(database_url: str, name: str, *, role: str | None = None) -> Iterator[psycopg.Connection]:
    """A session of a command with the tables this code knows, in autocommit, with the rights of `role` only.

    Without a role, or where the server has none of this name, it keeps the rights it came with. Raises
    `WrongSchema` naming the command that helps.
    """
    check(database_url)
    with psycopg.connect(database_url, autocommit=True, **session_options(name)) as connection:
        if role is not None:
            become(connection, role)
        yield connection


def become_writer(connection: psycopg.Connection) -> bool:
    """Keep only the writer's rights (INSERT, SELECT) where the role exists; returns whether it does."""
    return become(connection, WRITER_ROLE)


def become(connection: psycopg.Connection, role: str) -> bool:
    """Keep only the rights of `role` where it exists and is ours to take; returns whether it is."""
    allowed = connection.execute(_IS_OURS, (role,)).fetchone()
    if not allowed or not allowed[0]:
        return False
    connection.execute(_set_role(role))
    return True


async def become_dispatcher(connection: AsyncConnection) -> bool:
    """Keep only the rights of the webhook dispatcher where the role exists; returns whether it does."""
    allowed = await (await connection.execute(_IS_OURS, (DISPATCHER_ROLE,))).fetchone()
    if not allowed or not allowed[0]:
        return False
    await connection.execute(_set_role(DISPATCHER_ROLE))
    return True


def _set_role(role: str) -> sql.Composed:
    return sql.SQL("SET ROLE {}").format(sql.Identifier(role))
