"""How long a payment takes to the ledger, with everything running as `cashback up` runs it.

A payment's time begins on our clock right before it is handed to the producer and ends on the same clock when
a client of the database sees its entry committed; between two looks lie a few milliseconds, which count in
full. Every payment is a purchase of its own that earns cashback, so each is one entry. Members come again to
the same few shops: their accounts are opened before, and what that left undone is done when the clock starts.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import psutil
import psycopg

from connectors.writer import InputsUnavailable, InputsWriter, inputs_producer
from ops.bench import history
from ops.bench.measure import BenchFailed
from ops.embedded.jars import Say
from ops.settings import Settings
from ops.up import Stack
from schemas.codec import encode
from schemas.topics import INPUTS
from schemas.transactions import SETTLED, Transaction, to_datum

LOOK_EVERY_S = 0.01
WRITE_EVERY_S = 0.005
WARM_UP_S = 5.0
POSTED_TIMEOUT_S = 30.0
OVERTAKEN_S_MAX = 10.0
"""So long a number may be missing although higher ones are there."""
MERCHANTS = 50
SHOPS_A_MEMBER = 3


@dataclass(frozen=True)
class Plan:
    """`per_s` payments a second of `members` for `seconds`, after a warm-up at the same rate."""

    per_s: int = 5_000
    seconds: int = 30
    members: int = 5_000
    warm_up_s: float = WARM_UP_S
    brokers: str | None = None
    database: str | None = None

    @property
    def opening(self) -> int:
        """Payments that open accounts: each member at each of its shops."""
        return self.members * SHOPS_A_MEMBER

    @property
    def unmeasured(self) -> int:
        """Payments before the clock starts."""
        return self.opening + int(self.per_s * self.warm_up_s)

    @property
    def payments(self) -> int:
        """Payments in all."""
        return self.unmeasured + self.per_s * self.seconds


@dataclass(frozen=True)
class LatencyReport:
    """Milliseconds from produce to posted; `cpu_share`: of one core, by part; `machine_share`: of all cores.

    `written_per_s` is what the writer kept up with.
    """

    payments: int
    per_s: int
    written_per_s: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float
    commit_interval_ms: int
    cpu_share: dict[str, float]
    machine_share: float
    cores: int

    def as_json(self) -> dict[str, Any]:
        """One plain object."""
        return asdict(self)


def bench_latency(plan: Plan, settings: Settings, data: Path, *, say: Say = lambda _: None) -> LatencyReport:
    """Run the whole system under `data` and measure. Raises `BenchFailed`, `StartError`."""
    settings = settings.model_copy(update={"clock": "broker"})
    values = _payments(plan)
    with Stack(settings, data, brokers=plan.brokers, database=plan.database, say=say) as stack:
        with InputsWriter(stack.settings) as writer:
            writer.write_program(history.campaign())
        with _ledger_watch(stack.settings, plan.payments) as posted_at_s:
            say(f"{plan.opening:,} payments that open accounts")
            written_at_s = _written_at_once(stack.settings, values[: plan.opening])
            _await_posted(posted_at_s, plan.opening)
            say(f"{plan.per_s:,} payments a second for {plan.warm_up_s:.0f} + {plan.seconds} s")
            paced_at_s, used = _written_at_pace(stack, values[plan.opening :], plan)
            written_at_s += paced_at_s
            _await_posted(posted_at_s, plan.payments)
    return _report(plan, settings, written_at_s, posted_at_s, used)


def _payments(plan: Plan) -> list[tuple[bytes, bytes]]:
    """Keys and values, encoded before the clock runs; the receipt carries the payment's number."""
    occurred_at = time.time_ns() // 1_000
    made = []
    for number in range(plan.payments):
        visit, member = divmod(number, plan.members)
        merchant = (member + visit % SHOPS_A_MEMBER) % MERCHANTS
        payment = Transaction(
            "partner-0", f"{occurred_at:x}-{number:08d}", f"m_{member:024x}",
            f"merchant-{merchant:04d}", SETTLED, "EUR", occurred_at, "IN_STORE",
            2_000 + number % 5_000, store_id="store-001", mcc="5411", receipt_id=str(number),
        )  # fmt: skip
        made.append((payment.key, encode("Transaction", to_datum(payment))))
    return made


class _Writer:
    """Hands payments over and remembers when."""

    def __init__(self, settings: Settings) -> None:
        self.written_at_s: list[float] = []
        self._topic = INPUTS.full_name(settings.topic_prefix)
        self._failures: list[Any] = []
        failed = self._failures.append
        options = {"linger.ms": 5, "delivery.report.only.error": True}
        self._producer = inputs_producer(settings, delivered=lambda error, _: failed(error), **options)

    def write(self, payments: Sequence[tuple[bytes, bytes]]) -> None:
        for key, value in payments:
            self.written_at_s.append(time.monotonic())
            self._producer.produce(self._topic, value, key)
        self._producer.poll(0)

    def finish(self) -> None:
        if self._producer.flush(POSTED_TIMEOUT_S) or self._failures:
            raise InputsUnavailable(f"{self._topic}: the payments to measure with could not be written")


def _written_at_once(settings: Settings, payments: Sequence[tuple[bytes, bytes]]) -> list[float]:
    writer = _Writer(settings)
    writer.write(payments)
    writer.finish()
    return writer.written_at_s


def _written_at_pace(
    stack: Stack, payments: Sequence[tuple[bytes, bytes]], plan: Plan
) -> tuple[list[float], dict[str, float]]:
    """When each payment was handed over, and CPU seconds used by part since the warm-up."""
    writer, parts = _Writer(stack.settings), _parts(stack)
    before: dict[str, float] = {}
    began_s = time.monotonic()
    while (written := len(writer.written_at_s)) < len(payments):
        if not before and written >= plan.per_s * plan.warm_up_s:
            before = _cpu_s(parts)
        due = int((time.monotonic() - began_s) * plan.per_s) + 1
        writer.write(payments[written:due])
        time.sleep(WRITE_EVERY_S)
    after = _cpu_s(parts)
    writer.finish()
    return writer.written_at_s, {name: after[name] - before[name] for name in parts}


@contextmanager
def _ledger_watch(settings: Settings, payments: int) -> Iterator[list[float | None]]:
    """When each payment's entry was first seen, by number; filled by a thread while in the context."""
    posted_at_s: list[float | None] = [None] * payments
    ended = threading.Event()

    def watch() -> None:
        newest, overtaken = 0, dict[int, float]()
        with psycopg.connect(settings.database_url, autocommit=True) as ledger:
            ledger.execute("SET enable_seqscan = off")  # planned while the table is empty, it would be one
            while not ended.is_set():
                rows = ledger.execute(_NEWER, (newest, list(overtaken)), prepare=True).fetchall()
                seen_at_s = time.monotonic()
                for entry_id, number in sorted(rows):
                    overtaken.pop(entry_id, None)
                    overtaken |= dict.fromkeys(range(newest + 1, entry_id), seen_at_s)
                    newest = max(newest, entry_id)
                    if posted_at_s[number] is None:
                        posted_at_s[number] = seen_at_s
                while overtaken and seen_at_s - next(iter(overtaken.values())) > OVERTAKEN_S_MAX:
                    del overtaken[next(iter(overtaken))]  # nobody uses that number
                ended.wait(LOOK_EVERY_S)

    thread = threading.Thread(target=watch, name="ledger-watch")
    thread.start()
    try:
        yield posted_at_s
    finally:
        ended.set()
        thread.join()


# Each lane of the ledger takes ids for a batch: those of one may be committed after higher ones of another.
_NEWER = """
SELECT entry_id, receipt_id::int FROM entries WHERE entry_id > %s
UNION ALL SELECT entry_id, receipt_id::int FROM entries WHERE entry_id = ANY (%s)
"""


def _await_posted(posted_at_s: list[float | None], payments: int) -> None:
    deadline = time.monotonic() + POSTED_TIMEOUT_S
    while None in posted_at_s[:payments]:
        if time.monotonic() > deadline:
            missing = posted_at_s[:payments].count(None)
            raise BenchFailed(f"{missing:,} of {payments:,} payments were not in the ledger in time")
        time.sleep(0.1)


def _parts(stack: Stack) -> dict[str, list[psutil.Process]]:
    """The processes of the running system by what they are."""
    parts = {
        status.name: [psutil.Process(status.pid)]
        for status in stack.supervisor.status()
        if status.pid is not None
    }
    if stack.kafka:
        parts["kafka"] = [psutil.Process(stack.kafka.pid)]
    if stack.postgres:
        server = psutil.Process(stack.postgres.pid)
        parts["postgres"] = [server, *server.children()]
    parts["bench"] = [psutil.Process()]
    return parts


def _cpu_s(parts: dict[str, list[psutil.Process]]) -> dict[str, float]:
    used = {}
    for name, processes in parts.items():
        times = [process.cpu_times() for process in processes if process.is_running()]
        used[name] = sum(each.user + each.system for each in times)
    return used


def _report(
    plan: Plan,
    settings: Settings,
    written_at_s: list[float],
    posted_at_s: list[float | None],
    used: dict[str, float],
) -> LatencyReport:
    times_ms = sorted(
        (posted - written) * 1_000
        for written, posted in list(zip(written_at_s, posted_at_s, strict=True))[plan.unmeasured :]
        if posted is not None
    )
    percentiles = quantiles(times_ms, n=100, method="inclusive")
    took_s = written_at_s[-1] - written_at_s[plan.unmeasured]
    cores = psutil.cpu_count() or 1
    return LatencyReport(
        payments=len(times_ms),
        per_s=plan.per_s,
        written_per_s=round((len(times_ms) - 1) / took_s),
        p50_ms=round(percentiles[49], 1),
        p90_ms=round(percentiles[89], 1),
        p99_ms=round(percentiles[98], 1),
        max_ms=round(times_ms[-1], 1),
        commit_interval_ms=settings.commit_interval_ms,
        cpu_share={name: round(cpu_s / took_s, 3) for name, cpu_s in used.items()},
        machine_share=round(sum(used.values()) / took_s / cores, 3),
        cores=cores,
    )
