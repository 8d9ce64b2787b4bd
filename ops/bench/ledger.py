"""How fast the ledger posts, and whether it still does when it holds ten million entries."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.servers import postgres_server
from ops.embedded.jars import Say
from sinks.ledger.bench import LedgerBench, Round
from sinks.migrations import upgrade

ROUND = 100_000
SIZES = {"at_100k": 100_000, "at_1m": 1_000_000, "at_10m": 10_000_000}


@dataclass(frozen=True)
class Plan:
    """entries: how many are posted. database: a server to use instead of an embedded one."""

    entries: int = 10_000_000 + ROUND
    database: str | None = None


def bench_ledger(plan: Plan, *, say: Say = lambda _: None) -> dict[str, Any]:
    """Entries a second over all, and over the round that began when the ledger held so many.

    Returns ``{"entries_per_s", "copy_rows_per_s", "ratio_to_copy", "at_100k", "at_1m", "at_10m"}``; a size
    that was not reached is None. `copy_rows_per_s`: the same events, one row each, by a bare COPY into a
    table with neither index nor constraint. Raises `StartError`.
    """
    with (
        tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory,
        postgres_server(plan.database, Path(directory), say) as database_url,
    ):
        upgrade(database_url)
        with LedgerBench(database_url) as bench:
            copied = bench.copy(ROUND)
            rounds = _rounds(bench, plan.entries, say)
    entries, seconds = (
        sum(each.entries for each in rounds.values()),
        sum(each.seconds for each in rounds.values()),
    )
    per_s, copy_per_s = round(entries / seconds), _per_s(copied)
    at = {name: _per_s(rounds[size]) if size in rounds else None for name, size in SIZES.items()}
    return {
        "entries_per_s": per_s,
        "copy_rows_per_s": copy_per_s,
        "ratio_to_copy": round(per_s / copy_per_s, 3),
        **at,
    }


def _rounds(bench: LedgerBench, entries: int, say: Say) -> dict[int, Round]:
    """Each round by what the ledger held when it began."""
    rounds: dict[int, Round] = {}
    for held in range(0, entries, ROUND):
        measured = rounds[held] = bench.post(min(ROUND, entries - held))
        cpu_us = measured.cpu_seconds / measured.entries * 1e6
        now = f"{held + measured.entries:,} entries"
        say(f"{now}: {_per_s(measured):,}/s, {cpu_us:.0f} µs of CPU each in the sink")
    return rounds


def _per_s(measured: Round) -> int:
    return round(measured.entries / measured.seconds)
