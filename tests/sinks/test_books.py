"""Reconciliation by partner and day, statements and their revisions, balances as they were known."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from itertools import pairwise
from typing import Any

import psycopg
import pytest

from schemas.errors import Rejected
from sinks.books.balances import Holder, balances_of
from sinks.books.issuing import NotIssued, issue
from sinks.books.issuing import Wanted as ToIssue
from sinks.books.reading import reading
from sinks.books.statements import Statement, Wanted, statement_and_revisions, statements
from sinks.ledger.bench import created_event
from sinks.reconcile import Line, Reconciliation, Total
from sinks.reconcile import Wanted as Lines
from tests.eventually import eventually
from tests.sinks.test_posting import Book, Event, cleared, reverted
from tests.sinks.test_reversing import reversed_

Sql = Callable[..., list[tuple[Any, ...]]]
DAY_US = 86_400_000_000
FIRST = date(2023, 11, 14)


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def bought(
    reference: str, amount: int, *, day: int = 0, partner: str = "bank", merchant: str = "grocer", **also: Any
) -> Event:
    """A cashback created so many days after the first."""
    event = created_event(
        partner, also.pop("member_id", "ann"), reference, amount, merchant_id=merchant, **also
    )
    return "CashbackCreated", event | {"timestamp": event["timestamp"] + day * DAY_US}


def reconciled(url: str, wanted: Lines) -> tuple[list[Line], list[Total]]:
    with reading(url, "test") as connection:
        found = Reconciliation(connection, wanted)
        return list(found.lines()), found.totals()


def test_a_partner_or_a_merchant_is_reconciled_alone_and_a_total_ends_each_asset(
    book: Book, ledger_url: str
) -> None:
    shop = bought("order-1", 500, partner="shop", day=1)
    book.post(
        bought("order-1", 1_000),
        shop,
        bought("order-2", 40, currency="XXX"),
        bought("order-1", 7, livemode=False),
        bought("order-9", 90, merchant="baker", day=1),
        reverted(shop),
    )
    lines, totals = reconciled(ledger_url, Lines(merchant_id="grocer"))
    assert [(line.livemode, line.asset, str(line.day), line.created, line.pending) for line in lines] == [
        (True, "EUR", "2023-11-14", 1_000, 1_000),
        (True, "EUR", "2023-11-15", 500, 1_500),
        (True, "EUR", "2023-11-29", 0, 1_000),
        (True, "XXX", "2023-11-14", 40, 40),
        (False, "EUR", "2023-11-14", 7, 7),
    ]
    assert totals == [
        Total(True, "EUR", created=1_500, reverted=500, pending=1_000),
        Total(True, "XXX", created=40, pending=40),
        Total(False, "EUR", created=7, pending=7),
    ]
    of_shop, totals = reconciled(ledger_url, Lines(partner_id="shop"))
    assert [(line.created, line.reverted, line.pending, line.proof) for line in of_shop] == [
        (500, 0, 500, 0),
        (0, 500, 0, 0),
    ]
    assert totals == [Total(True, "EUR", created=500, reverted=500)]


def test_days_are_inclusive_and_what_was_pending_before_them_is_in_the_total(
    book: Book, ledger_url: str
) -> None:
    book.post(
        *(bought(f"order-{day}", 10**day, day=day) for day in range(4)), bought("b", 7, merchant="baker")
    )
    lines, totals = reconciled(ledger_url, Lines(since=date(2023, 11, 15), until=date(2023, 11, 16)))
    assert [(line.merchant_id, str(line.day), line.pending) for line in lines] == [
        ("grocer", "2023-11-15", 11),
        ("grocer", "2023-11-16", 111),
    ]
    assert totals == [Total(True, "EUR", created=110, pending=118)]


def issued(url: str, first: date = FIRST, last: date | None = None) -> list[Statement]:
    return issue(url, ToIssue(first, last or first))


def now(url: str, **wanted: Any) -> list[Statement]:
    with reading(url, "test") as connection:
        return list(statements(connection, Wanted(**wanted)))


SUMS: tuple[str, ...] = (
    "created",
    "cleared",
    "reverted",
    "reversed",
    "closing_pending",
    "closing_commission_pending",
)
SUMS += ("commission_created", "commission_cleared", "commission_reverted", "commission_reversed", "entries")


def test_both_sides_of_a_day_add_up_to_the_same(book: Book, ledger_url: str) -> None:
    events = [
        bought(
            f"order-{n}",
            100 + n,
            day=n % 3,
            partner=f"partner-{n % 2}",
            merchant=f"merchant-{n % 5}",
            currency=("EUR", "USD")[n % 7 == 0],
            livemode=n % 4 != 0,
        )
        for n in range(60)
    ]
    book.post(*events, *(cleared(each) for each in events[::3]), *(reverted(each) for each in events[1::3]))
    issued(ledger_url, FIRST, date(2023, 12, 31))
    sums: dict[str, dict[tuple[Any, ...], list[int]]] = {"merchant": {}, "publisher": {}}
    for each in now(ledger_url):
        group = sums[each.side].setdefault((each.livemode, each.asset, each.day), [0] * len(SUMS))
        for index, name in enumerate(SUMS):
            group[index] += getattr(each, name)
    # A party's first statement is of the day of its first entry: a day of the one side is on the other too.
    assert sums["merchant"] == sums["publisher"]
    moved = [sum(group[0] for group in side.values()) for side in sums.values()]
    assert moved == [sum(event["amount"] for _, event in events)] * 2


def test_a_statement_goes_on_where_the_day_before_ended(book: Book, ledger_url: str) -> None:
    first, second = bought("order-1", 1_000), bought("order-2", 400, day=1)
    book.post(first, second, cleared(first), reverted(second))
    issued(ledger_url, FIRST, date(2023, 11, 30))
    chain = now(ledger_url, merchant_id="grocer")
    assert len(chain) == 17
    for before, after in pairwise(chain):
        for balance in ("pending", "earned", "commission_pending", "commission"):
            assert getattr(after, f"opening_{balance}") == getattr(before, f"closing_{balance}")
    last = chain[-1]
    assert (last.closing_pending, last.closing_earned, last.closing_commission) == (0, 1_000, 100)
    assert [(each.day.day, each.cleared, each.reverted) for each in chain if each.entries] == [
        (14, 0, 0),
        (15, 0, 0),
        (28, 1_000, 0),
        (29, 0, 400),
    ]


def test_a_late_entry_revises_its_day_and_the_days_after_and_says_what_changed(
    book: Book, ledger_url: str
) -> None:
    book.post(bought("order-1", 1_000), bought("order-2", 500, day=1))
    assert {each.revision for each in issued(ledger_url, FIRST, date(2023, 11, 15))} == {1}
    assert issued(ledger_url, FIRST, date(2023, 11, 15)) == []
    assert issued(ledger_url) == []

    late = bought("order-3", 250)
    book.post(late)
    revised = [each for each in issued(ledger_url) if each.side == "merchant"]
    assert [(each.day, each.revision, each.created, each.opening_pending) for each in revised] == [
        (FIRST, 2, 1_250, 0),
        (date(2023, 11, 15), 2, 500, 1_250),
    ]
    assert revised[0].changed == {
        "entries": [1, 2],
        "created": [1_000, 1_250],
        "closing_pending": [1_000, 1_250],
        "commission_created": [100, 125],
        "closing_commission_pending": [100, 125],
    }
    assert revised[0].late_events == [late[1]["event_id"]]
    assert revised[1].changed is not None
    assert set(revised[1].changed) == {
        "opening_pending",
        "closing_pending",
        "opening_commission_pending",
        "closing_commission_pending",
    }
    assert revised[1].late_events == []
    with reading(ledger_url, "test") as connection:
        _, original = statement_and_revisions(connection, revised[0].statement_id)
    assert (original.revision, original.created, original.changed) == (1, 1_000, None)


def test_a_statement_says_what_was_posted_by_its_time_and_nothing_of_a_posting_under_way(
    book: Book, ledger_url: str
) -> None:
    book.post(bought("order-1", 1_000))
    with psycopg.connect(ledger_url) as slow:
        slow.execute("SELECT pg_current_xact_id()")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sinks.books.issuing.WAIT_FOR_WRITERS_S", 0.2)
            with pytest.raises(NotIssued, match="has been writing"):
                issued(ledger_url)
        slow.rollback()
    [merchant, publisher] = issued(ledger_url)
    book.post(bought("order-2", 500))
    known = book.connection.execute("SELECT posted_at FROM entries ORDER BY entry_id").fetchall()
    assert known[0][0] < merchant.known_at == publisher.known_at < known[1][0]


def test_a_merchants_day_is_that_of_its_time_zone_on_both_sides(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    sql("INSERT INTO merchants VALUES ('grocer', 'Asia/Tokyo')")
    book.post(bought("order-1", 1_000), bought("order-2", 300, merchant="baker"))
    days = {(each.party_id, each.day): each.created for each in issued(ledger_url, FIRST, date(2023, 11, 15))}
    assert days == {
        ("grocer", date(2023, 11, 15)): 1_000,
        ("baker", FIRST): 300,
        ("baker", date(2023, 11, 15)): 0,
        ("bank", FIRST): 300,
        ("bank", date(2023, 11, 15)): 1_000,
    }


def test_what_was_issued_cannot_be_changed(book: Book, sql: Sql, ledger_url: str) -> None:
    book.post(bought("order-1", 1_000))
    issued(ledger_url)
    for change in ("UPDATE statements SET created = 0", "DELETE FROM statements", "TRUNCATE statements"):
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            sql(change)
    with pytest.raises(psycopg.errors.CheckViolation):
        sql(
            "INSERT INTO statements SELECT (jsonb_populate_record(statements, "
            '\'{"statement_id": "x", "revision": 9, "changed": {}, "created": 5}\')).* FROM statements'
        )


def test_a_day_that_is_not_over_everywhere_has_no_statement_yet(sql: Sql, ledger_url: str) -> None:
    sql("INSERT INTO merchants VALUES ('hotel', 'Pacific/Honolulu')")
    today = sql("SELECT (now() AT TIME ZONE 'Pacific/Honolulu')::date")[0][0]
    with pytest.raises(NotIssued, match="is not over for every merchant"):
        issued(ledger_url, today)


@pytest.mark.parametrize(
    ("wanted", "named"),
    [
        ({"since": FIRST, "until": date(2023, 11, 1)}, "--through"),
        ({"since": date(2000, 1, 1), "until": date(2090, 1, 1)}, "--through"),
        ({"since": FIRST, "until": FIRST, "merchant_id": "a", "publisher_id": "b"}, "--publisher"),
    ],
)
def test_what_cannot_be_issued_is_named(wanted: dict[str, Any], named: str) -> None:
    with pytest.raises(Rejected, match=named):
        ToIssue(**wanted)


def amounts(url: str, holder: Holder, **when: Any) -> dict[str, int]:
    with reading(url, "test") as connection:
        return {each.account: each.balance for each in balances_of(connection, holder, **when)}


def test_a_balance_is_as_it_was_on_a_time_and_as_it_was_known(book: Book, sql: Sql, ledger_url: str) -> None:
    first, second = bought("order-1", 1_000), bought("order-2", 500, day=1)
    book.post(first, cleared(first), second)
    [(known_at,)] = sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")
    late = bought("order-3", 70)
    book.post(late, bought("order-4", 9_999, member_id="bob"))
    member, merchant = Holder("bank", "ann"), Holder(merchant_id="grocer")
    start = first[1]["timestamp"]
    assert amounts(ledger_url, member) == {"member:pending": 570, "member:wallet": 1_000}
    assert amounts(ledger_url, member, known_at=known_at) == {"member:pending": 500, "member:wallet": 1_000}
    assert amounts(ledger_url, member, on=start) == {"member:pending": 1_070, "member:wallet": 0}
    assert amounts(ledger_url, member, on=start, known_at=known_at) == {
        "member:pending": 1_000,
        "member:wallet": 0,
    }
    assert amounts(ledger_url, member, on=start - 1) == {"member:pending": 0, "member:wallet": 0}
    assert amounts(ledger_url, merchant)["merchant:funding"] == -(1_100 + 550 + 77 + 9_999 + 999)
    kept = sql(
        "SELECT kind::text, balance FROM balances JOIN accounts USING (account_id) WHERE member_id = 'ann'"
    )
    assert amounts(ledger_url, member) == dict(kept)


@pytest.mark.parametrize(
    ("holder", "named"),
    [
        ({"member_id": "ann"}, "--member: 'ann' may be of several partners"),
        ({}, "--member: not one of a member and a merchant"),
        (
            {"partner_id": "bank", "member_id": "zoe"},
            "--member: the ledger has no account of 'zoe' with 'bank'",
        ),
    ],
)
def test_a_holder_that_is_not_known_is_refused_by_name(
    ledger_url: str, holder: dict[str, str], named: str
) -> None:
    with pytest.raises(Rejected) as refused:
        amounts(ledger_url, Holder(**holder))
    assert str(refused.value).startswith(named)


def test_a_reversal_leaves_what_is_earned_and_its_commission_and_shows_on_its_day(
    book: Book, ledger_url: str
) -> None:
    event = bought("order-1", 1_000)
    book.post(event, cleared(event))
    back = reversed_(event, timestamp=event[1]["timestamp"] + 20 * DAY_US)
    book.post(back)
    issued(ledger_url, date(2023, 11, 28), date(2023, 12, 4))
    chain = now(ledger_url, merchant_id="grocer")
    assert [(each.closing_earned, each.closing_commission, each.reversed) for each in chain] == [
        *[(1_000, 100, 0)] * 6,
        (0, 0, 1_000),
    ]
    assert (chain[-1].commission_reversed, chain[-1].closing_pending) == (100, 0)
    _, [total] = reconciled(ledger_url, Lines())
    assert total == Total(True, "EUR", created=1_000, cleared=1_000, reversed=1_000)
    on = {"on": back[1]["timestamp"] - 1}
    assert amounts(ledger_url, Holder("bank", "ann"), **on)["member:wallet"] == 1_000
    assert set(amounts(ledger_url, Holder("bank", "ann")).values()) == {0}


def test_what_a_posting_under_way_wrote_before_the_moment_is_in_it_and_the_rest_comes_late(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(bought("order-1", 1_000))
    later = bought("order-3", 70)
    looking = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'statements' AND query LIKE %s"
    with ThreadPoolExecutor(1) as pool:
        with book.connection.transaction():
            book.post(bought("order-2", 500))
            running = pool.submit(issued, ledger_url)
            eventually(lambda: sql(looking, "%pg_snapshot_xmin%"))
            book.post(later)
        first = running.result(30)
    assert [each.created for each in first] == [1_500, 1_500]
    again = issued(ledger_url)
    assert [(each.created, each.late_events) for each in again] == [(1_570, [later[1]["event_id"]])] * 2
