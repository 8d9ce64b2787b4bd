"""PostgreSQL killed and cut off in the middle of commits, and sinks that sleep: all comes out once."""

import json
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.embedded.ports import lasting_ports
from ops.embedded.postgres import Postgres
from ops.torture.commits import Cut, When
from ops.torture.proxy import Gate, Network
from schemas.webhooks import webhook_body
from sinks import migrations
from sinks.reconcile import reconcile
from sinks.webhooks.endpoints import register
from tests.eventually import eventually
from tests.sinks.conftest import Log, Processes
from tests.sinks.receiver import Receiver
from tests.sinks.scene import BY
from tests.sinks.test_consumer import history

KILLS = 20
CUTS = 5
CASHBACKS_A_ROUND = 40
_COMMITS = """
SELECT application_name FROM pg_stat_activity
WHERE state = 'active' AND query = 'COMMIT' AND pid <> pg_backend_pid()
"""
_TOLD = "SELECT entry_id, count(*) FROM webhook_attempts WHERE outcome = 'delivered' GROUP BY 1"


@dataclass
class Books:
    """A database, a publisher, and the events that were written so far."""

    url: str
    log: Log
    receiver: Receiver
    events: list[tuple[str, dict[str, Any]]]

    def write(self) -> None:
        """A round of events more, each cashback created and resolved."""
        done = len(self.events) // 2
        more = history(done + CASHBACKS_A_ROUND)[len(self.events) :]
        self.log.publish(more, partitions=2)
        self.events += more

    @property
    def ledger(self) -> str:
        """What the ledger's session is called."""
        return f"{self.log.settings.topic_prefix}ledger"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(query.encode()).fetchall()

    def come_out_once(self) -> None:
        """Waits until all is told, and holds events, ledger and what the publisher has against each other."""
        expected = {event["event_id"]: webhook_body(record, event) for record, event in self.events}
        eventually(lambda: set(self.receiver.times_received()) >= expected.keys(), timeout_s=60)
        eventually(lambda: self.rows("SELECT count(*) FROM webhook_queue") == [(0,)], timeout_s=60)
        entered = [event_id for (event_id,) in self.rows("SELECT event_id FROM entries")]
        assert sorted(entered) == sorted(expected)
        assert {(each.message_id, each.body) for each in self.receiver.received} == set(expected.items())
        # Each is counted once, however often it was sent.
        assert sorted(count for _, count in self.rows(_TOLD)) == [1] * len(expected)
        assert self.rows("SELECT count(*) FROM ledger_quarantine") == [(0,)]
        assert {line.proof for line in reconcile(self.url)} == {0}
        places: dict[str, int] = {}
        for place, each in enumerate(self.receiver.received):
            said = json.loads(each.body)
            places.setdefault(f"{said['type']} {said['cashback_transaction_id']}", place)
        for name, place in places.items():
            assert places["cashback.created " + name.partition(" ")[2]] <= place


@pytest.fixture
def publisher() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def books_at(url: str, log: Log, receiver: Receiver) -> Books:
    known = {"partner_id": "shop", "livemode": True, "allow_loopback": True, **BY}
    register(url, url=receiver.url("/hook"), **known)
    return Books(url, log, receiver, [])


def start(processes: Processes, module: str, url: str) -> subprocess.Popen[bytes]:
    return processes.start(
        f"sinks.{module}", database_url=url, webhook_allow_loopback=True, ledger_batch_events=10
    )


def kill_within_a_commit(server: Postgres, whose: str) -> None:
    """Kills the server as soon as a session of that name commits."""
    with psycopg.connect(server.url, autocommit=True) as connection:
        eventually(lambda: (whose,) in connection.execute(_COMMITS).fetchall(), timeout_s=60, every_s=0)
        server.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_server_killed_twenty_times_in_the_middle_of_a_commit_loses_and_doubles_nothing(
    log: Log, processes: Processes, publisher: Receiver, data_directory: Path
) -> None:
    # Each commit takes a tenth of a second longer: what is killed when one is seen is killed within it.
    slow_commits = {"commit_delay": "100000", "commit_siblings": "0"}
    server = Postgres(data_directory / "postgres", overrides=slow_commits)
    server.start()
    try:
        migrations.upgrade(server.url)
        books = books_at(server.url, log, publisher)
        ledger, webhooks = (start(processes, module, server.url) for module in ("ledger", "webhooks"))
        books.write()
        eventually(lambda: publisher.received, timeout_s=60)  # whoever finds no server when it starts, ends
        for number in range(KILLS):
            books.write()
            kill_within_a_commit(server, "cashback webhooks" if number % 2 else books.ledger)
            server.start()
        books.come_out_once()
        assert (ledger.poll(), webhooks.poll()) == (None, None), "both waited for it and went on"
    finally:
        server.stop()


@pytest.fixture
def gates(ledger_url: str) -> Iterator[tuple[Gate, str]]:
    """A gate before the database, and the URL through it."""
    with Network() as network:
        front, _, name = ledger_url.rpartition("/")
        head, _, port = front.rpartition(":")
        gate = network.gate(lasting_ports(1)[0], int(port), speaks_postgres=True)
        yield gate, f"{head}:{gate.port}/{name}"


@pytest.mark.parametrize("module", ["ledger", "webhooks"])
@pytest.mark.parametrize("when", list(When))
def test_a_commit_whose_answer_nobody_gets_is_neither_lost_nor_doubled(
    log: Log,
    processes: Processes,
    publisher: Receiver,
    ledger_url: str,
    gates: tuple[Gate, str],
    module: str,
    when: When,
) -> None:
    gate, through_gate = gates
    books = books_at(ledger_url, log, publisher)
    for each in ("ledger", "webhooks"):
        start(processes, each, through_gate if each == module else ledger_url)
    for number in range(CUTS):
        cut = Cut(when, spared=number)
        gate.cut_commit(cut)

        def is_cut(cut: Cut = cut) -> bool:
            books.write()
            return cut.done.is_set()

        eventually(is_cut, timeout_s=30, every_s=0.1)
    books.come_out_once()


def test_an_older_ledger_and_an_older_dispatcher_that_wake_up_change_nothing(
    log: Log, processes: Processes, publisher: Receiver, ledger_url: str
) -> None:
    books = books_at(ledger_url, log, publisher)
    older = {}
    for module in ("ledger", "webhooks"):
        older[module] = processes.start(f"sinks.{module}", sink_stale_ms=1_000, webhook_allow_loopback=True)
    books.write()
    eventually(lambda: len(publisher.received) >= len(books.events) // 2, timeout_s=60)
    for process in older.values():
        process.send_signal(signal.SIGSTOP)
    books.write()
    for module in older:
        processes.start(f"sinks.{module}", sink_stale_ms=1_000, webhook_allow_loopback=True)
    expected = {event["event_id"] for _, event in books.events}
    eventually(lambda: set(publisher.times_received()) >= expected, timeout_s=60)
    for process in older.values():
        process.send_signal(signal.SIGCONT)
    books.write()
    assert older["ledger"].wait(30) == 1, "it finds that another one has gone on, and ends"
    books.come_out_once()
