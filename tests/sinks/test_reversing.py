"""Reversals as PostgreSQL keeps them: what a wallet lacks is owed, nobody reverses twice, the books agree."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from io import BytesIO
from typing import Any

import psycopg
import pytest
from confluent_kafka import Message
from fastavro import schemaless_writer

from schemas import ids
from schemas.codec import encode
from schemas.errors import Rejected
from schemas.registry import locked_schemas
from schemas.times import DAY
from sinks.books.issuing import Wanted, issue
from sinks.ledger.known import Known
from sinks.ledger.posting import claims
from sinks.ledger.staging import Created, Reading, Reversed, read
from sinks.reconcile import reconcile
from sinks.vouchers import issuing as vouchers
from sinks.vouchers.issuing import Order
from tests.eventually import eventually
from tests.sinks.test_posting import Book, Event, balances, cleared, created, reverted, transfers

Sql = Callable[..., list[tuple[Any, ...]]]

WHO = {"actor": "ann", "second_actor": None, "note": "returned in May"}


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def reversed_(event: Event, **changes: Any) -> Event:
    case = ids.reversal_case_id(event[1]["cashback_transaction_id"])
    return reverted(event, **{"reason": "REVERSED", "case_id": case, **WHO, **changes})


def spend(ledger_url: str, price: int) -> None:
    with psycopg.connect(ledger_url) as connection:
        _spend(connection, price)


def _spend(connection: psycopg.Connection, price: int) -> None:
    order = Order("shop", "ann", "EUR", price, price, "EUR")
    vouchers.issue(connection, order, actor="till", reason="asked for it")


def proofs(ledger_url: str, sql: Sql) -> list[Any]:
    """What does not add up."""
    drifts = sql("SELECT kind FROM account_proofs WHERE kept IS DISTINCT FROM proved")
    return [*drifts, *(line for line in reconcile(ledger_url) if line.proof)]


def test_a_reversal_takes_the_reward_from_the_wallet_and_the_commission_from_revenue(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(created(), cleared(created()))
    assert book.post(reversed_(created(), second_actor="bob")).entries == 1
    assert transfers(sql)[4:] == [
        ("reversed", "member:wallet", "merchant:funding", 1_999),
        ("reversed", "commission:revenue", "merchant:funding", 199),
    ]
    assert set(balances(sql).values()) == {0}
    assert "member:receivable" not in balances(sql)
    assert sql("SELECT state FROM cashback_states") == [("REVERTED",)]
    case = ids.reversal_case_id(created()[1]["cashback_transaction_id"])
    assert sql("SELECT case_id, actor, second_actor, reason, note FROM entries WHERE step = 3") == [
        (case, "ann", "bob", "REVERSED", "returned in May")
    ]
    assert sum(line.reversed for line in reconcile(ledger_url)) == 1_999
    assert proofs(ledger_url, sql) == []


def test_what_an_emptied_wallet_lacks_is_owed_and_the_books_prove_it(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(created(), cleared(created()))
    spend(ledger_url, 1_500)
    book.post(reversed_(created()))
    assert transfers(sql)[4:] == [
        ("reversed", "member:wallet", "merchant:funding", 499),
        ("reversed", "commission:revenue", "merchant:funding", 199),
        ("reversed", "member:receivable", "merchant:funding", 1_500),
    ]
    assert balances(sql)["member:wallet"] == 0
    assert balances(sql)["member:receivable"] == -1_500
    assert sum(balances(sql).values()) == 0
    assert proofs(ledger_url, sql) == []


def test_a_statement_says_what_was_reversed_on_both_sides(book: Book, ledger_url: str) -> None:
    book.post(created(), cleared(created()))
    book.post(reversed_(created(), timestamp=created()[1]["timestamp"] + 20 * DAY))
    said = issue(ledger_url, Wanted(date(2023, 11, 14), date(2023, 12, 4)))
    of_day = [each for each in said if each.day == date(2023, 12, 4)]
    assert {each.side for each in of_day} == {"merchant", "publisher"}
    for each in of_day:
        assert (each.reversed, each.opening_earned, each.closing_earned) == (1_999, 1_999, 0)
        assert (each.commission_reversed, each.closing_commission) == (199, 0)


def test_who_owes_and_earns_again_has_it_in_the_wallet(book: Book, sql: Sql, ledger_url: str) -> None:
    book.post(created(), cleared(created()))
    spend(ledger_url, 1_999)
    book.post(reversed_(created()), created("order-2", 500), cleared(created("order-2", 500)))
    assert balances(sql)["member:wallet"] == 500
    assert balances(sql)["member:receivable"] == -1_999
    assert proofs(ledger_url, sql) == []


def test_in_one_batch_all_happens_in_the_order_of_the_log(book: Book, sql: Sql, ledger_url: str) -> None:
    first, anew = created(), created(sequence=2, amount=1_000)
    book.post(first, cleared(first))
    spend(ledger_url, 1_999)
    book.post(reversed_(first), anew, cleared(anew))
    whole = created("order-3")
    book.post(whole, cleared(whole), reversed_(whole))
    assert balances(sql)["member:wallet"] == 1_000
    assert balances(sql)["member:receivable"] == -1_999
    assert proofs(ledger_url, sql) == []


def test_a_reversal_waits_for_who_is_spending_and_takes_what_is_left(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(created(), cleared(created()))
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%lock_bal%%'"
    with ThreadPoolExecutor(1) as poster, psycopg.connect(ledger_url) as spender:
        spender.execute("SELECT 1")  # one transaction until the commit
        _spend(spender, 1_200)
        running = poster.submit(book.post, reversed_(created()))
        eventually(lambda: bool(sql(waiting)), timeout_s=15)
        assert not running.done()
        spender.commit()
    assert running.result().entries == 1
    assert balances(sql)["member:wallet"] == 0
    assert balances(sql)["member:receivable"] == -1_200
    assert proofs(ledger_url, sql) == []


def test_who_spends_while_it_is_reversed_waits_and_then_finds_nothing(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(created(), cleared(created()))
    wallet = "SELECT array_agg(account_id) FROM accounts WHERE kind = 'member:wallet'"
    waiting = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%transfers%%'"
    with ThreadPoolExecutor(1) as spender, psycopg.connect(ledger_url) as reverser:
        reverser.execute(f"SELECT * FROM lock_balances(({wallet}))")
        running = spender.submit(spend, ledger_url, 1)
        eventually(lambda: bool(sql(waiting)), timeout_s=15)
        reverser.rollback()
        running.result()
    book.post(reversed_(created()))
    assert balances(sql)["member:receivable"] == -1
    with pytest.raises(Rejected, match="price"):
        spend(ledger_url, 1)


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([created(), reversed_(created())], "not_cleared"),
        ([created(), reverted(created()), reversed_(created())], "not_cleared"),
        ([reversed_(created())], "created_missing"),
        ([created(), cleared(created()), reversed_(created()), reversed_(created(), note="x")], "conflict"),
        ([created(), cleared(created()), reversed_(created(), partner_id="other")], "conflict"),
        ([created(), cleared(created()), reversed_(created(), actor=None)], "invalid"),
        ([created(), cleared(created()), reversed_(created(), note=None)], "invalid"),
        ([created(), cleared(created()), reversed_(created(), case_id=None)], "invalid"),
        ([created(), cleared(created()), reversed_(created(), note="a\0b")], "invalid"),
        ([created(), cleared(created()), reverted(created())], "resolved_otherwise"),
    ],
)
def test_what_is_no_reversal_of_what_cleared_is_quarantined(
    book: Book, sql: Sql, events: list[Event], reason: str
) -> None:
    posted = book.post(*events, created("another"))
    assert (posted.refused, posted.entries) == (1, len(events))
    assert sql("SELECT reason FROM ledger_quarantine") == [(reason,)]


def test_the_same_reversal_again_changes_nothing_and_opens_no_account(book: Book, sql: Sql) -> None:
    book.post(created(), cleared(created()))
    book.post(reversed_(created()))
    before = [sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("accounts", "transfers", "balances")]
    again = book.post(reversed_(created()), reversed_(created()))
    assert (again.entries, again.repeated, again.refused) == (0, 2, 0)
    after = [sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("accounts", "transfers", "balances")]
    assert after == before


def test_the_database_takes_no_reversal_without_somebody_and_a_reason(book: Book, sql: Sql) -> None:
    book.post(created(), cleared(created()))
    insert = """
        INSERT INTO entries (cashback_no, transition, step, event_id, event_at, payload_hash, reason, case_id,
            actor, note)
        SELECT cashback_no, 'reversed', 3, 'evt', now(), 'x', %s, 'rvc', %s, %s FROM cashbacks"""
    for values in (("REVERSED", None, "why"), ("REVERSED", "ann", None), (None, "ann", "why")):
        with pytest.raises(psycopg.errors.CheckViolation, match="reversed_by_somebody"):
            sql(insert, *values)


def test_a_writer_locks_balances_only_through_the_function_made_for_it(book: Book) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        book.connection.execute("SELECT * FROM balances FOR UPDATE")
    assert book.connection.execute("SELECT * FROM lock_balances(ARRAY[]::bigint[])").fetchall() == []


def case(record_version: int, **changes: Any) -> bytes:
    """A case as a version of the schema writes it."""
    cashback = created()[1]
    datum = {name: cashback[name] for name in cashback if name not in ("event_id", "timestamp", "source")}
    datum |= {"case_id": "rvc_1", "revision": 1, "opened_at": cashback["timestamp"], "shortfall": 20}
    datum |= {"updated_at": cashback["timestamp"], "net_minor": 300, "cause": "REFUNDED", **changes}
    if record_version > 1:
        datum = {"state": "OPEN", "actor": None, "second_actor": None, "note": None} | datum
    schema = next(s for s in locked_schemas() if (s.record, s.version) == ("ReversalCase", record_version))
    out = BytesIO(b"\0" + schema.schema_id.to_bytes(4, "big"))
    out.seek(5)
    schemaless_writer(out, schema.parsed(), datum)
    return out.getvalue()


def test_a_case_that_older_code_wrote_is_the_same_when_it_is_decided_anew(book: Book, sql: Sql) -> None:
    book.post(case(1))
    book.post(case(2), case(2, revision=2, state="APPROVED", actor="ann", note="so", cause="DECIDED"))
    book.post(case(2, case_id="rvc_2", shortfall=0))
    assert sql("SELECT count(*) FROM ledger_quarantine") == [(0,)]
    assert sql("SELECT case_id, revision, state, actor, note FROM reversal_cases_now ORDER BY 1") == [
        ("rvc_1", 2, "APPROVED", "ann", "so"),
        ("rvc_2", 1, "MADE_GOOD", None, None),
    ]


def test_creations_are_looked_through_once_however_much_of_the_batch_is_taken_back() -> None:
    looks = 0

    class Counted(list[Created]):
        def __iter__(self) -> Iterator[Created]:
            nonlocal looks
            looks += 1
            return super().__iter__()

    def read_of(event: Event) -> Reading:
        return read(Message(topic="events", partition=0, offset=0, value=encode(*event)))

    events = [created(f"order-{number}", 100 + number) for number in range(20)]
    begun = Counted(each for each in map(read_of, events) if isinstance(each, Created))
    backs = [each for each in map(read_of, map(reversed_, events)) if isinstance(each, Reversed)]
    accounts = {each.owners: (1, 2, 3, 4, 5) for each in begun}
    looks = 0
    found = list(claims(backs, begun, Known(), accounts))
    assert [claim.amount for claim in found] == [100 + number for number in range(20)]
    assert looks == 1
