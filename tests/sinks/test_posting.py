"""The ledger as PostgreSQL keeps it: one batch after the other, without a broker."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message

from schemas.codec import encode
from sinks.database import become_writer, session_options
from sinks.ledger.bench import created_event, resolved
from sinks.ledger.posting import Batch, Ledger, Posted
from sinks.positions import Positions, Superseded
from sinks.reconcile import reconcile
from tests.sinks.append_only import CHANGES, is_refused

Sql = Callable[..., list[tuple[Any, ...]]]
Event = tuple[str, dict[str, Any]]


class Book:
    """A ledger that posts events given as records."""

    def __init__(self, url: str, name: str = "one") -> None:
        self.connection = psycopg.connect(url, autocommit=True, **session_options("test"))
        self.positions = Positions(sink="ledger", instance=name, stale_ms=10_000)
        self.positions.load(self.connection, {("events", 0): 0})
        become_writer(self.connection)
        self.ledger = Ledger(self.connection, self.positions)

    def post(self, *events: Event | bytes) -> Posted:
        start = self.positions.next_offsets["events", 0]
        batch = Batch(1_000)
        for offset, event in enumerate(events, start):
            value = event if isinstance(event, bytes) else encode(*event)
            batch.add(Message(topic="events", partition=0, offset=offset, key=b"k", value=value))
        return self.ledger.post(batch)


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def created(reference: str = "order-1", amount: int = 1_999, **changes: Any) -> Event:
    member = changes.pop("member_id", "ann")
    return "CashbackCreated", created_event("shop", member, reference, amount, **changes)


def cleared(event: Event, **changes: Any) -> Event:
    return "CashbackCleared", resolved(event[1], "cleared", **changes)


def reverted(event: Event, **changes: Any) -> Event:
    return "CashbackReverted", resolved(event[1], "reverted", **changes)


def transfers(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("""
        SELECT transition::text, debit.kind::text, credit.kind::text, amount FROM transfers
        JOIN entries USING (entry_id) JOIN accounts AS debit ON debit.account_id = debit_account
        JOIN accounts AS credit ON credit.account_id = credit_account ORDER BY entry_id, leg""")


def balances(sql: Sql) -> dict[str, int]:
    return dict(
        sql("SELECT kind::text, sum(balance)::int FROM balances JOIN accounts USING (account_id) GROUP BY 1")
    )


def test_a_cashback_that_clears_moves_from_the_merchant_to_the_wallet_and_commission_to_revenue(
    book: Book, sql: Sql
) -> None:
    assert book.post(created(), cleared(created())).entries == 2
    assert transfers(sql) == [
        ("created", "merchant:funding", "member:pending", 1_999),
        ("created", "merchant:funding", "commission:pending", 199),
        ("cleared", "member:pending", "member:wallet", 1_999),
        ("cleared", "commission:pending", "commission:revenue", 199),
    ]
    assert balances(sql) == {
        "merchant:funding": -2_198,
        "commission:pending": 0,
        "commission:revenue": 199,
        "member:pending": 0,
        "member:wallet": 1_999,
    }


def test_a_cashback_that_is_reverted_gives_everything_back(book: Book, sql: Sql) -> None:
    book.post(created())
    book.post(reverted(created()))
    assert transfers(sql)[2:] == [
        ("reverted", "member:pending", "merchant:funding", 1_999),
        ("reverted", "commission:pending", "merchant:funding", 199),
    ]
    assert set(balances(sql).values()) == {0}
    assert sql("SELECT state, commission_bps FROM cashback_states") == [("REVERTED", 1_000)]


def test_a_commission_of_nothing_is_not_transferred(book: Book, sql: Sql) -> None:
    book.post(created(amount=9))
    assert transfers(sql) == [("created", "merchant:funding", "member:pending", 9)]


def test_an_entry_keeps_what_the_credit_log_needs(book: Book, sql: Sql) -> None:
    book.post(created(webhook_id="wh_1", receipt_id=None))
    columns = "event_id, event_at, basket_minor, employee_id, receipt_id, webhook_id, posted_at > event_at"
    event = created()[1]
    row = sql(f"SELECT {columns} FROM entries")[0]
    assert row[0] == event["event_id"]
    assert row[1].timestamp() * 1_000_000 == event["timestamp"]
    assert row[2:] == (199_900, "till-7", None, "wh_1", True)


def test_live_and_test_share_no_account(book: Book, sql: Sql) -> None:
    book.post(created(), created(livemode=False))
    assert sql("SELECT livemode, count(*) FROM accounts GROUP BY 1 ORDER BY 1") == [(False, 5), (True, 5)]


def contents(sql: Sql) -> list[list[tuple[Any, ...]]]:
    return [sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("entries", "transfers", "balances")]


def test_the_same_batch_again_adds_nothing(book: Book, sql: Sql) -> None:
    events = [created(), cleared(created()), created("order-2"), reverted(created("order-2"))]
    book.post(*events)
    before = contents(sql)
    again = book.post(*events)
    assert (again.entries, again.repeated, again.refused) == (0, 4, 0)
    assert contents(sql) == before


def test_the_same_event_twice_in_one_batch_counts_once(book: Book) -> None:
    posted = book.post(created(), created(), cleared(created()), cleared(created()))
    assert (posted.entries, posted.repeated, posted.refused) == (2, 2, 0)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([created(), created(amount=2_000)], "conflict"),
        ([created(), cleared(created()), cleared(created(), timestamp=1_800_000_000_000_000)], "conflict"),
        ([created(), created(silent=True)], "conflict"),
        ([created(), cleared(created()), reverted(created())], "resolved_otherwise"),
        ([created(), cleared(created(), partner_id="other")], "conflict"),
        ([cleared(created())], "created_missing"),
        ([created(), created(member_id="bob")], "reference_taken"),
        ([created(currency="CHF")], "invalid"),
        ([created(amount=0)], "invalid"),
        ([created(timestamp=1_700_000_000)], "invalid"),
        ([created(receipt_id="a\0b")], "invalid"),
        ([created("x" * 5_000)], "invalid"),
        ([b"\0\0\0\0\x63truncated"], "undecodable"),
        ([("Tick", {"emitted_at": 1})], "unexpected_record"),
    ],
)
def test_what_cannot_be_posted_is_quarantined_with_its_bytes_and_the_rest_goes_on(
    book: Book, sql: Sql, events: list[Event | bytes], reason: str
) -> None:
    posted = book.post(*events, created("another"))
    assert posted.refused == 1
    assert posted.entries == len(events)
    last = events[-1]
    assert sql(
        "SELECT topic, partition, record_offset, reason, record_key, record_value FROM ledger_quarantine"
    ) == [("events", 0, len(events) - 1, reason, b"k", last if isinstance(last, bytes) else encode(*last))]


def test_everything_of_the_second_member_who_claims_a_reference_is_quarantined(book: Book, sql: Sql) -> None:
    book.post(created())
    taken = created(member_id="bob")
    posted = book.post(taken, cleared(taken), created(program_id="campaign-2", member_id="bob"))
    assert (posted.entries, posted.refused) == (0, 3)
    assert {member for (member,) in sql("SELECT member_id FROM accounts WHERE member_id IS NOT NULL")} >= {
        "ann"
    }
    assert sql("SELECT member_id FROM purchases") == [("ann",)]


def test_what_the_database_itself_refuses_is_found_and_quarantined_alone(book: Book, sql: Sql) -> None:
    sql("ALTER TABLE entries ADD CHECK (receipt_id <> 'poison')")
    posted = book.post(*(created(f"order-{n}", receipt_id="poison" if n == 5 else f"r{n}") for n in range(9)))
    assert (posted.entries, posted.refused) == (8, 1)
    assert sql("SELECT record_offset, reason FROM ledger_quarantine") == [(5, "refused_by_database")]


def test_a_batch_that_fails_leaves_the_offsets_where_they_were(book: Book, sql: Sql) -> None:
    sql("ALTER TABLE transfers RENAME TO mislaid")
    with pytest.raises(psycopg.errors.UndefinedTable):
        book.post(created())
    assert sql("SELECT next_offset FROM sink_positions") == [(0,)]
    sql("ALTER TABLE mislaid RENAME TO transfers")
    assert book.post(created()).entries == 1


def test_an_older_instance_stops_at_the_first_statement(book: Book, ledger_url: str, sql: Sql) -> None:
    newer = Book(ledger_url, "newer")
    newer.post(created())
    with pytest.raises(Superseded):
        book.post(created(), created("order-2"))
    newer.connection.close()
    assert sql("SELECT count(*) FROM entries") == [(1,)]


def test_whoever_was_taken_over_posts_nothing_more_also_where_nothing_has_moved(
    book: Book, ledger_url: str, sql: Sql
) -> None:
    newer = Book(ledger_url, "newer")
    with pytest.raises(Superseded):
        book.post(created())
    assert sql("SELECT count(*) FROM entries") == [(0,)]
    assert newer.post(created()).entries == 1
    newer.connection.close()


@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_what_was_posted(book: Book, sql: Sql, change: str) -> None:
    book.post(created())
    for table in ("entries", "transfers", "cashbacks", "purchases", "accounts", "account_pairs", "balances"):
        column = sql("SELECT column_name FROM information_schema.columns WHERE table_name = %s", table)[0][0]
        is_refused(change.format(table, column=column), sql, book.connection)


def test_a_row_without_its_parent_and_a_transfer_of_another_asset_are_refused(book: Book, sql: Sql) -> None:
    book.post(created())
    debit, credit = sql("SELECT debit_account, credit_account FROM transfers WHERE leg = 1")[0]
    insert = "INSERT INTO transfers VALUES (%s, 3, %s, %s, %s, 5)"
    for orphan in (
        "INSERT INTO entries SELECT 77, 88, transition, step, event_id, event_at, now(), 'x' FROM entries",
        'INSERT INTO cashbacks SELECT (jsonb_populate_record(cashbacks, \'{"cashback_no": 77, "cashback_id": '
        '"c", "purchase_no": 88}\')).* FROM cashbacks',
    ):
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="parent that does not exist"):
            sql(orphan)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="parent that does not exist"):
        sql(insert, 999_999, debit, credit, "EUR")
    entry = sql("SELECT entry_id FROM entries")[0][0]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sql(insert, entry, debit, credit, "USD")
    with pytest.raises(psycopg.errors.CheckViolation, match="balance_not_overdrawn"):
        sql("INSERT INTO transfers VALUES (%s, 3, %s, %s, 'EUR', 99999)", entry, credit, debit)


def test_reconciliation_proves_itself_and_shows_every_tampering(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    sql("INSERT INTO merchants VALUES ('grocer', 'America/New_York')")
    first, second = created(), created("order-2", 500)
    book.post(first, second, cleared(first), reverted(second), created("order-3", 70, currency="XXX"))
    lines = {(line.asset, str(line.day)): line for line in reconcile(ledger_url)}
    day_one, day_two = lines["EUR", "2023-11-14"], lines["EUR", "2023-11-28"]
    assert (day_one.created, day_one.pending, day_one.commission) == (2_499, 2_499, 0)
    assert (day_two.cleared, day_two.reverted, day_two.pending, day_two.commission) == (1_999, 500, 0, 199)
    assert lines["XXX", "2023-11-14"].pending == 70
    assert [line.proof for line in lines.values()] == [0, 0, 0]
    tamperings = [
        "UPDATE transfers SET amount = amount + 1 WHERE leg = 2",
        "UPDATE balances SET balance = balance + 1 WHERE account_id = (SELECT max(account_id) FROM balances)",
        "UPDATE balances SET balance = balance - 1 WHERE account_id = (SELECT min(account_id) FROM balances)",
        "DELETE FROM transfers WHERE ctid = (SELECT min(ctid) FROM transfers)",
        "DELETE FROM entries WHERE entry_id = (SELECT max(entry_id) FROM entries)",
        "DELETE FROM cashbacks WHERE amount = 500",
        "DELETE FROM balances WHERE account_id = (SELECT max(account_id) FROM balances)",
        "UPDATE transfers SET credit_account = debit_account WHERE leg = 1",
        "DELETE FROM entries; DELETE FROM transfers; UPDATE balances SET balance = 0",
    ]
    for tampering in tamperings:
        with psycopg.connect(ledger_url) as connection:
            connection.execute(b"SET session_replication_role = replica")  # what a superuser could do
            connection.execute(tampering.encode())
            row = connection.execute("SELECT coalesce(sum(proof), 0) FROM reconciliation").fetchone()
            connection.rollback()
        assert row is not None
        assert row[0] > 0, tampering
