"""The demo from the command line, on servers of its own; and that its comparison is not blind."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ops.demo.comparison import Comparison, Verdict
from ops.demo.grocer import PROGRAMS_FILE, payments
from ops.demo.source import grocery_year
from ops.settings import get_settings
from ops.up import Stack
from schemas.program_files import read_programs
from sinks.reconcile import reconcile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

HOUSEHOLDS = 20
CASHBACK = [sys.executable, "-c", "from ops.cli import main; main()"]
KEYS = [
    "transactions", "inputs", "created", "cleared", "reverted", "duplicates", "quarantined",
    "webhooks_delivered", "ledger_entries", "proof", "simulate_compared", "oracle_differences", "seconds",
    "tx_per_s",
]  # fmt: skip


def run_demo(data: Path, *options: str) -> dict[str, Any]:
    command = [*CASHBACK, "demo", "--households", str(HOUSEHOLDS), "--data", str(data), "--json", *options]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    figures: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return figures


@pytest.fixture(scope="module")
def data(server_files: Path) -> Path:
    return server_files / "demo"


@pytest.fixture(scope="module")
def figures(data: Path) -> dict[str, Any]:
    return run_demo(data)


def test_a_fresh_run_ends_with_its_figures_and_nothing_unproved(figures: dict[str, Any]) -> None:
    assert list(figures) == KEYS
    assert figures["transactions"] > 1_000
    assert figures["inputs"] > 2 * figures["transactions"]
    assert figures["created"] == figures["cleared"] + figures["reverted"] > 0
    assert figures["webhooks_delivered"] == figures["ledger_entries"] == 2 * figures["created"]
    assert figures["duplicates"] > 0
    assert (figures["proof"], figures["oracle_differences"], figures["quarantined"]) == (0, 0, 0)
    assert figures["simulate_compared"] > figures["ledger_entries"] + figures["transactions"]


def test_loading_the_same_year_once_more_changes_nothing(figures: dict[str, Any], data: Path) -> None:
    again = run_demo(data, "--keep")
    assert again["inputs"] == figures["inputs"]
    everywhere = len(read_programs(PROGRAMS_FILE).programs) + 1  # programs and a tick
    entitlements = len(payments(grocery_year(HOUSEHOLDS, 1)).entitlements)
    assert again["duplicates"] == again["inputs"] - everywhere * get_settings().partitions - entitlements
    assert again["simulate_compared"] == 0
    unchanged = ("created", "cleared", "reverted", "webhooks_delivered", "ledger_entries", "proof")
    assert {name: again[name] for name in (*unchanged, "oracle_differences")} == dict.fromkeys(
        (*unchanged, "oracle_differences"), 0
    )


@pytest.fixture
def servers(figures: dict[str, Any], data: Path) -> Iterator[Stack]:
    stack = Stack(get_settings().model_copy(update={"clock": "event"}), data, durable=False)
    try:
        stack.start_servers()
        yield stack
    finally:
        stack.stop()


def compare(servers: Stack, received: Path) -> Verdict:
    comparison = Comparison(servers.settings)
    try:
        comparison.recompute()
        topics, books = comparison.compare_topics(), comparison.compare_books(received)
        verdict = topics.result(120)
        verdict.join(books.result(120))
        return verdict
    finally:
        comparison.close()


def test_one_wrong_balance_one_changed_and_one_lost_webhook_are_found(servers: Stack, data: Path) -> None:
    received = (data / "received.tsv").read_bytes().splitlines(keepends=True)
    received[1] = received[1].replace(b'"amount":', b'"amount":1')
    received[-1:] = []
    (data / "received.tsv").write_bytes(b"".join(received))
    with psycopg.connect(servers.settings.database_url) as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger guards it
        connection.execute("UPDATE balances SET balance = balance + 1 WHERE account_id = 1")
    verdict = compare(servers, data / "received.tsv")
    found = {subject: count for subject, count in verdict.differing.items() if count}
    assert found == {"account balances": 1, "webhooks received": 2}
    assert len(verdict.shown) == 3
    assert sum(abs(line.proof) for line in reconcile(servers.settings.database_url)) == 1
