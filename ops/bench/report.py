"""The figures of a bench, put together."""

import platform
from dataclasses import asdict, dataclass
from typing import Any

import psutil

from ops.bench.streams import Pair


@dataclass(frozen=True)
class Report:
    """Rates are records a second. The pair with the median ratio stands for all; `runs` has every one.

    `stock_faust_per_s` and `ledger_entries_per_s` are None where they were not measured.
    """

    inputs: int
    tx_per_s: int
    bare_loop_per_s: int
    ratio: float
    cpu_s_per_million: float
    bare_cpu_s_per_million: float
    worker_rss_mb: int
    stock_faust_per_s: int | None
    ledger_entries_per_s: int | None
    simulate_per_s: int
    runs: list[dict[str, float]]
    cores: int
    python: str

    def as_json(self) -> dict[str, Any]:
        """One plain object."""
        return asdict(self)


def summary(
    pairs: list[Pair], *, stock_per_s: float | None, ledger_entries_per_s: float | None, simulate_per_s: float
) -> Report:
    """The report of the pair with the median ratio (of two in the middle the lower)."""
    pair = sorted(pairs, key=lambda each: each.ratio)[(len(pairs) - 1) // 2]
    tx_per_s, bare_loop_per_s = round(pair.ours.per_s), round(pair.bare.per_s)
    return Report(
        inputs=pair.ours.records,
        tx_per_s=tx_per_s,
        bare_loop_per_s=bare_loop_per_s,
        ratio=round(tx_per_s / bare_loop_per_s, 3),
        cpu_s_per_million=round(pair.ours.cpu_s_per_million, 1),
        bare_cpu_s_per_million=round(pair.bare.cpu_s_per_million, 1),
        worker_rss_mb=round(max(each.ours.rss_mb for each in pairs)),
        stock_faust_per_s=None if stock_per_s is None else round(stock_per_s),
        ledger_entries_per_s=None if ledger_entries_per_s is None else round(ledger_entries_per_s),
        simulate_per_s=round(simulate_per_s),
        runs=[_run(each) for each in pairs],
        cores=psutil.cpu_count() or 1,
        python=platform.python_version(),
    )


def _run(pair: Pair) -> dict[str, float]:
    return {
        "tx_per_s": round(pair.ours.per_s),
        "bare_loop_per_s": round(pair.bare.per_s),
        "ratio": round(pair.ratio, 3),
        "cpu_s_per_million": round(pair.ours.cpu_s_per_million, 1),
        "bare_cpu_s_per_million": round(pair.bare.cpu_s_per_million, 1),
    }
