"""The bench of the ledger posts real entries: what it counts is in the books, and the books are in order."""

import json

import psycopg
import pytest
from typer.testing import CliRunner

from ops.cli import build
from ops.settings import Settings
from sinks.ledger.bench import LedgerBench
from sinks.migrations import upgrade
from sinks.reconcile import reconcile


def test_what_the_bench_counts_is_posted_half_created_and_half_resolved_with_webhooks(database: str) -> None:
    upgrade(database)
    settings = Settings(ledger_batch_events=300)
    with LedgerBench(database, members=50, open_max=100, settings=settings) as bench:
        copied = bench.copy(1_000)
        measured = bench.post(1_000), bench.post(1_001)
    assert [each.entries for each in (copied, *measured)] == [1_000, 1_000, 1_001]
    assert all(each.cpu_seconds > 0 for each in measured)
    with psycopg.connect(database) as connection:
        entries = connection.execute("SELECT step, count(*) FROM entries GROUP BY 1 ORDER BY 1").fetchall()
        told = connection.execute(
            "SELECT count(*) FROM entries JOIN webhook_messages USING (entry_id) "
            "JOIN webhook_queue USING (entry_id)"
        ).fetchall()
    assert entries == [(1, 1_051), (2, 950)]
    assert told == [(2_001,)]
    assert {line.proof for line in reconcile(database)} == {0}


def test_the_command_says_nothing_of_sizes_it_did_not_reach(database: str) -> None:
    command = ["bench", "ledger", "--json", "--entries", "2000", "--database", database]
    answer = CliRunner().invoke(build("bench"), command)
    assert answer.exit_code == 0, answer.output
    report = json.loads(answer.stdout)
    assert list(report) == [
        *("entries_per_s", "copy_rows_per_s", "ratio_to_copy"),
        *("at_100k", "at_1m", "at_10m"),
    ]
    assert report["ratio_to_copy"] == pytest.approx(
        report["entries_per_s"] / report["copy_rows_per_s"], abs=0.001
    )
    assert [report[size] for size in ("at_100k", "at_1m", "at_10m")] == [None, None, None]
    assert "2,000 entries" in answer.stderr
