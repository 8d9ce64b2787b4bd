"""The ledger while PostgreSQL is away for a minute: it stays small, and soon has made up for it."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import Producer

from ops import topics
from ops.embedded.postgres import Postgres
from ops.settings import Settings
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES
from sinks import migrations
from sinks.ledger.bench import created_event, resolved
from sinks.reconcile import reconcile
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes

PER_S = 400
AWAY_S = 60
GROWTH_MAX = 48 << 20
TOLD = "'{cashback.created,cashback.cleared}'"


def events() -> Iterator[tuple[str, dict[str, Any]]]:
    for number in itertools.count():
        created = created_event("shop", f"member-{number % 500}", f"order-{number}", 100 + number % 900)
        yield "CashbackCreated", created
        yield "CashbackCleared", resolved(created, "cleared")


@pytest.fixture
def server(data_directory: Path) -> Iterator[Postgres]:
    """A PostgreSQL of this test alone, because it is stopped."""
    started = Postgres(data_directory, durable=False)
    started.start()
    migrations.upgrade(started.url)
    yield started
    started.stop()


@pytest.fixture
def log(broker: str, topic_prefix: str, server: Postgres) -> Log:
    settings = Settings(brokers=broker, topic_prefix=topic_prefix, database_url=server.url, partitions=2)
    topics.create(settings, [CASHBACK_EVENTS, REVERSAL_CASES])
    return Log(settings, Producer({"bootstrap.servers": broker, "linger.ms": 1}))


@contextmanager
def flowing(log: Log, source: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[Callable[[], int]]:
    """Publishes at a steady rate; yields a function that says how many."""
    ended, sent = threading.Event(), [0]

    def flow() -> None:
        began_s = time.monotonic()
        while not ended.wait(0.05):
            due = int((time.monotonic() - began_s) * PER_S) - sent[0]
            log.publish(list(itertools.islice(source, due)))
            sent[0] += due

    thread = threading.Thread(target=flow)
    thread.start()
    try:
        yield lambda: sent[0]
    finally:
        ended.set()
        thread.join()


def posted(server: Postgres) -> int:
    with psycopg.connect(server.url, autocommit=True) as connection:
        row = connection.execute("SELECT count(*) FROM entries").fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_minute_without_postgresql_costs_no_memory_and_is_made_up_at_twice_the_input_rate(
    server: Postgres, log: Log, tmp_path: Path
) -> None:
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO webhook_endpoints (partner_id, livemode, url, secrets, event_types) "
            f"VALUES ('shop', true, 'https://example.com/', '{{x}}', {TOLD})".encode()
        )
    source, before = events(), 20_000
    log.publish(list(itertools.islice(source, before)))
    children = Processes(tmp_path / "children.log", log.settings)
    try:
        sink = psutil.Process(children.start("sinks.ledger").pid)
        eventually(lambda: posted(server) == before, timeout_s=60)
        usual = sink.memory_info().rss
        server.stop()
        sizes = []
        with flowing(log, source) as sent:

            def minute_is_over() -> bool:
                sizes.append(sink.memory_info().rss)
                return sent() >= PER_S * AWAY_S

            eventually(minute_is_over, timeout_s=AWAY_S * 2, every_s=0.2)
            assert max(sizes) - usual < GROWTH_MAX
            server.start()
            behind, began_s = posted(server), time.monotonic()
            eventually(lambda: posted(server) >= before + sent() - PER_S, timeout_s=60)
            made_up = (posted(server) - behind) / (time.monotonic() - began_s)
        eventually(lambda: posted(server) == before + sent(), timeout_s=30)
    finally:
        children.end()
    assert made_up >= 2 * PER_S, f"{made_up:.0f} entries a second"
    with psycopg.connect(server.url, autocommit=True) as connection:
        counted = connection.execute(
            "SELECT count(DISTINCT event_id), count(*) FROM entries JOIN webhook_queue USING (entry_id)"
        ).fetchone()
    assert counted == (before + sent(), before + sent())
    assert {line.proof for line in reconcile(server.url)} == {0}
