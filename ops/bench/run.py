"""A whole bench: servers of its own, inputs, runs in turn, one report."""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from ops.bench import history
from ops.bench.report import Report, summary
from ops.bench.servers import kafka_server, postgres_server
from ops.bench.streams import Pair, pair_of_runs, stock_per_s
from ops.embedded.jars import Say
from ops.settings import Settings
from schemas.transactions import Transaction
from streams.simulate import simulate

STOCK_OUTPUTS = 10_000
SIMULATED = 30_000


@dataclass(frozen=True)
class Plan:
    """What to measure: `inputs` records, `repeat` pairs of runs, `ledger_entries` (0: leave the ledger out).

    brokers, database: servers to use instead of embedded ones.
    """

    inputs: int = 300_000
    repeat: int = 3
    with_stock: bool = True
    ledger_entries: int = 200_000
    brokers: str | None = None
    database: str | None = None


def bench(plan: Plan, settings: Settings, *, say: Say = lambda _: None) -> Report:
    """Measure all of `plan` and report. Raises `BenchFailed`, `StartError`."""
    with tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory:
        files = Path(directory)
        transactions = history.history(plan.inputs)
        pairs, stock = _streams(plan, settings, transactions, files, say)
        # One after the other: each has the machine to itself.
        ledger = _ledger_entries_per_s(plan, files, say) if plan.ledger_entries else None
        simulated = _simulate_per_s(transactions[:SIMULATED])
        return summary(pairs, stock_per_s=stock, ledger_entries_per_s=ledger, simulate_per_s=simulated)


def _streams(
    plan: Plan, settings: Settings, transactions: list[Transaction], files: Path, say: Say
) -> tuple[list[Pair], float | None]:
    began_s = time.monotonic()
    records = list(history.encoded(transactions))
    say(f"{len(records):,} inputs encoded in {time.monotonic() - began_s:.1f} s")
    pairs, stock = [], None
    with kafka_server(plan.brokers, settings, files, say) as brokers:
        here = settings.model_copy(update={"brokers": brokers})
        for _ in range(plan.repeat):
            pair = pair_of_runs(here, records, files)
            say(f"bare {pair.bare.per_s:,.0f}/s, ours {pair.ours.per_s:,.0f}/s, ratio {pair.ratio:.2f}")
            pairs.append(pair)
        if plan.with_stock:
            outputs = min(STOCK_OUTPUTS, plan.inputs // 2)
            stock = stock_per_s(here, records[: outputs * 2], files, outputs=outputs)
            say(f"stock Faust {stock:,.0f}/s")
    return pairs, stock


def _ledger_entries_per_s(plan: Plan, files: Path, say: Say) -> float:
    from sinks.ledger.bench import LedgerBench
    from sinks.migrations import upgrade

    with postgres_server(plan.database, files, say) as database_url:
        upgrade(database_url)
        with LedgerBench(database_url) as ledger:
            measured = ledger.post(plan.ledger_entries)
            per_s = measured.entries / measured.seconds
    say(f"ledger {per_s:,.0f} entries/s")
    return per_s


def _simulate_per_s(transactions: list[Transaction]) -> float:
    began_s = time.perf_counter()
    simulate([history.campaign()], transactions)
    return len(transactions) / (time.perf_counter() - began_s)
