"""All programs in turn over the same log, on one broker, each with the machine to itself."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from ops.bench.measure import BenchFailed, Task, measure
from ops.bench.peers.judge import Outcome, outcome
from ops.bench.peers.programs import Build, Program, named, programs
from ops.bench.peers.report import Report, Run, report
from ops.bench.peers.step import Given, Place, preload
from ops.bench.peers.topics import create_for, delete_named
from ops.bench.servers import kafka_server
from ops.embedded.children import StartError
from ops.embedded.jars import Say
from ops.settings import Settings

START_TIMEOUT_S = 60.0
SLOWEST_PER_S = 4_000
SLOWEST_SLOW_PER_S = 150


@dataclass(frozen=True)
class Plan:
    """`records` measured for each fast program and `slow_records` for stock Faust, `repeat` runs of each.

    warm_up: a share of them besides, which runs first, unmeasured. only: names of the programs to run; none:
    all. brokers: use these instead of starting one.
    """

    records: int = 1_000_000
    slow_records: int = 40_000
    repeat: int = 3
    commit_interval_ms: int = 500
    warm_up: float = 0.25
    only: tuple[str, ...] = ()
    brokers: str | None = None


@dataclass(frozen=True)
class Log:
    """A preloaded input topic."""

    topic: str
    given: Given
    warm_up: int


def bench_peers(plan: Plan, settings: Settings, *, say: Say = lambda _: None) -> Report:
    """Measure them all. Raises `BenchFailed`, `StartError` for the broker alone."""
    chosen = named(programs(), plan.only)
    runs: dict[str, list[Run]] = {name: [] for name in chosen}
    skipped: dict[str, str] = {}
    with (
        tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory,
        kafka_server(plan.brokers, settings, Path(directory), say) as brokers,
        _logs(plan, brokers, chosen) as logs,
    ):
        build = Build(Path(directory) / "classes", settings.home, say)
        for _ in range(plan.repeat):
            for name, program in chosen.items():
                if name in skipped:
                    continue
                try:
                    runs[name].append(_run(program, name, logs[program.slow], plan, brokers, build))
                except StartError as error:
                    skipped[name] = str(error)
                    say(f"{name}: left out: {error}")
                else:
                    say(f"{name}: {runs[name][-1]}")
    return report(plan.records, plan.commit_interval_ms, chosen, runs, skipped)


@contextmanager
def _logs(plan: Plan, brokers: str, chosen: dict[str, Program]) -> Iterator[dict[bool, Log]]:
    """The log of the fast programs, and a shorter one for the slow, as far as they are needed."""
    logs = {}
    prefix = f"peers-{uuid4().hex[:8]}"
    for slow in {program.slow for program in chosen.values()}:
        measured = plan.slow_records if slow else plan.records
        topic = f"{prefix}-{'slow' if slow else 'fast'}"
        warm_up = int(measured * plan.warm_up)
        logs[slow] = Log(topic, preload(brokers, topic, measured + warm_up), warm_up)
    try:
        yield logs
    finally:
        delete_named(brokers, prefix)


def _run(program: Program, name: str, log: Log, plan: Plan, brokers: str, build: Build) -> Run:
    group = f"{name.replace('_', '-')}-{uuid4().hex[:8]}"
    slowest_per_s = SLOWEST_SLOW_PER_S if program.slow else SLOWEST_PER_S
    with tempfile.TemporaryDirectory(prefix="cashback-peer-") as directory:
        place = Place(
            brokers, group, log.topic, f"{group}-rewards", program.changelog(group), directory,
            plan.commit_interval_ms,
        )  # fmt: skip
        task = Task(program.command(place, build), group, (place.output_topic,), log.topic)
        create_for(program, place)
        try:
            measured = measure(
                task, Settings(brokers=brokers), Path(directory) / "log",
                timeout_s=START_TIMEOUT_S + log.given.payments / slowest_per_s,
                warm_up_records=log.warm_up,
            )  # fmt: skip
            return Run(measured, _judged(name, program, place, log))
        finally:
            delete_named(brokers, group)


def _judged(name: str, program: Program, place: Place, log: Log) -> Outcome:
    found = outcome(place.brokers, place.output_topic, log.given)
    if program.exactly_once and not found.exact:
        raise BenchFailed(f"{name} did not do the work exactly once, it is no measurement: {found}")
    return found
