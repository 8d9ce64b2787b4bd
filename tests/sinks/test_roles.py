"""Who may change what, tried as each role and as an owner who is no superuser, on real PostgreSQL."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from sinks import migrations
from sinks.database import (
    DISPATCHER_ROLE,
    READER_ROLE,
    WRITER_ROLE,
    become,
    become_dispatcher,
    session,
    session_options,
)

Sql = Callable[..., list[tuple[Any, ...]]]

APPEND_ONLY = (
    "accounts", "account_pairs", "purchases", "cashbacks", "entries", "transfers", "reversal_cases",
    "ledger_quarantine", "webhook_messages", "audit_log", "reversal_approvals", "commission_tier_sets",
    "commission_tiers", "merchant_rates", "statements", "vouchers", "voucher_entries",
)  # fmt: skip
FOLLOWING = ("balances", "audit_head")
"""Only triggers change them."""
KEPT = (*APPEND_ONLY, *FOLLOWING)
CHANGES = ("UPDATE {} SET {column} = {column}", "DELETE FROM {}", "TRUNCATE {} CASCADE")


@pytest.fixture
def plain_owner(postgres: Any) -> Iterator[str]:
    """URL of a database that a role without any privilege of the server owns and has migrated."""
    name = f"o{os.urandom(6).hex()}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'own'")
        admin.execute(f"CREATE DATABASE {name} OWNER {name}")
        superuser = psycopg.conninfo.conninfo_to_dict(postgres.url)
        url = f"postgresql://{name}:own@{superuser['host']}:{superuser['port']}/{name}"
        migrations.upgrade(url)
        yield url
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        admin.execute(f"DROP ROLE {name}")


def last_column(connection: psycopg.Connection, table: str) -> str:
    row = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum DESC",
        (table,),
    ).fetchone()
    assert row is not None
    return str(row[0])


def every_change(connection: psycopg.Connection) -> Iterator[bytes]:
    for table in KEPT:
        for change in CHANGES:
            yield change.format(table, column=last_column(connection, table)).encode()


@pytest.mark.parametrize("role", [WRITER_ROLE, DISPATCHER_ROLE, READER_ROLE])
def test_no_role_may_change_what_is_kept(ledger_url: str, role: str) -> None:
    with session(ledger_url, "test") as connection:
        changes = list(every_change(connection))
        assert become(connection, role)
        for change in changes:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(change)


def test_triggers_refuse_an_owner_who_is_no_superuser_and_a_superuser_as_well(
    plain_owner: str, ledger_url: str
) -> None:
    for url in (plain_owner, ledger_url):
        with session(url, "test") as connection:
            for change in every_change(connection):
                with pytest.raises(psycopg.errors.RestrictViolation, match="refused"):
                    connection.execute(change)


def test_an_owner_who_is_no_superuser_cannot_switch_triggers_off_for_a_session(plain_owner: str) -> None:
    with session(plain_owner, "test") as connection:
        assert not become(connection, WRITER_ROLE)  # it is not a member, so it stays the owner
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SET session_replication_role = replica")


@pytest.mark.parametrize(
    ("role", "may_insert"),
    [
        (READER_ROLE, set[str]()),
        (DISPATCHER_ROLE, {"webhook_attempts", "webhook_dispatchers"}),
    ],
)
def test_who_only_looks_or_only_delivers_adds_nothing_to_the_books(
    sql: Sql, role: str, may_insert: set[str]
) -> None:
    tables = sql("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'")
    allowed = {
        table
        for (table,) in tables
        if sql("SELECT has_any_column_privilege(%s, %s::regclass, 'INSERT')", role, table) == [(True,)]
    }
    assert allowed == may_insert


def test_the_reader_reads_everything_but_secrets(ledger_url: str) -> None:
    with session(ledger_url, "test", role=READER_ROLE) as connection:
        relations = connection.execute(
            "SELECT relname FROM pg_class "
            "WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        ).fetchall()
        for (relation,) in relations:
            column = "endpoint_id" if relation == "webhook_endpoints" else "count(*)"
            connection.execute(f"SELECT {column} FROM {relation} LIMIT 1".encode())
        secret = connection.execute(
            "SELECT relname, attname FROM pg_attribute JOIN pg_class ON oid = attrelid"
            " WHERE relnamespace = 'public'::regnamespace AND attname LIKE 'secret%'"
            " AND has_column_privilege(attrelid, attnum, 'SELECT')"
        ).fetchall()
        assert secret == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT secrets FROM webhook_endpoints")


def test_a_table_of_a_later_migration_can_be_read_by_the_reader(sql: Sql, ledger_url: str) -> None:
    sql("CREATE TABLE later (x int)")
    with session(ledger_url, "test", role=READER_ROLE) as connection:
        assert connection.execute("SELECT count(*) FROM later").fetchone() == (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("INSERT INTO later VALUES (1)")


def test_the_dispatcher_takes_its_role_and_cannot_reword_its_log(ledger_url: str) -> None:
    async def as_dispatcher() -> None:
        async with await AsyncConnection.connect(
            ledger_url, autocommit=True, **session_options("test")
        ) as connection:
            assert await become_dispatcher(connection)
            row = await (await connection.execute("SELECT current_user::text")).fetchone()
            assert row == (DISPATCHER_ROLE,)
            for change in ("UPDATE webhook_attempts SET outcome = outcome", "DELETE FROM webhook_attempts"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    await connection.execute(change)

    asyncio.run(as_dispatcher())
