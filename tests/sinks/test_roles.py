"""Who may change what, tried as each role and as an owner who is no superuser, on real PostgreSQL."""

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from psycopg import AsyncConnection

from sinks import audit, migrations
from sinks.database import (
    DISPATCHER_ROLE,
    READER_ROLE,
    WRITER_ROLE,
    become,
    become_dispatcher,
    session,
    session_options,
)
from tests.sinks.append_only import CHANGES
from tests.sinks.test_posting import Book, cleared, created

Sql = Callable[..., list[tuple[Any, ...]]]

APPEND_ONLY = (
    "accounts", "account_pairs", "purchases", "cashbacks", "entries", "transfers", "reversal_cases",
    "ledger_quarantine", "webhook_messages", "audit_log", "reversal_approvals", "commission_tier_sets",
    "commission_tiers", "merchant_rates", "statements", "vouchers", "voucher_entries",
)  # fmt: skip
FOLLOWING = ("balances", "audit_head")
"""Only triggers change them."""
KEPT = (*APPEND_ONLY, *FOLLOWING)


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


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def last_column(connection: psycopg.Connection, table: str) -> str:
    row = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum DESC",
        (table,),
    ).fetchone()
    assert row is not None
    return str(row[0])


def act(connection: psycopg.Connection) -> audit.Mark:
    with connection.transaction():
        return audit.record(
            connection, actor="dora", action="tiers.set", subject="tiers 1", reason="new", details={}
        )


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


SHADOWS = (
    "CREATE TEMP TABLE balances (account_id bigint, balance bigint)",
    "CREATE TEMP TABLE audit_head (audit_no bigint, hash bytea)",
    "INSERT INTO pg_temp.audit_head VALUES (0, decode(repeat('00', 32), 'hex'))",
    "CREATE TEMP TABLE entries (entry_id bigint, cashback_no bigint)",
    "INSERT INTO pg_temp.entries VALUES (404, 1)",
)
"""What stands in front of the books for whoever does not say where to look."""


def test_tables_of_a_writers_own_never_stand_in_for_the_books(book: Book, ledger_url: str) -> None:
    event = created("order-1", 1_000)
    book.post(event, cleared(event))
    answer = book.connection.execute("SELECT wallet_account, funding_account FROM cashbacks").fetchone()
    assert answer is not None
    wallet, funding = answer
    with session(ledger_url, "test") as connection:
        connection.execute("INSERT INTO account_pairs VALUES (%s, %s, 'EUR')", (wallet, funding))
        act(connection)
        become(connection, WRITER_ROLE)
        for shadow in SHADOWS:
            connection.execute(shadow.encode())
        transfer = (
            "INSERT INTO public.transfers SELECT max(entry_id), 9, %s, %s, 'EUR', 1001 FROM public.entries"
        )
        with pytest.raises(psycopg.errors.CheckViolation, match="balance_not_overdrawn"):
            connection.execute(transfer, (wallet, funding))
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="parent that does not exist"):
            connection.execute(
                "INSERT INTO public.transfers VALUES (404, 1, %s, %s, 'EUR', 1)", (wallet, funding)
            )
        held = connection.execute("SELECT balance FROM lock_balances(%s::bigint[])", ([wallet],)).fetchall()
        assert held == [(1_000,)]
        assert act(connection).audit_no == 2
    with session(ledger_url, "test") as connection:
        assert audit.verify(connection).broken is None


def test_functions_with_their_owners_rights_look_nowhere_but_in_the_books(sql: Sql) -> None:
    found = sql(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"
    )
    assert len(found) >= 5
    for name, settings in found:
        assert "search_path=public, pg_temp" in settings, name


def test_secrets_and_addresses_of_webhooks_are_the_owners_alone(sql: Sql) -> None:
    def allowed(role: str, right: str) -> set[str]:
        rows = sql(
            "SELECT attname FROM pg_attribute WHERE attrelid = 'webhook_endpoints'::regclass AND attnum > 0"
            " AND NOT attisdropped AND has_column_privilege(%s, attrelid, attnum, %s)",
            role,
            right,
        )
        return {name for (name,) in rows}

    outcome = {"failing_since", "paused_until", "disabled_at", "disabled_reason"}
    assert allowed(DISPATCHER_ROLE, "UPDATE") == outcome
    assert allowed(WRITER_ROLE, "SELECT").isdisjoint({"secrets", "url"})
    assert allowed(WRITER_ROLE, "UPDATE") == allowed(READER_ROLE, "UPDATE") == set()
