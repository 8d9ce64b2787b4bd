"""`cashback reversals` and `cashback revoke` before anything is written: lists, refusals, two people."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ops.cli import build, explained
from ops.settings import get_settings
from schemas import ids
from sinks.audit import verify
from tests.sinks.test_posting import Book, cleared, created, reverted
from tests.sinks.test_reversing import case, reversed_

Sql = Callable[..., list[tuple[Any, ...]]]

CASHBACK = created()[1]["cashback_transaction_id"]
CASE = ids.reversal_case_id(CASHBACK)
WHO = ("--actor", "ann", "--reason", "returned")
NO_KAFKA = "127.0.0.1:9"


@pytest.fixture
def book(ledger_url: str) -> Iterator[Book]:
    """A cleared cashback of 1999, of which a refund left 20 too much."""
    opened = Book(ledger_url)
    opened.post(created(), cleared(created()), case(2, case_id=CASE))
    yield opened
    opened.connection.close()


@pytest.fixture
def two_people(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two must approve."""
    monkeypatch.setenv("CASHBACK_REVERSAL_APPROVALS", "2")
    get_settings.cache_clear()
    yield
    get_settings.cache_clear()


def run(url: str, *words: str) -> Result:
    more = ["--brokers", NO_KAFKA] if words[1] in ("approve", "decline") or words[0] == "revoke" else []
    return CliRunner().invoke(build(words[0]), [*words, *more, "--database", url])


def refused(answer: Result) -> str:
    assert answer.exit_code == 1
    assert isinstance(answer.exception, Exception)
    return explained(answer.exception) or repr(answer.exception)


def listed(url: str, *words: str) -> list[dict[str, Any]]:
    answer = run(url, "reversals", "list", *words, "--json")
    assert answer.exit_code == 0, answer.output
    cases: list[dict[str, Any]] = json.loads(answer.stdout)["cases"]
    return cases


def test_list_shows_the_open_ones_by_default_and_others_by_state_and_partner(
    book: Book, ledger_url: str
) -> None:
    book.post(case(2, case_id="rvc_2", state="DECLINED", actor="ann", note="goodwill", cause="DECIDED"))
    book.post(case(2, case_id="rvc_3", shortfall=0))
    assert [each["case_id"] for each in listed(ledger_url)] == [CASE]
    assert [each["case_id"] for each in listed(ledger_url, "--state", "declined")] == ["rvc_2"]
    assert [each["case_id"] for each in listed(ledger_url, "--state", "made_good")] == ["rvc_3"]
    assert len(listed(ledger_url, "--state", "all")) == 3
    assert listed(ledger_url, "--state", "all", "--partner", "other") == []
    (one,) = listed(ledger_url)
    assert (one["amount"], one["shortfall"], one["cause"], one["state"]) == (1_999, 20, "REFUNDED", "OPEN")
    table = run(ledger_url, "reversals", "list").stdout
    assert "0.20 EUR" in table
    assert "19.99 EUR" in table
    assert run(ledger_url, "reversals", "list", "--state", "shut").exit_code == 2


def test_show_tells_the_life_of_a_case(book: Book, ledger_url: str) -> None:
    book.post(case(2, case_id=CASE, revision=2, state="APPROVED", actor="ann", note="so", cause="DECIDED"))
    shown = run(ledger_url, "reversals", "show", CASE).stdout
    assert "1. open, 0.20 EUR too much, refunded" in shown
    assert "2. approved, decided by ann (so)" in shown
    told = json.loads(run(ledger_url, "reversals", "show", CASE, "--json").stdout)
    assert [each["state"] for each in told["revisions"]] == ["OPEN", "APPROVED"]
    assert "there is no rvc_x" in refused(run(ledger_url, "reversals", "show", "rvc_x"))


@pytest.mark.parametrize("verb", ["approve", "decline"])
def test_what_cannot_be_decided_is_refused_before_anything_is_written(
    book: Book, sql: Sql, ledger_url: str, verb: str
) -> None:
    made_good = case(2, case_id="rvc_good", shortfall=0)
    approved = case(2, case_id="rvc_done", state="APPROVED", actor="bob", note="so", cause="DECIDED")
    pending, gone = created("order-2"), created("order-3")
    book.post(pending, gone, cleared(gone), reversed_(gone), made_good, approved)
    for name, event in (("rvc_pending", pending), ("rvc_gone", gone)):
        about = {"cashback_transaction_id": event[1]["cashback_transaction_id"], "case_id": name}
        book.post(case(2, **about))
    for case_id, words, problem in (
        ("rvc_x", WHO, "there is no rvc_x"),
        ("rvc_good", WHO, "a later capture made it good"),
        ("rvc_done", WHO, "was approved by bob"),
        ("rvc_pending", WHO, "is pending, not cleared"),
        ("rvc_gone", WHO, "is reverted, not cleared"),
        (CASE, ("--actor", "", "--reason", "so"), "actor: empty"),
        (CASE, ("--actor", "ann", "--reason", "  "), "reason: empty"),
        (CASE, ("--actor", "ann", "--reason", "a\nb"), "reason: contains the control character"),
    ):
        assert problem in refused(run(ledger_url, "reversals", verb, case_id, *words))
    assert sql("SELECT count(*) FROM audit_log") == [(0,)]
    assert sql("SELECT count(*) FROM reversal_approvals") == [(0,)]


@pytest.mark.usefixtures("two_people")
def test_the_first_of_two_approvals_waits_and_is_listed_and_the_same_person_is_refused(
    book: Book, sql: Sql, ledger_url: str
) -> None:
    answer = run(ledger_url, "reversals", "approve", CASE, *WHO)
    assert answer.stdout == f"{CASE} is approved by ann: it waits for a second person\n"
    assert listed(ledger_url)[0]["waits_for_second"]["actor"] == "ann"
    assert "approved by ann" in run(ledger_url, "reversals", "list").stdout
    for same in ("ann", " Ann ", "ann\u200b", "\uff41nn"):
        again = run(ledger_url, "reversals", "approve", CASE, "--actor", same, "--reason", "so")
        assert "waits for another person" in refused(again)
    assert sql("SELECT actor, action, subject, reason FROM audit_log") == [
        ("ann", "reversal.approve", CASE, "returned")
    ]
    # A refund makes another case of it: what was approved is no longer what it is.
    book.post(case(2, case_id=CASE, revision=2, shortfall=50))
    assert "waits_for_second" not in listed(ledger_url)[0]
    assert verify(book.connection).broken is None


@pytest.mark.usefixtures("two_people", "book")
def test_a_second_approval_is_audited_before_it_is_written(sql: Sql, ledger_url: str) -> None:
    run(ledger_url, "reversals", "approve", CASE, *WHO)
    second = run(ledger_url, "reversals", "approve", CASE, "--actor", "bob", "--reason", "seen")
    assert "no Kafka at" in refused(second)
    assert sql("SELECT actor, details->>'first' FROM audit_log ORDER BY audit_no") == [
        ("ann", None),
        ("bob", "ann"),
    ]


def test_an_approval_is_not_changed_by_anybody(book: Book, sql: Sql) -> None:
    sql("INSERT INTO reversal_approvals VALUES ('rvc_1', 1, 'ann', 'Ann', 'so')")
    for change in ("UPDATE reversal_approvals SET actor = 'x'", "DELETE FROM reversal_approvals"):
        with pytest.raises(Exception, match="append-only"):
            sql(change)
        with pytest.raises(Exception, match="permission denied"):
            book.connection.execute(change.encode())


@pytest.mark.parametrize(
    ("events", "cases", "problem"),
    [
        ([created(), reverted(created())], [], "was reverted"),
        ([created(), cleared(created()), reversed_(created())], [], "was reverted"),
        (
            [created(), cleared(created())],
            [case(2, case_id=CASE, shortfall=1_999, cause="REVOKED", actor="eve", note="fraud")],
            f"cashback reversals approve {CASE}",
        ),
    ],
)
def test_what_was_taken_back_or_is_about_to_be_is_not_revoked_again(
    ledger_url: str, events: list[Any], cases: list[bytes], problem: str
) -> None:
    opened = Book(ledger_url)
    opened.post(*events, *cases)
    opened.connection.close()
    assert problem in refused(run(ledger_url, "revoke", CASHBACK, *WHO))
