"""Balances are what transfers say: proved wholly by a command, and all the time beside the sink."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client import REGISTRY
from typer.testing import CliRunner

from ops.cli import build
from ops.settings import Settings
from sinks.database import READER_ROLE, WRITER_ROLE, session
from sinks.migrations import WrongSchema
from sinks.proof import running
from sinks.proof.checker import Checker
from sinks.proof.running import Prover, Round
from sinks.vouchers.issuing import Order, issue
from tests.eventually import eventually
from tests.sinks.test_posting import Book, cleared, created, reverted

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    """Three merchants' cashbacks, cleared, reverted and pending, and a voucher."""
    opened = Book(ledger_url)
    events = [created(f"order-{n}", 1_000 + n, merchant_id=f"shop-{n % 3}") for n in range(9)]
    opened.post(*events, *(cleared(each) for each in events[:4]), *(reverted(each) for each in events[4:6]))
    with session(ledger_url, "test", role=WRITER_ROLE) as connection:
        issue(connection, Order("shop", "ann", "EUR", 700, 700, "EUR"), actor="dora", reason="why")
    yield opened
    opened.connection.close()


@pytest.fixture
def prover(book: Book, ledger_url: str) -> Iterator[Prover]:
    with session(ledger_url, "test", role=READER_ROLE) as connection:
        made = Prover(connection)
        assert list(made.begin())
        yield made


def looked(prover: Prover) -> Round:
    done = prover.round()
    assert done is not None
    return done


def tamper(sql: Sql, statement: str) -> None:
    sql("SET session_replication_role = replica")  # what a superuser could do
    sql(statement)
    sql("SET session_replication_role = origin")


def verify(url: str) -> tuple[int, dict[str, Any], str]:
    answer = CliRunner().invoke(build("ledger"), ["ledger", "verify", "--json", "--database", url])
    return answer.exit_code, json.loads(answer.stdout), answer.stderr


def test_books_that_agree_are_proved(book: Book, ledger_url: str, sql: Sql) -> None:
    [(accounts,)] = sql("SELECT count(*) FROM accounts")
    assert verify(ledger_url) == (0, {"accounts": accounts, "faults": []}, "")
    said = CliRunner().invoke(build("ledger"), ["ledger", "verify", "--database", ledger_url]).stdout
    assert said == f"{accounts} accounts: every balance is what its transfers say\n"


@pytest.mark.parametrize(
    ("tampering", "told"),
    [
        (
            "UPDATE balances SET balance = balance + 5 WHERE account_id = (SELECT account_id FROM accounts"
            " WHERE kind = 'member:wallet')",
            ["account", "asset"],
        ),
        (
            "DELETE FROM balances WHERE account_id = (SELECT max(account_id) FROM accounts)",
            ["account", "asset"],
        ),
        ("UPDATE transfers SET amount = amount + 1 WHERE amount = 1001", ["account", "merchant"]),
        ("UPDATE transfers SET amount = amount + 1 WHERE amount = 700", ["account", "voucher"]),
        (
            "INSERT INTO transfers SELECT 77, leg, debit_account, credit_account, asset, 3 FROM transfers"
            " WHERE amount = 700",
            ["transfer"],
        ),
        ("UPDATE merchant_volumes SET cleared = cleared + 1", ["volume"]),
    ],
)
def test_whatever_does_not_agree_is_named(
    book: Book, ledger_url: str, sql: Sql, tampering: str, told: list[str]
) -> None:
    tamper(sql, tampering)
    code, proof, said = verify(ledger_url)
    subjects = {fault["subject"] for fault in proof["faults"]}
    assert code == 1
    assert set(told) <= subjects
    assert len(said.splitlines()) == len(proof["faults"])


def test_an_account_that_drifts_is_named_with_both_figures(book: Book, ledger_url: str, sql: Sql) -> None:
    tamper(sql, "UPDATE balances SET balance = balance + 5 WHERE balance = 700")
    said = verify(ledger_url)[2]
    [(account,)] = sql("SELECT account_id FROM accounts WHERE kind = 'voucher:issued'")
    assert (
        f"account {account} (voucher:issued, live, shop, ann, EUR): holds 705, its transfers come to 700"
        in said
    )
    assert "asset EUR, live: all balances come to 5, not to 0" in said


def test_the_running_proof_follows_what_is_posted(
    prover: Prover, book: Book, ledger_url: str, sql: Sql
) -> None:
    [(accounts,)] = sql("SELECT count(*) FROM accounts")
    assert looked(prover) == Round(accounts, (), 0)
    later = created("later", 5_000)
    book.post(later, cleared(later))
    with session(ledger_url, "test", role=WRITER_ROLE) as connection:
        issue(connection, Order("shop", "ann", "EUR", 10, 10, "EUR"), actor="dora", reason="why")
    done = looked(prover)
    assert (done.drifting, done.imbalance) == ((), 0)
    assert done.looked_at > 0


@pytest.mark.parametrize("account", ["member:wallet", "merchant:funding"])
def test_the_running_proof_finds_a_balance_that_drifts(
    prover: Prover, book: Book, sql: Sql, account: str
) -> None:
    assert not looked(prover).drifting
    [(number, balance)] = sql(
        "SELECT account_id, balance FROM balances JOIN accounts USING (account_id)"
        " WHERE kind = %s::account_kind ORDER BY account_id LIMIT 1",
        account,
    )
    tamper(sql, f"UPDATE balances SET balance = balance + 3 WHERE account_id = {number}")
    done = looked(prover)
    assert (done.drifting, done.imbalance) == (((number, balance + 3, balance),), 3)
    # It stays told of, also when something is posted on top.
    later = created("later", 5_000, merchant_id="shop-0")
    book.post(later, cleared(later))
    assert [row[0] for row in looked(prover).drifting] == [number]
    tamper(sql, f"UPDATE balances SET balance = balance - 3 WHERE account_id = {number}")
    assert looked(prover).drifting == ()


def test_a_posting_under_way_is_no_drift_and_is_waited_for(
    prover: Prover, ledger_url: str, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "WAIT_FOR_WRITERS_S", 0.0)
    with session(ledger_url, "test", role=WRITER_ROLE) as other, other.transaction():
        # Written now, with a time of now, and committed later.
        issue(other, Order("shop", "ann", "EUR", 10, 10, "EUR"), actor="dora", reason="why")
        assert prover.round() is None
    assert looked(prover).drifting == ()
    assert looked(prover).drifting == ()


def test_a_sum_that_was_wrong_is_put_right_and_nobody_is_alarmed(prover: Prover, sql: Sql) -> None:
    # A clock that went back: an entry whose time lies before what was summed up already.
    tamper(
        sql,
        "INSERT INTO voucher_entries SELECT 999999, voucher_no, 'voided', event_at,"
        " posted_at - interval '1 day', actor, reason FROM voucher_entries",
    )
    sql(
        "INSERT INTO transfers SELECT 999999, 1, credit_account, debit_account, asset, amount FROM transfers"
        " WHERE amount = 700"
    )
    assert looked(prover).drifting == ()
    assert looked(prover).drifting == ()


def test_every_account_is_looked_at_in_turn(
    prover: Prover, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "SLICE_ACCOUNTS", 4)
    [(account,)] = sql("SELECT max(account_id) FROM balances")
    tamper(sql, f"UPDATE balances SET balance = balance + 3 WHERE account_id = {account}")
    rounds = [looked(prover) for _ in range(account // 4 + 1)]
    assert rounds[0].drifting == ()
    assert {row[0] for each in rounds for row in each.drifting} == {account}
    # Once found it is looked at in every round.
    assert [row[0] for row in looked(prover).drifting] == [account]


def test_the_checker_tells_of_drift_in_its_metrics(book: Book, ledger_url: str, sql: Sql) -> None:
    def metric(name: str) -> float:
        return REGISTRY.get_sample_value(f"cashback_ledger_{name}") or 0.0

    tamper(sql, "UPDATE balances SET balance = balance + 5 WHERE balance = 700")
    checker = Checker(Settings(database_url=ledger_url, ledger_proof_interval_s=0.05), lambda: True)
    checker.start()
    try:
        eventually(lambda: (metric("drift_accounts"), metric("imbalance_minor")) == (1, 5))
        assert metric("proved_timestamp_seconds") > 1_700_000_000
        tamper(sql, "UPDATE balances SET balance = balance - 5 WHERE balance = 705")
        eventually(lambda: (metric("drift_accounts"), metric("imbalance_minor")) == (0, 0))
    finally:
        checker.stop()


def test_a_database_that_is_not_migrated_is_refused(database: str) -> None:
    answer = CliRunner().invoke(build("ledger"), ["ledger", "verify", "--database", database])
    assert isinstance(answer.exception, WrongSchema)
