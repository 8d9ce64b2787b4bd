"""A ledger whose tables came back without their sequences is refused before a number is given twice."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from ops.settings import Settings
from sinks.belonging import Unsound
from sinks.database import WRITER_ROLE, session
from sinks.ledger.consumer import LedgerWork
from sinks.positions import Positions
from sinks.vouchers.issuing import Order, issue
from tests.sinks.test_posting import Book, created

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def connection(ledger_url: str) -> Iterator[psycopg.Connection]:
    with session(ledger_url, "test", role=WRITER_ROLE) as opened:
        yield opened


@pytest.fixture(autouse=True)
def posted(ledger_url: str) -> None:
    book = Book(ledger_url)
    book.post(created())
    book.connection.close()


def prepare(connection: psycopg.Connection) -> None:
    LedgerWork(Settings()).prepare(connection, Positions(sink="ledger", instance="one", stale_ms=10_000))


def test_numbers_of_vouchers_that_moved_nothing_are_taken_as_well(
    connection: psycopg.Connection, sql: Sql
) -> None:
    [(before,)] = sql("SELECT max(entry_id) FROM entries")
    gift = Order("shop", "ann", "EUR", price=0, amount=500, currency="EUR")
    issue(connection, gift, actor="dora", reason="a gift")
    [(number,)] = sql("SELECT voucher_no FROM vouchers")
    sql("SELECT setval('entry_ids', %s)", before)
    with pytest.raises(Unsound, match=rf"entry_ids stands at {before}, but number {number} is taken"):
        prepare(connection)
    sql("SELECT setval('entry_ids', %s)", number)
    prepare(connection)


def test_numbers_of_accounts_go_on_where_the_accounts_end(connection: psycopg.Connection, sql: Sql) -> None:
    prepare(connection)
    [(last,)] = sql("SELECT max(account_id) FROM accounts")
    sql("SELECT setval(pg_get_serial_sequence('accounts', 'account_id'), 1, false)")
    with pytest.raises(Unsound, match=rf"accounts_account_id_seq stands at 0, but number {last} is taken"):
        prepare(connection)
