"""The figures of the programs beside each other."""

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psutil

from ops.bench.measure import Measured
from ops.bench.peers.judge import Outcome
from ops.bench.peers.programs import Program


@dataclass(frozen=True)
class Run:
    """One run of a program, and what came out of it."""

    measured: Measured
    outcome: Outcome

    def figures(self) -> dict[str, Any]:
        """Rates in records a second, CPU of the process in seconds a million records."""
        return {
            "events_per_s": round(self.measured.per_s),
            "cpu_s_per_million": round(self.measured.cpu_s_per_million, 2),
            "rss_mb": round(self.measured.rss_mb),
            "exact": self.outcome.exact,
        }

    def __str__(self) -> str:
        figures = self.figures()
        return (
            f"{figures['events_per_s']:,}/s, {figures['cpu_s_per_million']:.1f} CPU s a million, "
            f"{figures['rss_mb']} MB" + ("" if self.outcome.exact else f", not exact: {self.outcome}")
        )


@dataclass(frozen=True)
class Report:
    """By name: the run with the median CPU of each program, or None where it was left out.

    ratios: how many times more events a CPU second `ours` does than each of the others.
    """

    records: int
    commit_interval_ms: int
    figures: dict[str, dict[str, Any] | None]
    ratios: dict[str, float]
    skipped: dict[str, str]
    runs: dict[str, list[dict[str, Any]]]

    def as_json(self) -> dict[str, Any]:
        """One plain object, each program by its name at the top."""
        return {
            **self.figures,
            "ours_per_cpu_second_against": self.ratios,
            "records": self.records,
            "commit_interval_ms": self.commit_interval_ms,
            "skipped": self.skipped,
            "runs": self.runs,
            "cores": psutil.cpu_count() or 1,
            "python": platform.python_version(),
        }


def report(
    records: int,
    commit_interval_ms: int,
    programs: Mapping[str, Program],
    runs: Mapping[str, list[Run]],
    skipped: dict[str, str],
) -> Report:
    """Put together what was measured; the median stands for each (of two in the middle the dearer)."""
    medians = {name: _median(each) for name, each in runs.items()}
    figures = {
        name: None if run is None else {**run.figures(), "note": programs[name].note}
        for name, run in medians.items()
    }
    ours = medians.get("ours") or medians.get("ours_fastavro")
    ratios = {
        name: round(run.measured.cpu_s_per_million / ours.measured.cpu_s_per_million, 2)
        for name, run in medians.items()
        if run is not None and ours is not None and not name.startswith("ours")
    }
    listed = {name: [run.figures() for run in each] for name, each in runs.items()}
    return Report(records, commit_interval_ms, figures, ratios, skipped, listed)


def _median(runs: list[Run]) -> Run | None:
    return sorted(runs, key=lambda run: run.measured.cpu_s_per_million)[len(runs) // 2] if runs else None
