"""Vouchers on real PostgreSQL: never below 0, once by key, void once, proved and told of like the rest."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ops.cli import build
from schemas.errors import Rejected
from sinks.books.balances import Holder, balances_of
from sinks.books.issuing import Wanted as ToIssue
from sinks.books.issuing import issue as issue_statements
from sinks.books.reading import reading
from sinks.books.statements import Wanted, statements
from sinks.database import WRITER_ROLE, session
from sinks.migrations import WrongSchema
from sinks.vouchers.issuing import Issued, Order, issue, void
from sinks.vouchers.records import Owner, wallet_of
from tests.sinks.append_only import are_append_only
from tests.sinks.test_posting import Book, cleared, created

Sql = Callable[..., list[tuple[Any, ...]]]
ORDER: dict[str, Any] = {
    "partner_id": "shop",
    "member_id": "ann",
    "asset": "EUR",
    "price": 600,
    "amount": 500,
    "currency": "EUR",
}
WALLET = Owner("shop", "ann", "EUR", True)


@pytest.fixture
def earned(ledger_url: str) -> Iterator[Book]:
    """A ledger in which ann has 1000 in her wallet, and 300 points, and 50 in test."""
    book = Book(ledger_url)
    for reference, amount, changes in (
        ("order-1", 1_000, {}),
        ("order-2", 300, {"currency": "XXX"}),
        ("order-3", 50, {"livemode": False}),
    ):
        event = created(reference, amount, **changes)
        book.post(event, cleared(event))
    yield book
    book.connection.close()


@pytest.fixture
def connection(earned: Book, ledger_url: str) -> Iterator[psycopg.Connection]:
    with session(ledger_url, "test", role=WRITER_ROLE) as opened:
        yield opened


def give(connection: psycopg.Connection, **changes: Any) -> Issued:
    return issue(connection, Order(**(ORDER | changes)), actor="dora", reason="asked at the till")


def held(connection: psycopg.Connection, owner: Owner = WALLET) -> int:
    wallet = wallet_of(connection, owner)
    assert wallet is not None
    return wallet.balance


def proofs(sql: Sql) -> list[tuple[Any, ...]]:
    return sql(
        "SELECT count(*) FILTER (WHERE kept IS DISTINCT FROM proved), sum(kept)::int,"
        " (SELECT coalesce(sum(unproved), 0)::int FROM voucher_movements),"
        " (SELECT sum(proof)::int FROM reconciliation) FROM account_proofs"
    )


def test_a_voucher_takes_its_price_from_the_wallet(connection: psycopg.Connection, sql: Sql) -> None:
    done = give(connection)
    assert not done.repeated
    assert (done.voucher.price, done.voucher.amount, done.voucher.issued_by) == (600, 500, "dora")
    assert done.voucher.voided_at is None
    assert held(connection) == 400
    assert sql(
        "SELECT debit.kind::text, credit.kind::text, amount"
        " FROM transfers JOIN voucher_entries USING (entry_id)"
        " JOIN accounts AS debit ON debit.account_id = debit_account"
        " JOIN accounts AS credit ON credit.account_id = credit_account"
    ) == [("member:wallet", "voucher:issued", 600)]
    assert proofs(sql) == [(0, 0, 0, 0)]


def test_points_buy_a_voucher_of_a_currency_and_modes_do_not_mix(connection: psycopg.Connection) -> None:
    give(connection, asset="XXX", price=300, amount=1_500)
    assert held(connection, Owner("shop", "ann", "XXX", True)) == 0
    assert held(connection) == 1_000
    give(connection, price=50, livemode=False)
    with pytest.raises(Rejected, match=r"price: 0\.01 EUR is more than the 0\.00 in the wallet"):
        give(connection, price=1, livemode=False)
    assert held(connection) == 1_000


def test_a_gift_moves_nothing(connection: psycopg.Connection, sql: Sql) -> None:
    give(connection, price=0)
    assert held(connection) == 1_000
    assert proofs(sql) == [(0, 0, 0, 0)]


def test_a_wallet_is_never_below_nothing_however_many_spend_it_at_once(
    connection: psycopg.Connection, ledger_url: str, sql: Sql
) -> None:
    def spend(number: int) -> str:
        with session(ledger_url, "test", role=WRITER_ROLE) as own:
            try:
                give(own, price=90, key=f"till-{number}")
            except Rejected as refused:
                return refused.field
            return "spent"

    with ThreadPoolExecutor(8) as tills:
        spent = list(tills.map(spend, range(24)))
    assert (spent.count("spent"), spent.count("price")) == (11, 13)
    assert held(connection) == 10
    assert sql("SELECT count(*) FROM vouchers") == [(11,)]
    assert proofs(sql) == [(0, 0, 0, 0)]


def test_one_key_is_one_voucher_also_when_it_comes_several_times_at_once(
    connection: psycopg.Connection, ledger_url: str
) -> None:
    def spend(_: int) -> Issued:
        with session(ledger_url, "test", role=WRITER_ROLE) as own:
            return give(own, price=100, key="receipt-7")

    with ThreadPoolExecutor(6) as tills:
        done = list(tills.map(spend, range(12)))
    assert len({each.voucher.voucher_id for each in done}) == 1
    assert [each.repeated for each in done].count(False) == 1
    assert held(connection) == 900
    for other in ({"price": 101}, {"amount": 1}, {"asset": "XXX", "currency": "XXX"}):
        with pytest.raises(Rejected, match="key: 'receipt-7' has issued another voucher"):
            give(connection, **({"price": 100, "key": "receipt-7"} | other))
    assert not give(connection, price=50, livemode=False, key="receipt-7").repeated


def test_a_void_gives_the_price_back_once(connection: psycopg.Connection, ledger_url: str, sql: Sql) -> None:
    voucher_id = give(connection).voucher.voucher_id

    def undo(_: int) -> str:
        with session(ledger_url, "test", role=WRITER_ROLE) as own:
            try:
                void(own, voucher_id, actor="ben", reason="given back")
            except Rejected as refused:
                return str(refused)
            return ""

    with ThreadPoolExecutor(4) as tills:
        said = sorted(tills.map(undo, range(4)))
    assert said[0] == ""
    assert all(
        each.startswith(f"VOUCHER_ID: {voucher_id} was voided ") and "by ben" in each for each in said[1:]
    )
    assert held(connection) == 1_000
    assert sql("SELECT transition::text, actor, reason FROM voucher_entries ORDER BY entry_id") == [
        ("issued", "dora", "asked at the till"),
        ("voided", "ben", "given back"),
    ]
    assert proofs(sql) == [(0, 0, 0, 0)]


def test_each_act_is_audited_and_a_refused_one_leaves_nothing(
    connection: psycopg.Connection, sql: Sql
) -> None:
    voucher_id = give(connection, key="k").voucher.voucher_id
    give(connection, key="k")
    with pytest.raises(Rejected):
        give(connection, price=5_000)
    void(connection, voucher_id, actor="ben", reason="given back")
    assert sql("SELECT actor, action, subject, reason FROM audit_log ORDER BY audit_no") == [
        ("dora", "voucher.issue", voucher_id, "asked at the till"),
        ("ben", "voucher.void", voucher_id, "given back"),
    ]
    assert sql("SELECT count(*) FROM vouchers") == [(1,)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"price": -1}, "price: -1 is not from 0"),
        ({"amount": 0}, "amount: 0 is not from 1"),
        ({"price": 10**15}, "price: 1000000000000000 is not from 0 to 100000000000000"),
        ({"price": 1_001}, r"price: 10\.01 EUR is more than the 10\.00 in the wallet"),
        ({"asset": "YEN"}, "asset: 'YEN' is unknown; use CAD, EUR, GBP, USD, XXX"),
        ({"currency": ""}, "currency: '' is unknown"),
        ({"asset": "GBP"}, "member: shop has no 'ann' with a wallet in GBP"),
        ({"member_id": "bob"}, "member: shop has no 'bob' with a wallet in EUR"),
        ({"partner_id": "a\0b"}, r"partner: contains the control character U\+0000"),
        ({"key": ""}, "key: empty"),
    ],
)
def test_what_cannot_be_issued_is_refused_by_the_name_of_its_field(
    connection: psycopg.Connection, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected, match=told):
        give(connection, **changes)
    assert held(connection) == 1_000


def test_an_act_without_a_name_or_a_reason_is_refused(connection: psycopg.Connection) -> None:
    for actor, reason, field in (("", "why", "actor"), ("dora", " ", "reason")):
        with pytest.raises(Rejected, match=f"{field}: empty"):
            issue(connection, Order(**ORDER), actor=actor, reason=reason)
        with pytest.raises(Rejected, match=f"{field}: empty"):
            void(connection, "vch_x", actor=actor, reason=reason)
    with pytest.raises(Rejected, match="there is no 'vch_x'"):
        void(connection, "vch_x", actor="dora", reason="why")


def test_vouchers_are_never_amended_and_a_transfer_needs_an_entry_of_either_kind(
    connection: psycopg.Connection, sql: Sql
) -> None:
    give(connection)
    are_append_only((("vouchers", "price"), ("voucher_entries", "reason")), sql, connection)
    with pytest.raises(psycopg.errors.ForeignKeyViolation, match="parent that does not exist"):
        sql(
            "INSERT INTO transfers SELECT 999999, leg, debit_account, credit_account, asset, 1"
            " FROM transfers LIMIT 1"
        )


def test_a_balance_as_known_and_the_publishers_statement_have_vouchers(
    connection: psycopg.Connection, ledger_url: str, sql: Sql
) -> None:
    first = give(connection).voucher
    void(connection, give(connection, price=100).voucher.voucher_id, actor="ben", reason="given back")
    sql("SET session_replication_role = replica")  # days that are over, to be told of
    sql("UPDATE voucher_entries SET event_at = '2023-12-05 10:00Z' WHERE transition = 'issued'")
    sql("UPDATE voucher_entries SET event_at = '2023-12-06 10:00Z' WHERE transition = 'voided'")
    with reading(ledger_url, "test") as looking:
        holder = Holder(partner_id="shop", member_id="ann")
        now = {
            each.account: each.balance for each in balances_of(looking, holder, asset="EUR") if each.livemode
        }
        known = balances_of(looking, holder, asset="EUR", known_at=first.issued_at - 1)
    assert now == {"member:pending": 0, "member:wallet": 400, "voucher:issued": 600}
    assert {each.account: each.balance for each in known if each.livemode}["member:wallet"] == 1_000
    issue_statements(ledger_url, ToIssue(date(2023, 11, 28), date(2023, 12, 6)))
    with reading(ledger_url, "test") as looking:
        told = {
            each.day.isoformat(): (each.vouchers, each.closing_earned)
            for each in statements(looking, Wanted(publisher_id="shop"))
            if each.livemode and each.asset == "EUR"
        }
    assert told["2023-12-04"] == (0, 1_000)
    assert told["2023-12-05"] == (700, 300)
    assert told["2023-12-06"] == (-100, 400)


def run(*arguments: str) -> tuple[int, str]:
    answer = CliRunner().invoke(build("vouchers"), ["vouchers", *arguments])
    return answer.exit_code, answer.stdout


def test_the_command_issues_shows_lists_and_voids(earned: Book, ledger_url: str) -> None:
    at = ("--database", ledger_url)
    who = ("--actor", "dora", "--reason", "asked at the till", *at)
    member = ("--partner", "shop", "--member", "ann")
    points = ["--asset", "XXX", "--price", "200", "--amount", "500", "--currency", "EUR", "--key", "k"]
    code, said = run("issue", *member, *points, "--json", *who)
    issued = json.loads(said)
    assert code == 0
    assert (issued["wallet"], issued["amount"], issued["state"]) == (100, 500, "issued")
    assert not issued["repeated"]
    voucher_id = issued["voucher_id"]
    code, said = run("issue", *member, *points, *who)
    assert said == f"{voucher_id} was issued before: 5.00 EUR for 200 XXX of ann; 100 XXX in the wallet\n"
    code, said = run("issue", *member, "--asset", "EUR", "--price", "50", "--test", *who)
    assert "0.50 EUR for 0.50 EUR of ann; 0.00 EUR in the wallet" in said
    code, said = run("void", voucher_id, *who)
    assert said == f"{voucher_id} is void: 5.00 EUR for 200 XXX of ann; 300 XXX in the wallet\n"
    listed = json.loads(run("list", "--state", "void", "--json", *at)[1])["vouchers"]
    assert [(each["voucher_id"], each["voided_by"]) for each in listed] == [(voucher_id, "dora")]
    assert len(json.loads(run("list", *member, "--json", *at)[1])["vouchers"]) == 2
    assert json.loads(run("list", "--since", "2099-01-01T00:00:00Z", "--json", *at)[1]) == {"vouchers": []}
    assert voucher_id in run("list", *at)[1]
    assert "voided" in run("show", voucher_id, *at)[1]
    assert json.loads(run("show", voucher_id, "--json", *at)[1])["mode"] == "live"
    assert run("list", "--state", "lost", *at)[0] == 2


ACT = ("--actor", "a", "--reason", "r")
MEMBER = ("--partner", "p", "--member", "m")


@pytest.mark.parametrize(
    "command",
    [
        ("issue", *MEMBER, "--asset", "EUR", "--price", "1", *ACT),
        ("void", "vch_x", *ACT),
        ("list",),
        ("show", "vch_x"),
    ],
    ids=lambda command: command[0],
)
def test_a_database_that_is_not_migrated_is_refused(database: str, command: tuple[str, ...]) -> None:
    answer = CliRunner().invoke(build("vouchers"), ["vouchers", *command, "--database", database])
    assert isinstance(answer.exception, WrongSchema)
    assert "cashback migrate" in str(answer.exception)
