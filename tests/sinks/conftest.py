"""Databases, topics and processes of the sinks' tests."""

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zlib import crc32

import psycopg
import pytest
from confluent_kafka import Producer

from ops import topics
from ops.settings import Settings
from schemas.codec import encode
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES
from sinks import migrations
from sinks.webhooks.lane import WINDOW_AT_FIRST
from tests.eventually import eventually
from tests.sinks.receiver import Reply
from tests.sinks.scene import Scene


@pytest.fixture(scope="session")
def template(postgres: Any) -> str:
    """Name of a migrated, empty database: copying it for each test is quicker than migrating."""
    name = "sinks_template"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    migrations.upgrade(postgres.url_of(name))
    return name


@pytest.fixture
def ledger_url(postgres: Any, template: str) -> Iterator[str]:
    """URL of a migrated, empty database."""
    name = f"s{os.urandom(6).hex()}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield postgres.url_of(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def sql(ledger_url: str) -> Iterator[Callable[..., list[tuple[Any, ...]]]]:
    """Runs a query in the test's database and returns its rows."""
    with psycopg.connect(ledger_url, autocommit=True) as connection:

        def run(query: str, *parameters: object) -> list[tuple[Any, ...]]:
            cursor = connection.execute(query.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

        yield run


@dataclass
class Log:
    """The topics of one test."""

    settings: Settings
    producer: Producer

    @property
    def events(self) -> str:
        """Full name of the topic of events."""
        return CASHBACK_EVENTS.full_name(self.settings.topic_prefix)

    def publish(self, events: Sequence[tuple[str, dict[str, Any]]], *, partitions: int = 1) -> None:
        """Append events to `cashback-events`, in order; members are spread over so many partitions."""
        for record, event in events:
            key = f"{event['partner_id']}:{event['member_id']}"
            partition = crc32(key.encode()) % partitions
            self.producer.produce(self.events, encode(record, event), key, partition=partition)
        self.producer.flush(10)

    def publish_cases(self, cases: Sequence[dict[str, Any]]) -> None:
        """Append to `reversal-cases`."""
        topic = REVERSAL_CASES.full_name(self.settings.topic_prefix)
        for case in cases:
            self.producer.produce(topic, encode("ReversalCase", case), partition=0)
        self.producer.flush(10)


@pytest.fixture
def log(broker: str, topic_prefix: str, ledger_url: str) -> Log:
    """Fresh topics on the real broker."""
    settings = Settings(brokers=broker, topic_prefix=topic_prefix, database_url=ledger_url, partitions=2)
    topics.create(settings, [CASHBACK_EVENTS, REVERSAL_CASES])
    return Log(settings, Producer({"bootstrap.servers": broker, "linger.ms": 1}))


@pytest.fixture
def scene(ledger_url: str, sql: Callable[..., list[tuple[Any, ...]]]) -> Iterator[Scene]:
    """A ledger, a receiver, and dispatchers between them."""
    opened = Scene(ledger_url, sql)
    yield opened
    opened.close()


@dataclass
class Processes:
    """Child processes of a test, all ended with it."""

    log: Path
    settings: Settings
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, module: str, **changes: object) -> subprocess.Popen[bytes]:
        """Start `python -m module` with the test's settings and `changes`."""
        values = self.settings.model_dump(include={"brokers", "topic_prefix", "database_url"}) | changes
        named = {f"CASHBACK_{name.upper()}": str(value) for name, value in values.items()}
        with self.log.open("ab") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", module],
                stderr=output,
                env={**os.environ, **named},
                cwd=Path(__file__).parents[2],
            )
        self.running.append(child)
        return child

    def kill_dispatcher_in_mid_air(self, scene: Scene, path: str) -> None:
        """Kills a dispatcher while its first requests to `path` hang; another one takes its place."""
        scene.receiver.script[path] = deque([Reply(hang=True)] * WINDOW_AT_FIRST)
        first = self.start("sinks.webhooks", webhook_allow_loopback=True)
        eventually(lambda: len(scene.receiver.received) >= WINDOW_AT_FIRST, timeout_s=30)
        first.kill()
        first.wait(10)
        self.start("sinks.webhooks", webhook_allow_loopback=True)

    def end(self) -> None:
        for child in self.running:
            child.send_signal(signal.SIGCONT)
            child.kill()
            child.wait(10)


@pytest.fixture
def processes(ledger_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Processes]:
    """Starts sinks as processes."""
    known = request.getfixturevalue("log").settings if "log" in request.fixturenames else None
    started = Processes(tmp_path / "children.log", known or Settings(database_url=ledger_url))
    yield started
    started.end()
    if started.log.exists():
        print(started.log.read_text())
