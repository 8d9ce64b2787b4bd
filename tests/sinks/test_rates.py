"""Rates in the ledger: cashbacks keep them, and a rebuild that is given them is the same to the cent."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ops.cli import build
from schemas.times import from_iso
from sinks.migrations import WrongSchema
from tests.sinks.test_posting import Book, Event, cleared, created, reverted

Sql = Callable[..., list[tuple[Any, ...]]]
TIERS = "[{tiers: [{from_volume: 0, rate_bps: 1000}, {from_volume: 10000, rate_bps: 500}]}]\n"
# What is posted, without what numbers and times of posting it got.
LEDGER = """
SELECT cashback_id, commission_bps, commission, transition::text, leg, debit.kind::text, debit.partner_id,
       credit.kind::text, coalesce(credit.member_id, credit.merchant_id), transfers.asset, transfers.amount
FROM transfers JOIN entries USING (entry_id) JOIN cashbacks USING (cashback_no)
JOIN accounts AS debit ON debit.account_id = debit_account
JOIN accounts AS credit ON credit.account_id = credit_account ORDER BY 1, 4, 5
"""


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def on(day: str) -> dict[str, Any]:
    return {"timestamp": from_iso(f"{day}T12:00:00Z", "day")}


def run(*arguments: str) -> str:
    answer = CliRunner().invoke(build("rates"), ["rates", *arguments])
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def set_tiers(url: str, directory: Path, text: str = TIERS) -> None:
    file = directory / "tiers.yaml"
    file.write_text(text)
    run("tiers", "set", str(file), "--actor", "dora", "--reason", "contract", "--database", url)


def history() -> list[Event]:
    january = [created(f"jan-{n}", 4_000, **on("2024-01-10")) for n in range(4)]
    february = [created(f"feb-{n}", 1_999, **on("2024-02-10")) for n in range(3)]
    march = [
        created("mar-0", 999, **on("2024-03-01")),
        created("mar-1", 999, currency="XXX", **on("2024-03-01")),
    ]
    return [
        *january,
        *(cleared(each, **on("2024-01-25")) for each in january[:3]),
        *february,
        cleared(january[3], **on("2024-01-31")),  # late: the rate of February is recorded already
        cleared(february[0], **on("2024-02-24")),
        reverted(february[1], **on("2024-02-25")),
        *march,
    ]


def rates_of(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("SELECT asset, to_char(month, 'YYYY-MM'), volume, rate_bps FROM merchant_rates ORDER BY 2, 1")


RECORDED = [
    ("EUR", "2024-01", 0, 1_000),
    ("EUR", "2024-02", 12_000, 500),
    ("EUR", "2024-03", 1_999, 1_000),
    ("XXX", "2024-03", 0, 1_000),
]


@pytest.mark.parametrize("batch", [1, 4, 100])
def test_the_rate_follows_from_the_log_and_not_from_its_batches(
    book: Book, sql: Sql, ledger_url: str, tmp_path: Path, batch: int
) -> None:
    set_tiers(ledger_url, tmp_path)
    events = history()
    for start in range(0, len(events), batch):
        book.post(*events[start : start + batch])
    assert rates_of(sql) == RECORDED
    assert sql("SELECT DISTINCT commission FROM cashbacks WHERE commission_bps = 500") == [(99,)]
    assert sql("SELECT to_char(month, 'YYYY-MM'), cleared FROM merchant_volumes ORDER BY 1") == [
        ("2024-01", 16_000),
        ("2024-02", 1_999),
    ]


def test_a_cashback_keeps_its_rate_when_tiers_change_before_it_clears(
    book: Book, sql: Sql, ledger_url: str, tmp_path: Path
) -> None:
    set_tiers(ledger_url, tmp_path)
    book.post(created())
    set_tiers(ledger_url, tmp_path, "[{tiers: [{from_volume: 0, rate_bps: 7}]}]")
    book.post(cleared(created()))
    assert sql("SELECT DISTINCT amount FROM transfers WHERE leg = 2") == [(199,)]
    assert sql("SELECT sum(proof)::int FROM reconciliation") == [(0,)]


@pytest.mark.parametrize("is_given", [True, False])
def test_a_rebuild_that_is_given_the_rates_gives_the_same_ledger(
    book: Book, sql: Sql, ledger_url: str, tmp_path: Path, postgres: Any, template: str, is_given: bool
) -> None:
    set_tiers(ledger_url, tmp_path)
    for event in history():
        book.post(event)
    exported = tmp_path / "rates.jsonl"
    exported.write_text(run("export", "--database", ledger_url))
    name = f"{template}_rebuilt_{is_given}".lower()
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    url = postgres.url_of(name)
    set_tiers(url, tmp_path, "[]")
    if is_given:
        given = ("--actor", "dora", "--reason", "rebuild", "--json", "--database", url)
        assert json.loads(run("import", str(exported), *given)) == {"added": 4, "known": 0}
    rebuilt = Book(url)
    # Partitions are read in another order, so other clearings are known when a month begins.
    rebuilt.post(*sorted(history(), key=lambda event: (event[0] != "CashbackCreated", event[1]["timestamp"])))
    try:
        same = rebuilt.connection.execute(LEDGER.encode()).fetchall() == sql(LEDGER)
        assert same == is_given
        assert not is_given or run("export", "--database", url) == exported.read_text()
    finally:
        rebuilt.connection.close()
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_rates_recorded_by_another_sink_meanwhile_are_taken_and_the_batch_is_posted(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    book.post(created("early", **on("2024-01-01")))
    with psycopg.connect(ledger_url) as other:
        other.execute(
            "INSERT INTO merchant_rates (livemode, partner_id, merchant_id, asset, month, volume, rate_bps)"
            " VALUES (true, 'shop', 'grocer', 'EUR', '2024-02-01', 0, 77)"
        )
        other.commit()
    assert book.post(created("late", **on("2024-02-01"))).entries == 1
    assert sql("SELECT commission_bps FROM cashbacks ORDER BY 1") == [(77,), (1_000,)]


def test_what_the_ledger_refuses_records_no_rate(book: Book, sql: Sql) -> None:
    posted = book.post(
        created(**on("2024-01-01")), created(member_id="bob", merchant_id="other", **on("2024-01-01"))
    )
    assert (posted.entries, posted.refused) == (1, 1)
    assert sql("SELECT merchant_id FROM merchant_rates") == [("grocer",)]


def test_rates_are_listed_and_filtered(book: Book, ledger_url: str, tmp_path: Path) -> None:
    set_tiers(ledger_url, tmp_path)
    for event in history():
        book.post(event)
    found = json.loads(run("list", "--month", "2024-02", "--json", "--database", ledger_url))["rates"]
    assert [(each["merchant_id"], each["volume"], each["rate_bps"]) for each in found] == [
        ("grocer", 12_000, 500)
    ]
    assert json.loads(run("list", "--merchant", "nobody", "--json", "--database", ledger_url)) == {
        "rates": []
    }
    assert "120.00" in run("list", "--database", ledger_url)
    shown = json.loads(run("tiers", "show", "--json", "--database", ledger_url))
    assert shown["schedules"][0]["tiers"][1] == {"from_volume": 10_000, "rate_bps": 500}
    assert "10,000" in run("tiers", "show", "--database", ledger_url)


def test_a_wrong_month_and_a_database_that_is_not_migrated_are_refused(database: str, tmp_path: Path) -> None:
    wrong = CliRunner().invoke(build("rates"), ["rates", "list", "--month", "February"])
    assert wrong.exit_code == 2
    empty, tiers = tmp_path / "empty", tmp_path / "tiers"
    empty.write_text("")
    tiers.write_text("[]")
    who = ("--actor", "dora", "--reason", "why")
    commands = (
        ("list",),
        ("export",),
        ("import", str(empty), *who),
        ("tiers", "set", str(tiers), *who),
        ("tiers", "show"),
    )
    for command in commands:
        answer = CliRunner().invoke(build("rates"), ["rates", *command, "--database", database])
        assert isinstance(answer.exception, WrongSchema), command
