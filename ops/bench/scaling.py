"""One worker and several over the same log, right after each other."""

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from ops.bench import history
from ops.bench.measure import BenchFailed, measure
from ops.bench.servers import kafka_server
from ops.bench.streams import SLOWEST_PER_S, START_TIMEOUT_S, preloaded, worker
from ops.embedded.jars import Say
from ops.settings import Settings

WARM_UP = 4
"""A fourth of the records passes before the clock starts: by then the workers have shared the partitions."""


@dataclass(frozen=True)
class Scaled:
    """Records a second and CPU seconds a million of so many workers together."""

    workers: int
    tx_per_s: int
    cpu_s_per_million: float
    rss_mb: int
    times: float
    """Of the rate of the first."""

    def as_json(self) -> dict[str, Any]:
        """One plain object."""
        return asdict(self)


def bench_scaling(
    workers: tuple[int, ...],
    inputs: int,
    settings: Settings,
    *,
    brokers: str | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Measure each number of workers over the same `inputs`. Raises `BenchFailed`, `StartError`."""
    if min(workers) < 1:
        raise BenchFailed(f"{min(workers)} workers do no work: give numbers from 1")
    records = list(history.encoded(history.history(inputs)))
    scaled: list[Scaled] = []
    with (
        tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory,
        kafka_server(brokers, settings, Path(directory), say) as used,
    ):
        for number in workers:
            with preloaded(settings.model_copy(update={"brokers": used}), records) as loaded:
                measured = measure(
                    worker(loaded), loaded, Path(directory) / f"{number}-workers.log",
                    timeout_s=START_TIMEOUT_S + inputs / SLOWEST_PER_S,
                    warm_up_records=inputs // WARM_UP, processes=number,
                )  # fmt: skip
            rate = round(measured.per_s)
            times = round(rate / scaled[0].tx_per_s, 2) if scaled else 1.0
            cpu = round(measured.cpu_s_per_million, 1)
            scaled.append(Scaled(number, rate, cpu, round(measured.rss_mb), times))
            say(f"{number} workers: {rate:,}/s, {times:.2f} times the first")
    return {
        "inputs": inputs,
        "scaling": [each.as_json() for each in scaled],
        "cores": psutil.cpu_count() or 1,
    }
