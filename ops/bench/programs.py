"""One worker with a hundred programs of all types, three of which name any merchant, beside one campaign."""

import tempfile
from pathlib import Path
from typing import Any

import psutil

from ops.bench import history
from ops.bench.history import Input
from ops.bench.measure import Measured, measure
from ops.bench.servers import kafka_server
from ops.bench.streams import SLOWEST_PER_S, START_TIMEOUT_S, preloaded, worker
from ops.embedded.jars import Say
from ops.settings import Settings
from schemas.programs import ProgramSpec, parse_program

PROGRAMS = 100
MERCHANTS = 50
_TERMS: tuple[dict[str, Any], ...] = (
    {"type": "campaign", "reward": {"type": "percent", "bps": 100}},
    {"type": "campaign", "reward": {"type": "percent", "bps": 50}, "stackable": True},
    {
        "type": "campaign",
        "reward": {
            "type": "tiered",
            "brackets": [
                {"up_to_minor": 2_000, "reward": {"type": "flat", "amount": 50}},
                {"reward": {"type": "flat", "amount": 200}},
            ],
            "unit": "points",
        },
        "member_limit": {"count": 2, "period": "month"},
    },
    {
        "type": "campaign",
        "reward": {"type": "percent", "bps": 200},
        "member_cap": {"amount": 500, "period": "week"},
        "schedule": {"timezone": "Europe/Paris", "weekdays": [1, 2, 3, 4, 5]},
    },
    {"type": "loyalty_program", "reward": {"type": "flat", "amount": 500}, "threshold_count": 3},
    {"type": "deal", "reward": {"type": "flat", "amount": 300}},
    {"type": "airdrop", "reward": {"type": "percent", "bps": 300}},
    {"type": "campaign", "reward": {"type": "flat", "amount": 100}, "new_members_only": True},
)


def hundred_programs() -> list[ProgramSpec]:
    """Programs of all types; each merchant of the history is named by exactly three."""
    return [
        parse_program(
            {
                **_TERMS[number % len(_TERMS)],
                "program_id": f"program-{number:03d}",
                "version": 1,
                "currency": "EUR",
                "min_spend_minor": 1_001,
                "valid_from": "2023-12-01T00:00:00Z",
                "hold_days": history.HOLD_DAYS,
                "merchant_ids": [f"merchant-{each:04d}" for each in _merchants_of(number)],
            }
        )
        for number in range(PROGRAMS)
    ]


def bench_programs(
    inputs: int, repeat: int, settings: Settings, *, brokers: str | None = None, say: Say = lambda _: None
) -> dict[str, Any]:
    """Measure pairs of runs; the median ratio counts. Raises `BenchFailed`, `StartError`."""
    records = list(history.encoded(history.history(inputs)))
    many = hundred_programs()
    runs: list[dict[str, float]] = []
    with (
        tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory,
        kafka_server(brokers, settings, Path(directory), say) as used,
    ):
        here = settings.model_copy(update={"brokers": used})
        for _ in range(repeat):
            one = _run(here, records, [history.campaign()], Path(directory) / "one.log")
            hundred = _run(here, records, many, Path(directory) / "hundred.log")
            runs.append(
                {
                    "one_per_s": round(one.per_s),
                    "hundred_per_s": round(hundred.per_s),
                    "ratio": round(hundred.per_s / one.per_s, 3),
                    "one_cpu_s_per_million": round(one.cpu_s_per_million, 1),
                    "hundred_cpu_s_per_million": round(hundred.cpu_s_per_million, 1),
                }
            )
            say(f"one campaign {one.per_s:,.0f}/s, {PROGRAMS} programs {hundred.per_s:,.0f}/s")
    median = sorted(runs, key=lambda run: run["ratio"])[(len(runs) - 1) // 2]
    return {"inputs": inputs, "programs": PROGRAMS, **median, "runs": runs, "cores": psutil.cpu_count() or 1}


def _run(settings: Settings, records: list[Input], programs: list[ProgramSpec], log: Path) -> Measured:
    with preloaded(settings, records, programs) as loaded:
        timeout_s = START_TIMEOUT_S + len(records) / SLOWEST_PER_S
        return measure(worker(loaded), loaded, log, timeout_s=timeout_s)


def _merchants_of(number: int) -> list[int]:
    """Two programs name each merchant as their first, half of the programs name a second one."""
    first = number % MERCHANTS
    return [first] if number >= MERCHANTS else [first, (first + MERCHANTS // 2) % MERCHANTS]
