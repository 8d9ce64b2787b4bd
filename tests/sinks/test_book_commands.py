"""The commands about the books: what they print, in which form, and what they refuse."""

import csv
import io
import json
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from ops.cli import build, explained
from sinks.migrations import WrongSchema
from tests.sinks.test_books import bought
from tests.sinks.test_posting import Book, cleared, reverted

Sql = Callable[..., list[tuple[Any, ...]]]
COMMANDS = (
    ("reconcile",),
    ("credits",),
    ("balance", "--merchant", "grocer"),
    ("statements", "list"),
    ("statements", "show", "stm_x"),
    ("statements", "issue", "--day", "2023-11-14"),
)


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    opened = Book(ledger_url)
    yield opened
    opened.connection.close()


def run(url: str, *words: str) -> Result:
    return CliRunner().invoke(build(words[0]), [*words, "--database", url])


def said(url: str, *words: str) -> str:
    answer = run(url, *words)
    assert answer.exit_code == 0, answer.output
    return answer.stdout


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def ids(url: str, *words: str) -> list[str]:
    return [each["transaction_ref"] for each in json.loads(said(url, "credits", *words, "--json"))["credits"]]


def test_reconcile_says_the_same_as_a_table_as_json_and_as_csv(book: Book, ledger_url: str) -> None:
    first = bought("order-1", 1_234)
    book.post(first, cleared(first), bought("order-2", 40, currency="XXX"), bought("t", 7, livemode=False))
    shown = json.loads(said(ledger_url, "reconcile", "--json"))
    assert shown["proof"] == 0
    assert [(line["day"], line["created"], line["mode"]) for line in shown["lines"]] == [
        ("2023-11-14", 1_234, "live"),
        ("2023-11-28", 0, "live"),
        ("2023-11-14", 40, "live"),
        ("2023-11-14", 7, "test"),
    ]
    rows = table(said(ledger_url, "reconcile", "--csv"))
    assert [row["line"] for row in rows] == ["day"] * 4 + ["total"] * 3
    assert [(row["mode"], row["asset"], row["created"], row["pending"]) for row in rows[4:]] == [
        ("live", "EUR", "1234", "0"),
        ("live", "XXX", "40", "40"),
        ("test", "EUR", "7", "7"),
    ]
    text = said(ledger_url, "reconcile", "--to", "2023-11-14")
    assert text.strip().splitlines()[-1].split() == ["total", "test", "EUR", "7", "0", "0", "7", "0", "0"]
    assert "1,234" in text


def test_a_proof_that_is_not_0_is_told_by_the_exit_code_in_every_form(book: Book, ledger_url: str) -> None:
    book.post(bought("order-1", 1_234))
    with psycopg.connect(ledger_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE balances SET balance = balance + 5 WHERE may_be_negative")
    for form in ((), ("--json",), ("--csv",)):
        answer = run(ledger_url, "reconcile", *form)
        assert answer.exit_code == 1
        assert answer.stderr.startswith("the proof is 5, not 0")
    assert run(ledger_url, "reconcile", "--merchant", "baker").exit_code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("reconcile", "--from", "2024-02-30"), "--from: '2024-02-30' is not a day; write YYYY-MM-DD"),
        (("reconcile", "--to", "20240230"), "--to: '20240230' is not a day; write YYYY-MM-DD"),
        (("reconcile", "--to", "1999-12-31"), "--to: 1999-12-31 lies outside the years 2000-2099"),
        (("credits", "--from", "2024-02-02", "--to", "2024-02-01"), "--to: 2024-02-01 lies before --from"),
        (("credits", "--json", "--csv"), "--csv: --json is given as well; choose one"),
        (("credits", "--after", "cbtx_none"), "--after: the ledger has no cashback 'cbtx_none'"),
        (("credits", "--member", "ann"), "--member: 'ann' may be of several partners"),
        (
            ("balance", "--merchant", "grocer", "--on", "2024-01-01T10:00:00"),
            "--on: '2024-01-01T10:00:00' has",
        ),
        (("balance", "--merchant", "grocer", "--known-at", "now"), "--known-at: 'now' is not a time"),
        (("statements", "show", "stm_x"), "ID: there is no statement 'stm_x'; copy it from"),
        (("statements", "issue", "--day", "2099-01-01"), "--day: 2099-01-01 is not over for every merchant"),
    ],
)
def test_what_is_wrong_is_told_by_its_name_and_with_its_remedy(
    ledger_url: str, words: tuple[str, ...], told: str
) -> None:
    answer = run(ledger_url, *words)
    assert isinstance(answer.exception, Exception)
    assert (explained(answer.exception) or "").startswith(told)


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_a_database_that_is_not_migrated_is_refused(database: str, words: tuple[str, ...]) -> None:
    with pytest.raises(WrongSchema, match="cashback migrate"):
        raise run(database, *words).exception or AssertionError


def test_every_credit_shows_its_basket_who_gave_it_and_both_its_times(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    first = bought("order-1", 1_234, employee_id=None, webhook_id="wh_7", receipt_id=None)
    book.post(first, reverted(first), bought("order-2", 500))
    online, store = json.loads(said(ledger_url, "credits", "--json"))["credits"][::-1]
    times = {name: online.pop(name) for name in ("credited_posted_at", "posted_at")}
    assert times["credited_posted_at"] < times["posted_at"]
    assert online == {
        "cashback_id": first[1]["cashback_transaction_id"],
        "mode": "live",
        "partner_id": "bank",
        "merchant_id": "grocer",
        "member_id": "ann",
        "transaction_ref": "order-1",
        "program_id": "campaign-1",
        "program_version": 1,
        "sequence": 1,
        "basket_minor": 123_400,
        "employee_id": None,
        "receipt_id": None,
        "webhook_id": "wh_7",
        "amount": 1_234,
        "asset": "EUR",
        "commission": 123,
        "state": "REVERTED",
        "transition": "reverted",
        "reason": "REFUNDED",
        "credited_at": "2023-11-14T22:13:20Z",
        "event_at": "2023-11-28T22:13:20Z",
        "day": "2023-11-14",
        "silent": False,
    }
    assert (store["employee_id"], store["receipt_id"], store["state"]) == (
        "till-7",
        "receipt-order-2",
        "PENDING",
    )
    assert "wh_7" in said(ledger_url, "credits")


def test_credits_are_found_by_everything_they_say(book: Book, ledger_url: str) -> None:
    first, second = bought("a", 100), bought("b", 100, day=1, program_id="gift", employee_id="till-9")
    book.post(
        first,
        second,
        bought("c", 100, member_id="bob", merchant="baker", webhook_id="wh_1"),
        bought("d", 100, partner="shop"),
        bought("e", 100, livemode=False),
        cleared(first),
    )
    assert ids(ledger_url) == ["e", "d", "c", "b", "a"]
    for words, found in (
        (("--partner", "bank", "--live"), ["c", "b", "a"]),
        (("--test",), ["e"]),
        (("--partner", "bank", "--member", "bob"), ["c"]),
        (("--merchant", "grocer", "--partner", "shop"), ["d"]),
        (("--merchant", "nobody"), []),
        (("--employee", "till-9"), ["b"]),
        (("--receipt", "receipt-d"), ["d"]),
        (("--webhook", "wh_1"), ["c"]),
        (("--program", "gift"), ["b"]),
        (("--state", "CLEARED"), ["a"]),
        (("--from", "2023-11-15"), ["b"]),
        (("--to", "2023-11-14", "--merchant", "grocer", "--live"), ["d", "a"]),
    ):
        assert ids(ledger_url, *words) == found, words


def test_pages_of_credits_follow_each_other_without_a_gap(book: Book, ledger_url: str) -> None:
    book.post(*(bought(f"order-{n}", 100 + n) for n in range(7)))
    seen: list[str] = []
    after: tuple[str, ...] = ()
    for _ in range(4):
        page = json.loads(said(ledger_url, "credits", "--json", "--limit", "2", *after))
        seen += [each["transaction_ref"] for each in page["credits"]]
        if page["next"] is None:
            break
        after = ("--after", page["next"])
        book.post(bought(f"later-{len(seen)}", 5))  # comes before the first page, so no page moves
    assert seen == [f"order-{n}" for n in range(6, -1, -1)]
    assert len(table(said(ledger_url, "credits", "--csv"))) == 10


def test_csv_is_rfc_4180_and_runs_no_formula(book: Book, ledger_url: str) -> None:
    nasty: dict[str, Any] = {
        "member_id": '=HYPERLINK("http://x","y")',
        "employee_id": "+1",
        "receipt_id": "a,b\r\nc",
        "webhook_id": "@x",
    }
    book.post(bought("-order", 100, **nasty))
    text = said(ledger_url, "credits", "--csv")
    [row] = table(text)
    assert row["member_id"] == "'" + nasty["member_id"]
    assert (row["employee_id"], row["webhook_id"], row["transaction_ref"]) == ("'+1", "'@x", "'-order")
    raw = run(ledger_url, "credits", "--csv").stdout_bytes
    assert raw.count(b"\r\n") == 3
    assert b'"a,b\r\nc"' in raw
    assert b'"\'=HYPERLINK(""http://x"",""y"")"' in raw
    book.post(reverted(bought("-order", 100, **nasty)))
    amounts = table(said(ledger_url, "reconcile", "--csv"))
    assert {row["proof"] for row in amounts} == {"0"}


def test_a_statement_is_issued_listed_and_shown_and_says_what_a_revision_changed(
    book: Book, ledger_url: str
) -> None:
    book.post(bought("order-1", 1_000))
    issue = ("statements", "issue", "--day", "2023-11-14")
    assert "2 issued, 0 revised" in said(ledger_url, *issue)
    late = bought("order-2", 50)
    book.post(late)
    issued = json.loads(said(ledger_url, *issue, "--json"))["issued"]
    assert [(each["side"], each["party_id"], each["revision"]) for each in issued] == [
        ("merchant", "grocer", 2),
        ("publisher", "bank", 2),
    ]
    listed = json.loads(said(ledger_url, "statements", "list", "--merchant", "grocer", "--json"))
    assert listed == {"statements": [issued[0]]}
    rows = table(said(ledger_url, "statements", "list", "--all", "--csv"))
    assert [(row["side"], row["revision"], row["created"]) for row in rows] == [
        ("merchant", "1", "1000"),
        ("merchant", "2", "1050"),
        ("publisher", "1", "1000"),
        ("publisher", "2", "1050"),
    ]
    text = said(ledger_url, "statements", "show", issued[0]["statement_id"])
    assert "changed: created was 1000, is 1050" in text
    assert f"came late: {late[1]['event_id']}" in text
    assert f"revision 1: {rows[0]['statement_id']}" in text
    shown = json.loads(said(ledger_url, "statements", "show", rows[0]["statement_id"], "--json"))
    assert (shown["statement"]["created"], shown["statement"]["changed"]) == (1_000, None)
    assert shown["other_revisions"] == [{"statement_id": issued[0]["statement_id"], "revision": 2}]


def test_a_balance_on_a_day_is_that_of_its_end_where_the_merchant_is(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    sql("INSERT INTO merchants VALUES ('grocer', 'Asia/Tokyo')")
    book.post(bought("order-1", 1_000))
    merchant = ("balance", "--merchant", "grocer", "--json", "--on")
    for day, funding in (("2023-11-14", 0), ("2023-11-15", -1_100)):
        shown = json.loads(said(ledger_url, *merchant, day))
        assert shown["on"] == f"{day}T14:59:59.999999Z"
        assert {each["account"]: each["balance"] for each in shown["balances"]}["merchant:funding"] == funding
    member = ("balance", "--partner", "bank", "--member", "ann", "--on", "2023-11-14")
    assert "10.00" in said(ledger_url, *member)


def test_reading_writes_nothing(book: Book, sql: Sql, ledger_url: str) -> None:
    book.post(bought("order-1", 1_000))
    said(ledger_url, "statements", "issue", "--day", "2023-11-14")
    [(before,)] = sql("SELECT pg_current_xact_id()::text::bigint")
    for words in COMMANDS[:4]:
        said(ledger_url, *words)
    assert sql("SELECT pg_current_xact_id()::text::bigint") == [(before + 1,)]
