"""Latency and control on real processes: the clock is ours, the count is of what is really there."""

from pathlib import Path

from ops.bench import latency
from ops.bench.peers import control
from ops.settings import Settings


def test_latency_is_that_of_every_payment_that_was_written_after_the_warm_up(
    broker: str, database: str, topic_prefix: str, data_directory: Path
) -> None:
    plan = latency.Plan(per_s=100, seconds=2, members=20, warm_up_s=1.0, brokers=broker, database=database)
    report = latency.bench_latency(plan, Settings(topic_prefix=topic_prefix), data_directory)
    assert report.payments == 200
    assert report.written_per_s > 0
    assert 0 < report.p50_ms <= report.p90_ms <= report.p99_ms <= report.max_ms
    assert report.cpu_share["worker-1"] > 0
    assert report.machine_share > 0


def test_the_engine_is_exact_after_a_kill_where_its_control_is_struck_alike(broker: str) -> None:
    plan = control.Plan(per_s=200, seconds=5, kills=1, zombies=0, only=("ours",), brokers=broker)
    ours = control.bench_control(plan, Settings())["ours"]
    assert (ours["inputs"], ours["outputs"]) == (1_000, 1_000)
    assert (ours["lost"], ours["doubled"], ours["miscounted"]) == (0, 0, 0)
    assert ours["state"] == {"members_over": 0, "over": 0, "members_under": 0, "under": 0}
    assert ours["unread"] == 0
    assert ours["exits"]["-9"] == 1
