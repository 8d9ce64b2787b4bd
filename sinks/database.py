"""Sessions of the sinks: bounded waits, so that neither a lost server nor a stopped process holds locks."""

from typing import Any

import psycopg

WRITER_ROLE = "cashback_writer"
CONNECT_TIMEOUT_S = 5
STATEMENT_TIMEOUT_S = 60
IDLE_IN_TRANSACTION_TIMEOUT_S = 10


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
            "-c timezone=UTC -c client_min_messages=warning -c jit=off"
        ),
    }


def become_writer(connection: psycopg.Connection) -> bool:
    """Keep only the writer's rights (INSERT, SELECT) where the role exists; returns whether it does."""
    allowed = connection.execute(
        "SELECT pg_has_role(rolname, 'MEMBER') FROM pg_roles WHERE rolname = %s", (WRITER_ROLE,)
    ).fetchone()
    if not allowed or not allowed[0]:
        return False
    connection.execute(f"SET ROLE {WRITER_ROLE}")
    return True
