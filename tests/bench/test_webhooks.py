"""The bench of the dispatcher runs, and its figures are of webhooks that really came."""

from pathlib import Path

from ops.bench.webhooks import Plan, bench_webhooks
from ops.settings import Settings


def test_a_small_run_ends_with_its_figures(database: str, tmp_path: Path) -> None:
    plan = Plan(messages=400, endpoints=5, per_s=50, seconds=1, hanging_s=2, pairs=2, database=database)
    figures = bench_webhooks(plan, Settings(), tmp_path)
    assert figures["messages"] == 400 + 50 * (5 + 1 + 2 * (2 + 1))
    assert figures["deliveries_per_s"] > 0
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert len(figures["p99_ms_beside_a_hanging_endpoint"]) == 2
    assert figures["p99_ratio"] > 0
