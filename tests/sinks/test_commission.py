"""Tiers, months and recorded rates, as the book keeps them on real PostgreSQL."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import psycopg
import pytest

from schemas.errors import Rejected
from schemas.times import from_iso
from sinks.commission import facts, schedule
from sinks.commission.book import CommissionBook
from sinks.commission.facts import Rate
from sinks.database import WRITER_ROLE, session
from tests.sinks.append_only import are_append_only

Sql = Callable[..., list[tuple[Any, ...]]]
TIERS = """
- tiers: [{from_volume: 0, rate_bps: 1000}, {from_volume: 10000, rate_bps: 800}]
- merchant_id: grocer
  tiers: [{from_volume: 0, rate_bps: 500}]
- merchant_id: grocer
  asset: XXX
  tiers: [{from_volume: 0, rate_bps: 100}, {from_volume: 50, rate_bps: 0}]
"""


@pytest.fixture
def connection(ledger_url: str) -> Iterator[psycopg.Connection]:
    with session(ledger_url, "test", role=WRITER_ROLE) as opened:
        yield opened


def at(text: str) -> int:
    return from_iso(text if "T" in text else f"{text}T12:00:00Z", "at")


def funding(connection: psycopg.Connection, merchant: str, asset: str = "EUR", *, live: bool = True) -> int:
    row = connection.execute(
        "INSERT INTO accounts (kind, livemode, partner_id, merchant_id, asset)"
        " VALUES ('merchant:funding', %s, 'shop', %s, %s) RETURNING account_id",
        (live, merchant, asset),
    ).fetchone()
    assert row is not None
    return int(row[0])


def tell(connection: psycopg.Connection, *events: tuple[str, int, str, int]) -> list[int]:
    """The rates of the creations among these events, (what, account, time, amount), as one batch of them."""
    return told(CommissionBook(), connection, *events)


def told(
    book: CommissionBook, connection: psycopg.Connection, *events: tuple[str, int, str, int]
) -> list[int]:
    def moments(wanted: str) -> list[tuple[int, int]]:
        return [(account, at(when)) for what, account, when, _ in events if what == wanted]

    rates = []
    with connection.transaction():
        book.begin(connection, earned=lambda: moments("created"), others=lambda: moments("cleared"))
        for what, account, when, amount in events:
            if what == "created":
                rates.append(book.rate(account, at(when), flat_bps=900))
            else:
                book.clear(account, at(when), amount)
        book.record(connection)
        book.move(connection)
    return rates


def put(connection: psycopg.Connection, text: str = TIERS) -> None:
    schedule.put(connection, schedule.parse(text), actor="dora", reason="contract of 2024")


def recorded(connection: psycopg.Connection) -> list[tuple[str, str, int, int]]:
    return [(r.merchant_id, f"{r.month:%Y-%m}", r.volume, r.rate_bps) for r in facts.rates(connection)]


def test_without_tiers_the_flat_rate_is_recorded_with_the_volume(connection: psycopg.Connection) -> None:
    one = funding(connection, "one")
    assert tell(connection, ("cleared", one, "2024-01-10", 70), ("created", one, "2024-02-01", 1)) == [900]
    assert recorded(connection) == [("one", "2024-02", 70, 900)]


@pytest.mark.parametrize(
    ("merchant", "asset", "cleared", "bps"),
    [
        ("other", "EUR", 0, 1_000),
        ("other", "EUR", 9_999, 1_000),
        ("other", "EUR", 10_000, 800),
        ("other", "XXX", 10_000, 800),
        ("grocer", "EUR", 10_000, 500),
        ("grocer", "XXX", 49, 100),
        ("grocer", "XXX", 50, 0),
    ],
)
def test_the_nearest_schedule_and_the_volume_of_the_month_before_give_the_rate(
    connection: psycopg.Connection, merchant: str, asset: str, cleared: int, bps: int
) -> None:
    put(connection)
    account = funding(connection, merchant, asset)
    if cleared:
        tell(connection, ("cleared", account, "2024-01-31T23:59:59Z", cleared))
    # Neither the month itself nor the one before last counts.
    tell(
        connection,
        ("cleared", account, "2024-02-01T00:00:00Z", 77),
        ("cleared", account, "2023-12-31", 99_999),
    )
    assert tell(connection, ("created", account, "2024-02-05", 1)) == [bps]
    assert recorded(connection) == [(merchant, "2024-02", cleared, bps)]


def test_a_recorded_rate_is_a_fact_whatever_clears_late_or_is_set_later(
    connection: psycopg.Connection,
) -> None:
    put(connection)
    one = funding(connection, "one")
    book = CommissionBook()
    assert told(book, connection, ("created", one, "2024-02-01", 1)) == [1_000]
    told(book, connection, ("cleared", one, "2024-01-31", 20_000))
    put(connection, "[{tiers: [{from_volume: 0, rate_bps: 1}]}]")
    assert told(book, connection, ("created", one, "2024-02-28", 1)) == [1_000]
    assert tell(connection, ("created", one, "2024-02-28", 1)) == [1_000]  # another book, with no memory
    assert tell(connection, ("created", one, "2024-03-01", 1)) == [1]
    assert recorded(connection) == [("one", "2024-02", 0, 1_000), ("one", "2024-03", 0, 1)]


def test_what_clears_in_the_batch_before_the_first_creation_of_the_month_counts(
    connection: psycopg.Connection,
) -> None:
    put(connection)
    one, two = funding(connection, "one"), funding(connection, "two")
    rates = tell(
        connection,
        ("cleared", one, "2024-01-20", 6_000),
        ("cleared", one, "2024-01-30", 4_000),
        ("created", one, "2024-02-01", 1),
        ("created", two, "2024-02-01", 1),
        ("cleared", two, "2024-01-30", 90_000),
    )
    assert rates == [800, 1_000]
    assert recorded(connection) == [("one", "2024-02", 10_000, 800), ("two", "2024-02", 0, 1_000)]


def test_months_are_those_of_the_merchants_time_zone(connection: psycopg.Connection, sql: Sql) -> None:
    sql("INSERT INTO merchants VALUES ('tokyo', 'Asia/Tokyo'), ('posix', 'XYZ+5')")
    put(connection)
    tokyo, posix = funding(connection, "tokyo"), funding(connection, "posix")
    tell(
        connection,
        ("cleared", tokyo, "2024-01-31T14:59:59Z", 10_000),
        ("cleared", posix, "2024-02-01T04:59:59Z", 9),
    )
    rates = tell(
        connection,
        ("created", tokyo, "2024-01-31T15:00:00Z", 1),
        ("created", tokyo, "2024-01-31T14:59:59.999999Z", 1),
        ("created", posix, "2024-02-01T05:00:00Z", 1),
    )
    assert rates == [800, 1_000, 1_000]
    assert recorded(connection) == [
        ("tokyo", "2024-01", 0, 1_000),
        ("posix", "2024-02", 9, 1_000),
        ("tokyo", "2024-02", 10_000, 800),
    ]


def test_live_and_test_have_rates_of_their_own(connection: psycopg.Connection) -> None:
    put(connection)
    live, trial = funding(connection, "one"), funding(connection, "one", live=False)
    tell(connection, ("cleared", trial, "2024-01-20", 10_000))
    assert tell(connection, ("created", live, "2024-02-01", 1), ("created", trial, "2024-02-01", 1)) == [
        1_000,
        800,
    ]


def test_two_sinks_cannot_record_two_rates(ledger_url: str, connection: psycopg.Connection) -> None:
    one = funding(connection, "one")
    late = CommissionBook()
    with session(ledger_url, "test", role=WRITER_ROLE) as other, other.transaction(force_rollback=True):
        late.begin(other, earned=lambda: [(one, at("2024-02-01"))])
        assert late.rate(one, at("2024-02-01"), flat_bps=111) == 111
        assert tell(connection, ("created", one, "2024-02-01", 1)) == [900]
        with pytest.raises(psycopg.errors.UniqueViolation):
            late.record(other)
    late.forget()
    assert told(late, connection, ("created", one, "2024-02-01", 1)) == [900]
    assert recorded(connection) == [("one", "2024-02", 0, 900)]


def test_a_rolled_back_batch_leaves_nothing_once_the_book_forgets(connection: psycopg.Connection) -> None:
    put(connection)
    one = funding(connection, "one")
    book = CommissionBook()
    with connection.transaction(force_rollback=True):
        book.begin(connection, earned=lambda: [(one, at("2024-02-01"))])
        book.clear(one, at("2024-01-31"), 10_000)
        assert book.rate(one, at("2024-02-01"), flat_bps=0) == 800
        book.record(connection)
        book.move(connection)
    book.forget()
    assert told(book, connection, ("created", one, "2024-02-01", 1)) == [1_000]


def test_hot_batches_ask_the_database_nothing(connection: psycopg.Connection) -> None:
    one = funding(connection, "one")
    book = CommissionBook()
    told(book, connection, ("created", one, "2024-02-01", 1))
    # Without a transaction to ask in, any question would fail.
    assert book.rate(one, at("2024-02-29"), flat_bps=0) == 900


def test_rates_are_never_amended(connection: psycopg.Connection, sql: Sql) -> None:
    put(connection)
    tell(connection, ("created", funding(connection, "one"), "2024-02-01", 1))
    tables = (
        ("merchant_rates", "rate_bps"),
        ("commission_tiers", "rate_bps"),
        ("commission_tier_sets", "set_at"),
    )
    are_append_only(tables, sql, connection)


def test_an_imported_rate_wins_and_one_that_contradicts_is_refused_with_all_of_its_file(
    connection: psycopg.Connection,
) -> None:
    put(connection)
    given = Rate(True, "shop", "one", "EUR", date(2024, 2, 1), 5, 123, at("2024-02-01"))
    done = facts.give(connection, [given], actor="dora", reason="rebuild", source="rates.jsonl")
    assert (done.added, done.known) == (1, 0)
    assert tell(connection, ("created", funding(connection, "one"), "2024-02-01", 1)) == [123]
    again = facts.give(connection, [given], actor="dora", reason="rebuild", source="rates.jsonl")
    assert (again.added, again.known) == (0, 1)
    other = Rate(True, "shop", "two", "EUR", date(2024, 2, 1), 5, 123, at("2024-02-01"))
    contrary = Rate(True, "shop", "one", "EUR", date(2024, 2, 1), 5, 124, at("2024-02-01"))
    with pytest.raises(Rejected, match="one, EUR, 2024-02: 124 on a volume of 5 is given, 123 on 5"):
        facts.give(connection, [other, contrary], actor="dora", reason="rebuild", source="rates.jsonl")
    assert recorded(connection) == [("one", "2024-02", 5, 123)]


def test_what_is_exported_is_what_is_imported(connection: psycopg.Connection) -> None:
    tell(connection, ("created", funding(connection, "one", "XXX", live=False), "2024-02-01", 1))
    [rate] = facts.rates(connection)
    assert list(facts.parse([json.dumps(rate.to_json()), ""])) == [rate]


LINE = (
    '{"livemode":true,"partner_id":"shop","merchant_id":"one","asset":"EUR","month":"2024-02","volume":5,'
    '"rate_bps":123,"recorded_at":"2024-02-01T00:00:00Z"}'
)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("true", '"yes"'), "line 1: livemode: 'yes' is not a boolean; write true or false"),
        (('"EUR"', '"CHF"'), "line 1: asset: 'CHF' is unknown; use CAD, EUR, GBP, USD, XXX"),
        (('"2024-02"', '"2024-13"'), "line 1: month: '2024-13' is not a month; write it as 2024-02"),
        (('"volume":5', '"volume":-5'), "line 1: volume: -5 is not from 0 to .*; write a whole number"),
        (("123", "10001"), "line 1: rate_bps: 10001 is not from 0 to 10000; write a whole number"),
        (("123", "1.5"), "line 1: rate_bps: 1.5 is not from 0 to 10000; write a whole number"),
        (('"shop"', '""'), "line 1: partner_id: empty; send 1 to 128 characters"),
        (('"one"', "7"), "line 1: merchant_id: 7 is not a text; put it in quotes"),
        (('"rate_bps":123,', ""), "line 1: rate_bps: missing; add it"),
        (('"rate_bps"', '"bps"'), "line 1: bps: unknown; use livemode, .*"),
        (("{", "["), "line 1: not JSON: .*; write one object a line"),
        ((LINE, "7"), "line 1: : 7 has no fields; write them as name: value"),
        (("2024-02-01T00:00:00Z", "yesterday"), "line 1: recorded_at: 'yesterday' is not a time; .*"),
    ],
)
def test_a_wrong_line_of_rates_is_named_with_its_field(change: tuple[str, str], told: str) -> None:
    with pytest.raises(Rejected) as refused:
        list(facts.parse([LINE.replace(*change)]))
    assert re.fullmatch(told, str(refused.value)), str(refused.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("7", "file: is not a list; write a list of schedules, or [] for no tiers"),
        ("[", "file: not YAML"),
        ("[{tiers: []}]", "0.tiers: [] is not a list of at least one; list them with -"),
        (
            "[{tiers: [{from_volume: 5, rate_bps: 1}]}]",
            "0.tiers.0.from_volume: 5 leaves lower volumes without a rate",
        ),
        (
            "[{tiers: [{from_volume: 0, rate_bps: 1}, {from_volume: 0, rate_bps: 2}]}]",
            "0.tiers.1.from_volume: 0 is not above 0 of the tier before; order tiers by volume",
        ),
        ("[{tiers: [{from_volume: 0, rate_bps: ten}]}]", "0.tiers.0.rate_bps: 'ten' is not from 0 to 10000"),
        ("[{tiers: [{from_volume: 0}]}]", "0.tiers.0.rate_bps: missing; add it"),
        (
            "[{merchant: one, tiers: [{from_volume: 0, rate_bps: 1}]}]",
            "0.merchant: unknown; use merchant_id, asset",
        ),
        ("[{asset: YEN, tiers: [{from_volume: 0, rate_bps: 1}]}]", "0.asset: 'YEN' is unknown"),
        (
            "[{tiers: [{from_volume: 0, rate_bps: 1}]}, {tiers: [{from_volume: 0, rate_bps: 2}]}]",
            "1: the schedule of all merchants in all assets is given twice; leave one",
        ),
    ],
)
def test_wrong_tiers_are_named_by_their_path(text: str, told: str) -> None:
    with pytest.raises(Rejected) as refused:
        schedule.parse(text)
    assert str(refused.value).startswith(told)


def test_tiers_are_put_in_force_as_a_whole_and_audited(connection: psycopg.Connection, sql: Sql) -> None:
    put(connection)
    put(connection, "[]")
    assert schedule.in_force(connection).schedules == ()
    assert tell(connection, ("created", funding(connection, "one"), "2024-02-01", 1)) == [900]
    assert sql("SELECT actor, action, subject, reason FROM audit_log ORDER BY audit_no") == [
        ("dora", "tiers.set", "tiers 1", "contract of 2024"),
        ("dora", "tiers.set", "tiers 2", "contract of 2024"),
    ]
