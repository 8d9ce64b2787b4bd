"""The audit log: chained by the database, proved anew here, append-only for everybody."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from ops.cli import build
from schemas.errors import Rejected
from sinks.audit import Mark, head, latest, record, verify
from sinks.database import become_writer, session
from sinks.migrations import WrongSchema

Sql = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def connection(ledger_url: str) -> Iterator[psycopg.Connection]:
    with session(ledger_url, "test") as opened:
        yield opened


def act(connection: psycopg.Connection, number: int, **changes: Any) -> Mark:
    said = {
        "actor": "dora",
        "action": "endpoint.disable",
        "subject": f"endpoint {number}",
        "reason": "it hangs",
        "details": {"url": "https://ä.example/", "tries": number},
    }
    with connection.transaction():
        return record(connection, **(said | changes))


def run(*arguments: str) -> tuple[int, str, str]:
    answer = CliRunner().invoke(build("audit"), ["audit", *arguments])
    return answer.exit_code, answer.stdout, answer.stderr


def test_each_act_is_bound_to_the_one_before_it(connection: psycopg.Connection) -> None:
    assert verify(connection).head == Mark(0, "00" * 32)
    marks = [act(connection, number) for number in (1, 2, 3)]
    acts = latest(connection, most=10)
    assert [each.audit_no for each in acts] == [1, 2, 3]
    assert [each.previous_hash.hex() for each in acts] == ["00" * 32, marks[0].hash, marks[1].hash]
    assert json.loads(acts[2].details) == {"url": "https://ä.example/", "tries": 3}
    verified = verify(connection)
    assert (verified.rows, verified.head, verified.broken) == (3, marks[2], None)
    assert head(connection) == marks[2]


def test_an_act_that_is_rolled_back_leaves_no_gap(connection: psycopg.Connection) -> None:
    act(connection, 1)
    with connection.transaction(force_rollback=True):
        act(connection, 2)
    assert act(connection, 3).audit_no == 2
    assert verify(connection).broken is None


def test_many_at_once_never_fork_the_chain(ledger_url: str, connection: psycopg.Connection) -> None:
    def append(name: int) -> None:
        with session(ledger_url, "test") as own:
            become_writer(own)
            for number in range(20):
                act(own, number, actor=f"actor-{name}")

    with ThreadPoolExecutor(5) as actors:
        list(actors.map(append, range(5)))
    verified = verify(connection)
    assert (verified.rows, verified.broken) == (100, None)


@pytest.mark.parametrize(
    ("tampering", "row", "problem"),
    [
        ("UPDATE audit_log SET reason = 'other' WHERE audit_no = 2", 2, "it was changed"),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE audit_no = 3", 3, "it was changed"),
        ("UPDATE audit_log SET details = '{\"tries\":2}' WHERE audit_no = 2", 2, "it was changed"),
        ("UPDATE audit_log SET hash = sha256('x') WHERE audit_no = 4", 4, "it was changed"),
        ("DELETE FROM audit_log WHERE audit_no = 2", 3, "what was between them is gone"),
        ("DELETE FROM audit_log WHERE audit_no = 1", 2, "what was between them is gone"),
        ("DELETE FROM audit_log WHERE audit_no = 4", 4, "its end is gone"),
        ("DELETE FROM audit_log", 1, "its end is gone"),
        (
            "INSERT INTO audit_log SELECT 5, at, actor, action, subject, reason, details, hash, sha256(hash) "
            "FROM audit_log WHERE audit_no = 4",
            5,
            "it was changed",
        ),
        (
            "UPDATE audit_log SET previous_hash = sha256('x'), hash = sha256('y') WHERE audit_no = 3",
            3,
            "another hash",
        ),
        ("UPDATE audit_head SET hash = sha256('x')", 4, "the head names another"),
    ],
)
def test_whatever_is_tampered_with_is_named_by_its_first_row(
    connection: psycopg.Connection, sql: Sql, ledger_url: str, tampering: str, row: int, problem: str
) -> None:
    for number in range(1, 5):
        act(connection, number)
    sql("SET session_replication_role = replica")  # what a superuser could do
    sql(tampering)
    broken = verify(connection).broken
    assert broken is not None
    assert (broken.audit_no, problem in broken.problem) == (row, True), broken
    code, said, told = run("verify", "--json", "--database", ledger_url)
    assert (code, json.loads(said)["broken"]["audit_no"]) == (1, row)
    assert told.startswith(f"row {row}: ")


def test_a_cut_together_with_the_head_is_seen_by_whoever_kept_a_hash(
    connection: psycopg.Connection, sql: Sql, ledger_url: str
) -> None:
    first, second = act(connection, 1), act(connection, 2)
    sql("SET session_replication_role = replica")
    sql("DELETE FROM audit_log WHERE audit_no = 2")
    sql("UPDATE audit_head SET audit_no = 1, hash = (SELECT hash FROM audit_log)")
    assert verify(connection, expect=first.hash).broken is None
    assert verify(connection).broken is None
    assert run("verify", "--expect", first.hash, "--database", ledger_url)[0] == 0
    code, _, told = run("verify", "--expect", second.hash, "--database", ledger_url)
    assert (code, told) == (1, f"row 2: no row has the expected hash {second.hash}\n")


@pytest.mark.parametrize("table", ["audit_log", "audit_head"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET audit_no = audit_no", "DELETE FROM {}", "TRUNCATE {}", "INSERT INTO {}{}"]
)
def test_nobody_changes_what_was_recorded(
    connection: psycopg.Connection, ledger_url: str, table: str, change: str
) -> None:
    act(connection, 1)
    insert = " (audit_no, hash) VALUES (9, 'x')"
    statement = change.format(table, insert).encode()
    is_head_or_change = table == "audit_head" or not change.startswith("INSERT")
    if is_head_or_change:
        with pytest.raises(psycopg.errors.RestrictViolation, match="refused"):
            connection.execute(statement)
    with session(ledger_url, "test") as writer:
        assert become_writer(writer)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            writer.execute(statement)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"actor": ""}, "actor: empty"),
        ({"actor": "  "}, "actor: is blank"),
        ({"actor": "a\x1fb"}, "actor: contains the control character U\\+001F"),
        ({"action": "x" * 129}, "action: 129 characters long"),
        ({"subject": "a\nb"}, "subject: contains the control character U\\+000A"),
        ({"reason": " "}, "reason: empty"),
        ({"reason": "x" * 1_001}, "reason: 1001 characters long"),
        ({"reason": "a\x1fb"}, "reason: holds U\\+0000, U\\+001F"),
        ({"reason": "\ud800"}, "reason: holds"),
        ({"details": {"a": "x" * 100_000}}, "details: 100008 characters of JSON"),
        ({"details": {"a": "\udfff"}}, "details: hold half a surrogate pair"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_the_name_of_its_field(
    connection: psycopg.Connection, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(Rejected, match=told):
        act(connection, 1, **changes)
    assert head(connection).audit_no == 0


def test_odd_texts_are_kept_and_hashed_as_they_are(connection: psycopg.Connection) -> None:
    act(connection, 1, reason='two\nlines "ß" \\u0041', details={"nul": "\0", "sep": "\x1f", "big": 2**80})
    verified = verify(connection)
    assert (verified.rows, verified.broken) == (1, None)


def test_an_act_cannot_be_recorded_apart_from_what_it_records(connection: psycopg.Connection) -> None:
    with pytest.raises(AssertionError, match="commit together"):
        record(connection, actor="a", action="b", subject="c", reason="d", details={})


def test_the_list_is_filtered_and_shows_the_head(connection: psycopg.Connection, ledger_url: str) -> None:
    act(connection, 1)
    act(connection, 2, actor="ben")
    last = act(connection, 3)
    for options, numbers in (
        ((), [1, 2, 3]),
        (("--most", "2"), [2, 3]),
        (("--actor", "ben"), [2]),
        (("--subject", "endpoint 3"), [3]),
        (("--since", "2099-01-01T00:00:00Z"), []),
    ):
        code, said, _ = run("list", "--json", *options, "--database", ledger_url)
        shown = json.loads(said)
        assert (code, [each["audit_no"] for each in shown["acts"]]) == (0, numbers)
        assert shown["head"] == {"audit_no": 3, "hash": last.hash}
    code, said, _ = run("list", "--database", ledger_url)
    assert "endpoint.disable" in said
    assert said.endswith(f"head: 3 {last.hash}\n")


def test_a_hash_that_is_none_is_wrong_use(ledger_url: str) -> None:
    assert run("verify", "--expect", "abc", "--database", ledger_url)[0] == 2


@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_database_that_is_not_migrated_is_refused(database: str, command: str) -> None:
    answer = CliRunner().invoke(build("audit"), ["audit", command, "--database", database])
    assert isinstance(answer.exception, WrongSchema)
    assert "cashback migrate" in str(answer.exception)
