"""Backups made with PostgreSQL's own programs, and what a sink does with a database restored from one."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from ops import topics
from ops.embedded.postgres import Postgres, binaries
from schemas.topics import CASHBACK_EVENTS, DECISIONS, INPUTS, QUARANTINE
from sinks.books.issuing import Wanted as ToIssue
from sinks.books.issuing import issue
from sinks.migrations import upgrade
from sinks.reconcile import reconcile
from sinks.webhooks.endpoints import register
from tests.e2e.bad_inputs import bytes_of, payment
from tests.e2e.book import Book as Everything
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes
from tests.sinks.test_books import FIRST, bought
from tests.sinks.test_consumer import history
from tests.sinks.test_posting import Book, Event, cleared

Sql = Callable[..., list[tuple[Any, ...]]]


def count(url: str, query: str = "SELECT count(*) FROM entries") -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        [(found,)] = connection.execute(query.encode()).fetchall()
        return int(found)


def whole(url: str) -> dict[str, list[tuple[Any, ...]]]:
    book = Everything(url)
    try:
        return book.whole()
    finally:
        book.close()


def dump(url: str, to: Path) -> None:
    subprocess.run([binaries() / "pg_dump", "--format=custom", f"--file={to}", url], check=True, timeout=60)


@pytest.fixture
def restore(postgres: Postgres) -> Iterator[Callable[[Path], str]]:
    """Restores a dump into a new database and returns its URL."""
    made: list[str] = []

    def run(archive: Path) -> str:
        name = f"r{os.urandom(6).hex()}"
        with psycopg.connect(postgres.url, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
        made.append(name)
        command: list[str | Path] = [
            binaries() / "pg_restore",
            "--exit-on-error",
            f"--dbname={postgres.url_of(name)}",
            archive,
        ]
        subprocess.run(command, check=True, timeout=60)
        return postgres.url_of(name)

    yield run
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        for name in made:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_a_database_restored_behind_its_log_catches_up_and_tells_again_what_came_after_the_backup(
    log: Log, processes: Processes, ledger_url: str, tmp_path: Path, restore: Callable[[Path], str]
) -> None:
    register(
        ledger_url,
        partner_id="shop",
        livemode=True,
        url="https://example.com/",
        allow_loopback=False,
        actor="dora",
        reason="a test",
    )
    events = history(400)
    first = processes.start("sinks.ledger", ledger_batch_events=100)
    log.publish(events[:500])
    eventually(lambda: count(ledger_url) == 500, timeout_s=30)
    with psycopg.connect(ledger_url) as connection:
        connection.execute("DELETE FROM webhook_queue")  # as if all of it had been delivered
    dump(ledger_url, tmp_path / "backup")
    log.publish(events[500:])
    eventually(lambda: count(ledger_url) == 800, timeout_s=30)
    first.terminate()
    first.wait(15)

    restored = restore(tmp_path / "backup")
    assert count(restored) == 500
    processes.start("sinks.ledger", database_url=restored, ledger_batch_events=100)
    eventually(lambda: count(restored) == 800, timeout_s=30)

    # The same accounts, transfers and balances, and webhooks with the same ids and bodies, to the byte.
    assert whole(restored) == whole(ledger_url)
    assert {line.proof for line in reconcile(restored)} == {0}
    with psycopg.connect(restored) as connection:
        query = "SELECT event_id FROM webhook_queue JOIN webhook_messages USING (entry_id)"
        again = [event_id for (event_id,) in connection.execute(query)]
    assert sorted(again) == sorted(event["event_id"] for _, event in events[500:])


def test_a_dump_taken_while_the_ledger_posts_restores_to_a_whole_ledger(
    log: Log, processes: Processes, ledger_url: str, tmp_path: Path, restore: Callable[[Path], str]
) -> None:
    events = history(3_000)
    processes.start("sinks.ledger", ledger_batch_events=20)
    log.publish(events)
    eventually(lambda: count(ledger_url) > 500, timeout_s=30)
    dump(ledger_url, tmp_path / "backup")
    eventually(lambda: count(ledger_url) == len(events), timeout_s=60)
    restored = restore(tmp_path / "backup")
    assert 0 < count(restored) < len(events), "the dump was not taken in the middle"
    assert {line.proof for line in reconcile(restored)} == {0}
    processes.start("sinks.ledger", database_url=restored)
    eventually(lambda: count(restored) == len(events), timeout_s=60)
    assert whole(restored) == whole(ledger_url)
    assert count(restored, "SELECT count(*) FROM ledger_quarantine") == 0


def refused(processes: Processes, url: str, words: str, module: str = "sinks.ledger") -> None:
    before = len(processes.log.read_text()) if processes.log.exists() else 0
    assert processes.start(module, database_url=url).wait(30) == 1
    assert words in processes.log.read_text()[before:]


def posted_and_dumped(log: Log, processes: Processes, url: str, events: list[Event], to: Path) -> None:
    sink = processes.start("sinks.ledger")
    log.publish(events)
    eventually(lambda: count(url) == len(events), timeout_s=30)
    sink.terminate()
    sink.wait(15)
    dump(url, to)


def topic_again(log: Log) -> None:
    """The topic as if it had never been: what is published next begins at 0."""
    admin = AdminClient({"bootstrap.servers": log.settings.brokers})
    for waiting in admin.delete_topics([log.events], operation_timeout=30).values():
        waiting.result(30)
    eventually(lambda: log.events not in admin.list_topics(timeout=10).topics, timeout_s=30)
    topics.create(log.settings, [CASHBACK_EVENTS])


def test_a_database_ahead_of_the_log_or_beside_another_log_is_refused(
    log: Log, processes: Processes, ledger_url: str, tmp_path: Path, restore: Callable[[Path], str]
) -> None:
    events = history(50)
    posted_and_dumped(log, processes, ledger_url, events, tmp_path / "backup")
    restored = restore(tmp_path / "backup")
    topic_again(log)
    log.publish(events[:20])
    refused(processes, restored, "the database is ahead of the log")
    log.publish(history(200)[100:])
    refused(processes, restored, "what lies there is not what it has read")
    assert count(restored) == len(events)


def test_a_gap_that_the_log_no_longer_holds_is_refused_and_so_is_an_empty_database_behind_it(
    log: Log,
    processes: Processes,
    ledger_url: str,
    database: str,
    tmp_path: Path,
    restore: Callable[[Path], str],
) -> None:
    events = history(50)
    posted_and_dumped(log, processes, ledger_url, events[:60], tmp_path / "backup")
    log.publish(events[60:])
    gone = TopicPartition(log.events, 0, 80)
    admin = AdminClient({"bootstrap.servers": log.settings.brokers})
    admin.delete_records([gone])[gone].result(30)
    refused(processes, restore(tmp_path / "backup"), "what lies between is gone; restore a newer backup")
    upgrade(database)
    refused(processes, database, "which begins at 80: what lay before is gone")
    refused(processes, database, "which begins at 80: what lay before is gone")
    assert count(database, "SELECT count(*) FROM sink_positions") == 0


def test_tables_restored_without_their_sequence_are_refused_until_it_is_set(
    log: Log, processes: Processes, ledger_url: str, sql: Sql
) -> None:
    events = history(20)
    sink = processes.start("sinks.ledger")
    log.publish(events[:30])
    eventually(lambda: count(ledger_url) == 30, timeout_s=30)
    sink.terminate()
    sink.wait(15)
    sql("SELECT setval('entry_ids', 1, false)")
    refused(processes, ledger_url, "the sequence entry_ids stands at 0")
    sql("SELECT setval('entry_ids', (SELECT max(entry_id) FROM entries))")
    log.publish(events[30:])
    processes.start("sinks.ledger")
    eventually(lambda: count(ledger_url) == len(events), timeout_s=30)
    assert sql("SELECT count(*) FROM ledger_quarantine") == [(0,)]


def test_the_index_of_places_restored_behind_catches_up_and_beside_another_log_is_refused(
    log: Log, processes: Processes, ledger_url: str, tmp_path: Path, restore: Callable[[Path], str], sql: Sql
) -> None:
    topics.create(log.settings, [INPUTS, DECISIONS, QUARANTINE])
    inputs = INPUTS.full_name(log.settings.topic_prefix)

    def pay(*numbers: int) -> None:
        for number in numbers:
            log.producer.produce(inputs, bytes_of(payment(f"order-{number}")), b"bank:ann", 0)
        log.producer.flush(10)

    places = "SELECT count(*) FROM payment_places"
    pay(*range(10))
    first = processes.start("sinks.places")
    eventually(lambda: count(ledger_url, places) == 10, timeout_s=30)
    dump(ledger_url, tmp_path / "backup")
    first.terminate()
    first.wait(15)
    pay(*range(10, 15))
    restored = restore(tmp_path / "backup")
    second = processes.start("sinks.places", database_url=restored)
    eventually(lambda: count(restored, places) == 15, timeout_s=30)
    second.terminate()
    second.wait(15)
    with psycopg.connect(restored) as connection:
        connection.execute("DELETE FROM payment_places")  # but not its positions
    refused(processes, restored, "is not what it has read", module="sinks.places")


@pytest.fixture
def copied(server_files: Path) -> Iterator[Postgres]:
    """A server of its own to be started on a base backup, in a directory PostgreSQL's user can reach."""
    with tempfile.TemporaryDirectory(prefix="cashback-copy-") as directory:
        server = Postgres(Path(directory) / "postgres", durable=False)
        yield server
        server.stop()


def test_a_base_backup_of_the_running_server_goes_on_where_it_was_taken(
    postgres: Postgres, copied: Postgres, ledger_url: str
) -> None:
    book = Book(ledger_url)
    events: list[Event] = [bought(f"order-{n}", 100 + n, day=n % 2) for n in range(30)]
    book.post(*events)
    issue(ledger_url, ToIssue(FIRST, FIRST))
    copied.directory.mkdir()
    command: list[str | Path] = [
        binaries() / "pg_basebackup",
        "-D",
        copied.directory / "data",
        "-X",
        "stream",
        "-c",
        "fast",
    ]
    subprocess.run([*command, "-d", postgres.url_of("postgres")], check=True, timeout=60)
    book.post(*(cleared(each) for each in events))
    shutil.copy(postgres.directory / "endpoint.json", copied.directory)
    if os.geteuid() == 0:
        owner = (postgres.directory / "data").stat()
        for path in (copied.directory / "data", *(copied.directory / "data").rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
    copied.start()
    url = copied.url_of(ledger_url.rpartition("/")[2])
    assert count(url) == 30
    again = Book(url)
    again.post(*(cleared(each) for each in events))
    assert {line.proof for line in reconcile(url)} == {0}
    assert whole(url) == whole(ledger_url)
    assert count(url, "SELECT count(*) FROM statements") == 2
    again.connection.close()
    book.connection.close()
