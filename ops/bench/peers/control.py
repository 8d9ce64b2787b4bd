"""What faults cost: our engine and stock Faust at the reference step, struck alike while inputs flow.

Two workers each, kill -9 and pauses longer than the session at moments drawn from a seed; whoever ends is
started again. When all is read, outputs and state are compared with the inputs.
"""

import tempfile
import time
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import NewTopic

from ops.bench.measure import ends_of, module
from ops.bench.peers.crew import Crew, Strike, schedule
from ops.bench.peers.judge import Outcome, StateError, outcome, state_error
from ops.bench.peers.programs import Build, Command, Program, named, programs
from ops.bench.peers.step import PARTITIONS, Given, PaymentsWriter, Place, create_topics
from ops.bench.peers.topics import create_for, delete_named
from ops.bench.servers import kafka_server
from ops.embedded.jars import Say
from ops.settings import Settings

WORKERS = 2
SESSION_TIMEOUT_S = 6.0
MEMBERS = 2_000
LOOK_EVERY_S = 0.02
READ_TIMEOUT_S = 120.0
COMMIT_INTERVAL_MS = 100


@dataclass(frozen=True)
class Plan:
    """`per_s` payments a second for `seconds`; meanwhile `kills`, and `zombies` stopped for `stopped_s`."""

    per_s: int = 300
    seconds: int = 60
    kills: int = 4
    zombies: int = 1
    stopped_s: float = 15.0
    seed: int = 7
    only: tuple[str, ...] = ()
    brokers: str | None = None

    def strikes(self) -> list[Strike]:
        """The same for every contender."""
        return schedule(
            self.seed, seconds=self.seconds, kills=self.kills, zombies=self.zombies,
            stopped_s=self.stopped_s, workers=WORKERS,
        )  # fmt: skip


@dataclass(frozen=True)
class Suffered:
    """What became of one contender. unread: inputs its group had not committed two minutes after the last."""

    inputs: int
    unread: int
    outcome: Outcome
    state: StateError
    exits: dict[int, int]

    def as_json(self) -> dict[str, Any]:
        """One plain object."""
        return {
            "inputs": self.inputs,
            "unread": self.unread,
            **asdict(self.outcome),
            "state": asdict(self.state),
            "exits": {str(code): times for code, times in self.exits.items()},
        }


def bench_control(plan: Plan, settings: Settings, *, say: Say = lambda _: None) -> dict[str, Any]:
    """Strike them all. Raises `StartError`, `Unreadable`, `BenchFailed` for a plan that cannot be."""
    chosen, strikes = named(contenders(), plan.only), plan.strikes()
    report: dict[str, Any] = {}
    with (
        tempfile.TemporaryDirectory(prefix="cashback-bench-") as directory,
        kafka_server(plan.brokers, settings, Path(directory), say) as brokers,
    ):
        for name, program in chosen.items():
            files = Path(directory) / name
            files.mkdir()
            report[name] = _suffer(program, name, plan, brokers, Build(files, settings.home, say)).as_json()
            say(f"{name}: {report[name]}")
    return {
        **report,
        "seed": plan.seed,
        "strikes": [asdict(strike) for strike in strikes],
        "per_s": plan.per_s,
        "seconds": plan.seconds,
    }


def contenders() -> dict[str, Program]:
    """Ours, and stock Faust either way with a session as short as ours."""
    known = programs()
    found = {"ours": known.get("ours") or known["ours_fastavro"]}
    for guarantee in ("at_least_once", "exactly_once"):
        stock = known["stock_faust"]
        found[f"stock_faust_{guarantee}"] = Program(
            _stock(guarantee), exactly_once=False, makes_changelog=True, changelog=stock.changelog
        )
    return found


def _stock(guarantee: str) -> Command:
    session = f"{SESSION_TIMEOUT_S:.0f}"
    return lambda place, _: module("ops.bench.peers.stock_faust", *place.arguments(), guarantee, session)


def _suffer(program: Program, name: str, plan: Plan, brokers: str, build: Build) -> Suffered:
    group = f"{name.replace('_', '-')}-{uuid4().hex[:8]}"

    def place(worker: int) -> Place:
        return Place(
            brokers, group, f"{group}-payments", f"{group}-rewards", program.changelog(group),
            str(build.directory / f"files-{worker}"), COMMIT_INTERVAL_MS,
        )  # fmt: skip

    here = place(0)
    create_topics(brokers, NewTopic(here.input_topic, PARTITIONS, 1))
    create_for(program, here)
    crew = Crew(
        lambda worker: program.command(place(worker), build), WORKERS, plan.strikes(), build.directory
    )
    try:
        crew.start()
        given = _feed(crew, plan, here)
        unread = _unread_in_the_end(crew, here)
        crew.stop()
        return Suffered(
            inputs=given.payments,
            unread=unread,
            outcome=outcome(brokers, here.output_topic, given),
            state=state_error(brokers, here.changelog_topic, given),
            exits=dict(crew.exits),
        )
    finally:
        crew.stop()
        delete_named(brokers, group)


def _feed(crew: Crew, plan: Plan, place: Place) -> Given:
    """Write at the plan's rate and strike as scheduled, once outputs come."""
    wanted = plan.per_s * plan.seconds
    writer = PaymentsWriter(place.brokers, place.input_topic, wanted, members=MEMBERS)
    writer.write(plan.per_s)
    deadline = time.monotonic() + READ_TIMEOUT_S
    while not sum(_ends(place, place.output_topic).values()) and time.monotonic() < deadline:
        crew.look(-1.0)
        time.sleep(LOOK_EVERY_S)
    began_s = time.monotonic()
    while writer.given.payments < wanted or not crew.is_left_alone:
        now_s = time.monotonic() - began_s
        crew.look(now_s)
        writer.write(max(0, int((now_s + 1) * plan.per_s) - writer.given.payments))
        time.sleep(LOOK_EVERY_S)
    return writer.finish()


def _unread_in_the_end(crew: Crew, place: Place) -> int:
    """Inputs that the group has not committed when it has had its time, 0 as soon as there is none."""
    ends = _ends(place, place.input_topic)
    deadline = time.monotonic() + READ_TIMEOUT_S
    options = {"bootstrap.servers": place.brokers, "group.id": place.group, "enable.auto.commit": False}
    with closing(Consumer(options)) as observer:
        wanted = [TopicPartition(place.input_topic, partition) for partition in ends]
        unread = sum(ends.values())
        while time.monotonic() < deadline:
            crew.look(float("inf"))
            with suppress(KafkaException):  # the group is between two coordinators
                committed = observer.committed(wanted, 10)
                unread = sum(ends[each.partition] - max(0, each.offset) for each in committed)
            if unread <= 0:
                break
            time.sleep(0.2)
    return max(0, unread)


def _ends(place: Place, topic: str) -> dict[int, int]:
    return ends_of(Settings(brokers=place.brokers), topic)
