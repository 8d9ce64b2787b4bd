"""Tables whose rows nobody changes, tried by whoever owns them and by the writer."""

from collections.abc import Callable, Iterable
from typing import Any

import psycopg
import pytest

CHANGES = ("UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {} CASCADE")


def is_refused(change: str, sql: Callable[..., list[tuple[Any, ...]]], writer: psycopg.Connection) -> None:
    """Asserts that a trigger stops the owner (`sql`), and that the writer lacks the right."""
    with pytest.raises(psycopg.errors.RestrictViolation, match="refused"):
        sql(change)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        writer.execute(change.encode())


def are_append_only(
    tables: Iterable[tuple[str, str]],
    sql: Callable[..., list[tuple[Any, ...]]],
    writer: psycopg.Connection,
) -> None:
    """Asserts that each table, given with a column of it, takes none of `CHANGES`."""
    for table, column in tables:
        for change in CHANGES:
            is_refused(change.format(table, column=column), sql, writer)
