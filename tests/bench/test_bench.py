"""A small bench on real servers: every figure comes from a process that really did the work."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.bench.history import encoded, history
from ops.bench.measure import BenchFailed, Measured, Task, measure, module
from ops.bench.streams import preloaded, worker
from ops.settings import Settings

INPUTS = 3_000
PROGRAMS = 4  # the campaign, in every partition


@pytest.fixture
def settings(broker: str, topic_prefix: str) -> Settings:
    return Settings(brokers=broker, topic_prefix=topic_prefix)


def test_the_worker_is_timed_over_every_record_within_the_time_it_was_given(
    settings: Settings, tmp_path: Path
) -> None:
    with preloaded(settings, list(encoded(history(INPUTS)))) as loaded:
        began_s = time.time()
        measured = measure(worker(loaded), loaded, tmp_path / "worker.log", timeout_s=60)
        took_s = time.time() - began_s
    assert measured.records == INPUTS + PROGRAMS
    assert 0 < measured.seconds < took_s
    assert 0 < measured.cpu_seconds < took_s * (os.cpu_count() or 1)
    assert measured.rss_mb > 20


def test_a_process_that_ends_by_itself_is_no_measurement(settings: Settings, tmp_path: Path) -> None:
    with preloaded(settings, list(encoded(history(100)))) as loaded:
        nothing = Task(module("ops.bench.nowhere"), "nobody", ())
        with pytest.raises(BenchFailed, match=r"it ended with 1(?s:.)*No module named"):
            measure(nothing, loaded, tmp_path / "nothing.log", timeout_s=30)


def test_the_rate_is_records_by_seconds() -> None:
    measured = Measured(records=300_000, seconds=6.0, cpu_seconds=5.4, rss_mb=100)
    assert measured.per_s == 50_000
    assert measured.cpu_s_per_million == pytest.approx(18.0)


@pytest.mark.slow
def test_the_command_ends_with_one_object_whose_ratio_is_the_quotient(broker: str, database: str) -> None:
    program = [sys.executable, "-c", "from ops.cli import main; main()", "bench", "--json", "--repeat", "1"]
    options = ["--inputs", str(INPUTS), "--brokers", broker, "--database", database]
    ran = subprocess.run(
        [*program, *options, "--ledger-entries", "2000"], capture_output=True, text=True, timeout=110
    )
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["inputs"] == INPUTS + PROGRAMS
    assert report["ratio"] == pytest.approx(report["tx_per_s"] / report["bare_loop_per_s"], abs=0.001)
    rates = ("tx_per_s", "bare_loop_per_s", "stock_faust_per_s", "ledger_entries_per_s", "simulate_per_s")
    assert all(isinstance(report[name], int) and report[name] > 0 for name in rates)
    assert report["cpu_s_per_million"] > 0
    assert len(report["runs"]) == 1
