"""What state costs: rows a gigabyte, rows restored a second, an input with few and with many open holds.

Each store is measured in a process of its own, both loads of it in turns in the same one. The rows are those
of the real fold over made-up purchases that wait for the end of their hold. Kafka takes part in the restore
only. The metering of a worker is measured beside it, over the same inputs with and without.
"""

import gc
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from threading import Event
from typing import Any

import psutil
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from ops.bench.history import campaign
from ops.bench.measure import BenchFailed
from ops.bench.servers import kafka_server
from ops.embedded.jars import Say
from ops.settings import Settings
from schemas.codec import encode
from schemas.programs import to_datum as program_datum
from schemas.times import SECOND, Micros
from schemas.transactions import SETTLED, Transaction, to_datum
from streams.engine.brokers import Brokers
from streams.engine.position import POSITION_KEY, Position
from streams.engine.restore import restore
from streams.engine.runner import append_times
from streams.engine.settings import EngineSettings
from streams.engine.store import MemoryStores, Standing, StateStore, Stores
from streams.fold import STATE_VERSION, CashbackFold
from streams.quarantine import BadRun
from streams.telemetry import WorkerTelemetry

START_AT: Micros = 1_767_225_600 * SECOND  # 2026-01-01
COMMIT_INPUTS = 1_000
ROUND_INPUTS = 2_000
_SLICE_INPUTS = 250
_GIGABYTE = 1024**3
_TOPIC_ID = "bench"


@dataclass(frozen=True)
class Plan:
    """`few` and `many`: open holds beside which an input is measured; `rounds` of 2 000 inputs each."""

    few: int = 10_000
    many: int = 1_000_000
    rounds: int = 15
    stores: Sequence[str] = ("memory", "rocksdb")
    brokers: str | None = None


@dataclass(frozen=True)
class StoreFigures:
    """One store. `input_us` is CPU time, fold and store together, by the number of open holds."""

    rows_per_gb: int
    disk_bytes_per_row: float | None
    restore_rows_per_s: int
    """From a changelog on a real broker to a fold that may read on, by the clock on the wall."""
    restore_cpu_us_per_row: float
    clean_restart_rows_per_s: int | None
    """Index built again from the kept rows, with nothing in the changelog's tail; None: nothing is kept."""
    input_us: dict[int, float]
    ratio: float
    """An input beside many open holds to one beside few, median of the rounds."""


def bench_state(plan: Plan, settings: Settings, files: Path, *, say: Say) -> dict[str, Any]:
    """Measure both stores and the metering. Raises `StartError`, `BenchFailed`."""
    found: dict[str, Any] = {"few": plan.few, "many": plan.many, "stores": {}}
    with kafka_server(plan.brokers, settings, files, say) as brokers:
        for name in plan.stores:
            figures = _alone(_measure_store, name, plan, brokers, files / name)
            say(f"{name}: {figures}")
            found["stores"][name] = asdict(figures)
    found["metering_cost_percent"] = _alone(_metering_percent, plan.rounds)
    say(f"metering: {found['metering_cost_percent']} % of an input's CPU")
    return found


def _alone(work: Any, *arguments: Any) -> Any:
    """In a new process: nothing of another measurement is in its memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()


@dataclass
class _Input:
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes]] = ()


class _Partition:
    """A fold over a store, fed with purchases nobody made before."""

    def __init__(self, store: StateStore, telemetry: WorkerTelemetry | None = None, number: int = 0) -> None:
        self.store = store
        self.number = number
        self.telemetry = telemetry
        self.made = 0
        self.fold = CashbackFold(
            number,
            store,
            lambda _topic, _key, _value, _headers=None: None,
            Settings(clock="broker"),
            input_topic="inputs",
            bad_run=BadRun(0),
            report=telemetry.report if telemetry else lambda _: None,
            pause=lambda _: None,
        )

    def begin(self) -> "_Partition":
        """With one program in force."""
        self.fold.restored()
        program = encode("Program", program_datum(campaign()))
        self._take([_Input(b"one-percent:1", program, 0, START_AT // 1_000)])
        return self

    def prepare(self, count: int) -> list[_Input]:
        """Inputs not seen yet."""
        found = list(_purchases(self.number, self.made, count))
        self.made += count
        return found

    def take(self, inputs: Sequence[_Input]) -> None:
        """As the runner does: slices, and a commit now and then."""
        for begin in range(0, len(inputs), COMMIT_INPUTS):
            self._take(inputs[begin : begin + COMMIT_INPUTS])

    def _take(self, inputs: Sequence[_Input]) -> None:
        advance, apply = self.fold.advance, self.fold.apply
        taken: list[tuple[int, int]] = []
        for begin in range(0, len(inputs), _SLICE_INPUTS):
            end = min(len(inputs), begin + _SLICE_INPUTS)
            for record in inputs[begin:end]:
                while advance(record):
                    pass
                apply(record)
            if self.telemetry is not None:
                taken += append_times(inputs, begin, end)
        if self.telemetry is not None:
            self.telemetry.batch_applied(self.number, len(inputs), 0.01)
        self.fold.before_commit()
        rows = self.store.drain_dirty()
        self.store.committed(rows, Standing(Position(self.made, _TOPIC_ID, STATE_VERSION), self.made))
        if self.telemetry is not None:
            self.telemetry.committed(self.number, len(rows), 0.01, taken)


def _purchases(partition: int, begin: int, count: int) -> Iterator[_Input]:
    for number in range(begin, begin + count):
        # A few hundred members, each input a purchase of its own; a batch of the broker has one time.
        at = START_AT + (number // 50) * 1_000
        member = f"m_{number * 2_654_435_761 % 2**32:024x}"
        transaction = Transaction(
            f"partner-{partition}", f"{number * 11_400_714_819_323_198_485 % 2**64:032x}", member,
            f"merchant-{number % 50:04d}", SETTLED, "EUR", at, "IN_STORE", 2_000 + number % 5_000,
            store_id=f"store-{number % 20:03d}", mcc="5411", receipt_id=f"r{number:013d}",
        )  # fmt: skip
        yield _Input(transaction.key, encode("Transaction", to_datum(transaction)), number, at // 1_000)


def _stores(name: str, directory: Path) -> Stores:
    stores: Stores = MemoryStores()
    if name == "rocksdb":
        from streams.engine.local import LocalState

        stores = LocalState(_engine("", name, str(directory)))
    stores.begin("bench")
    return stores


def _engine(brokers: str, state: Any, directory: str) -> EngineSettings:
    return EngineSettings(
        brokers=brokers or "none",
        app_id=f"bench-{state}",
        input_topic=f"bench-{state}-inputs",
        changelog_topic=f"bench-{state}-state",
        partitions=1,
        state=state,
        state_directory=directory,
        state_version=STATE_VERSION,
    )


def _measure_store(name: str, plan: Plan, brokers: str, directory: Path) -> StoreFigures:
    stores = _stores(name, directory)
    before = _resident()
    many = _Partition(stores.open(0), number=0).begin()
    while many.made < plan.many:
        many.take(many.prepare(min(100_000, plan.many - many.made)))
    gc.collect()
    grown = max(1, _resident() - before)
    few = _Partition(stores.open(1), number=1).begin()
    few.take(few.prepare(plan.few))
    gc.freeze()
    times = _in_turns({plan.few: few, plan.many: many}, plan.rounds)
    rows = dict(many.store.items()) if name == "memory" else None
    disk, restart = None, None
    for each in (few, many):
        each.store.close(clean=True)
    if rows is None:
        disk = _bytes_below(directory) / (few.made + many.made)
        restart, rows = _clean_restart(stores)
    per_s, cpu_us = _restored(name, brokers, directory / "restored", rows)
    return StoreFigures(
        rows_per_gb=int(plan.many / grown * _GIGABYTE),
        disk_bytes_per_row=None if disk is None else round(disk, 1),
        restore_rows_per_s=per_s,
        restore_cpu_us_per_row=cpu_us,
        clean_restart_rows_per_s=restart,
        input_us={holds: round(median(each) / ROUND_INPUTS * 1e6, 2) for holds, each in times.items()},
        ratio=round(_ratio(times[plan.many], times[plan.few]), 3),
    )


def _in_turns(partitions: dict[int, _Partition], rounds: int) -> dict[int, list[float]]:
    """CPU seconds of each round, of one after the other; the first round warms up."""
    times: dict[int, list[float]] = {holds: [] for holds in partitions}
    for number in range(rounds + 1):
        for holds, partition in partitions.items():
            inputs = partition.prepare(ROUND_INPUTS)
            began = time.process_time()
            partition.take(inputs)
            if number:
                times[holds].append(time.process_time() - began)
    return times


def _ratio(these: Sequence[float], those: Sequence[float]) -> float:
    return median(one / other for one, other in zip(these, those, strict=True))


def _clean_restart(stores: Stores) -> tuple[int, dict[bytes, bytes]]:
    began = time.monotonic()
    store = stores.open(0)
    partition = _Partition(store)
    partition.fold.restored()
    per_s = int(len(store) / (time.monotonic() - began))
    rows = dict(store.items())
    store.close(clean=False)
    return per_s, rows


def _restored(name: str, brokers: str, directory: Path, rows: dict[bytes, bytes]) -> tuple[int, float]:
    """Rows a second, and CPU microseconds a row."""
    engine = _engine(brokers, name, str(directory))
    admin = AdminClient({"bootstrap.servers": brokers, "log_level": 0})
    topics = [NewTopic(topic, 1, 1) for topic in (engine.input_topic, engine.changelog_topic)]
    for created in admin.create_topics(topics).values():
        created.result(30)
    asked = Brokers(engine)
    topic_id = asked.verify_topics()
    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 20, "log_level": 0})
    for number, (key, row) in enumerate(rows.items()):
        producer.produce(engine.changelog_topic, row, key, 0)
        if number % 10_000 == 0:
            producer.flush(30)
    position = Position(0, topic_id, STATE_VERSION)
    producer.produce(engine.changelog_topic, position.encode(), POSITION_KEY, 0)
    producer.flush(60)
    store = _stores(name, directory).open(0)
    count = len(rows)
    rows.clear()
    began, began_cpu = time.monotonic(), time.process_time()
    restored = restore(engine, 0, store, brokers=asked, topic_id=topic_id, cancelled=Event())
    partition = _Partition(store)
    partition.fold.restored()
    took_s, cpu_s = time.monotonic() - began, time.process_time() - began_cpu
    if restored.rows != count + 1:  # and the position
        raise BenchFailed(f"{name}: {restored.rows} records were restored of {count + 1}")
    store.close(clean=False)
    return int(count / took_s), round(cpu_s / count * 1e6, 2)


def _metering_percent(rounds: int) -> float:
    """What measuring costs of an input's CPU time: the same inputs with and without, in turns."""
    measured, plain = (
        _Partition(MemoryStores().open(0), telemetry).begin() for telemetry in (WorkerTelemetry(), None)
    )
    for partition in (measured, plain):
        partition.take(partition.prepare(20_000))
    times = _in_turns({1: measured, 0: plain}, 4 * rounds)
    return round((_ratio(times[1], times[0]) - 1) * 100, 2)


def _resident() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


def _bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*.sst"))
