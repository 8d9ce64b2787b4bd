"""The demo from start to proof: a stack of its own, a year loaded, delivered and compared."""

import signal
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from ops.demo import ground
from ops.demo.comparison import Comparison, Verdict
from ops.demo.figures import Figures, Probe, Rates
from ops.demo.grocer import Payments, payments
from ops.demo.loading import Loading
from ops.demo.screen import Screen
from ops.demo.source import PARTNER, Year, grocery_year
from ops.embedded.children import tail
from ops.health import NotReady
from ops.settings import Settings
from ops.supervisor import Program
from ops.up import Stack, environment_of
from schemas.times import to_datetime
from schemas.topics import CASHBACK_EVENTS, REVERSAL_CASES
from sinks.ledger import SINK as LEDGER
from sinks.reconcile import Line, reconcile
from sinks.webhooks.endpoints import register

DEMO_SETTINGS = {
    "clock": "event",
    "webhook_allow_loopback": True,
    # Nobody waits for a single payment: larger transactions cost less.
    "commit_interval_ms": 300,
    # With --keep the same year may come again: none of it may be forgotten by then.
    "refund_horizon_days": 730,
}
SAMPLE_EVERY_S = 0.75
STUCK_AFTER_S = 60.0
COMPARISON_MAX_S = 1_800.0
RESTARTS_MAX = 3

_ENTRIES = "SELECT transition::text, count(*) FROM entries GROUP BY 1"
_POSITIONS = "SELECT topic, partition, next_offset FROM sink_positions WHERE sink = %s"
_WEBHOOKS = "SELECT (SELECT count(*) FROM webhook_queue), (SELECT count(*) FROM webhook_messages)"


@dataclass(frozen=True)
class Options:
    """What is asked of a run; `households` None: all."""

    households: int | None
    seed: int
    keep: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Outcome:
    """What a run led to; the reconciliation and the verdict are about everything in the directory."""

    year: Year
    made: Payments
    figures: Figures
    inputs: int
    decided_per_s: float
    reconciliation: list[Line]
    verdict: Verdict
    cases: int
    seconds: float

    @property
    def proof(self) -> int:
        """The proof column summed; must be 0."""
        return sum(abs(line.proof) for line in self.reconciliation)


class PartFailed(Exception):
    """A part of the pipeline does not go on; the message has the end of its log."""


class Demo:
    """One run on the directory `data`; a context manager whose end stops everything it started."""

    def __init__(self, settings: Settings, data: Path, options: Options, say: Callable[[str], None]) -> None:
        self.data = data
        self._options = options
        self._began_s = self._moved_s = time.monotonic()
        self._publisher = ground.prepare(data, keep=options.keep)
        self._received = data / "received.tsv"
        settings = settings.model_copy(update=DEMO_SETTINGS)
        arguments = (str(self._publisher.port), str(ground.secret_file(data)), str(self._received))
        receiver = Program("ops.demo.receiver", arguments, environment_of(settings))
        self._stack = Stack(
            settings, data, workers=options.workers, durable=False, more={"receiver": receiver}, say=say
        )
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="demo")
        self._loading = Loading()
        self._figures, self._rates = Figures(), Rates()
        self._entries_before: dict[str, int] = {}
        self._restarts_before: dict[str, int] = {}
        self._decided_per_s = 0.0
        self._inputs_end: int | None = None
        self._recomputed: Future[dict[str, int]] = Future()
        self._topics: Future[Verdict] | None = None
        self._books: Future[Verdict] | None = None
        self._probe: Probe | None = None
        self._comparison: Comparison | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C would leave servers behind.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._loading.is_ending.set()
        if self._comparison:
            self._comparison.close()
        if self._probe:
            self._probe.close()
        self._stack.stop()
        self._threads.shutdown(cancel_futures=True)
        signal.signal(signal.SIGINT, before)

    def start(self) -> tuple[Year, Payments]:
        """Servers and processes up, the year read meanwhile.

        Raises `StartError`, `AlreadyRunningError`, `NotReadyInTimeError`, each with the end of a log.
        """
        reading = self._threads.submit(self._read)
        self._stack.start_servers()
        settings = self._stack.settings
        if not self._publisher.is_registered:
            register(
                settings.database_url,
                partner_id=PARTNER,
                livemode=True,
                url=self._publisher.url,
                secret=self._publisher.secret,
                allow_loopback=True,
                actor="demo",
                reason="its publisher",
            )
            ground.remember(self._stack.data, self._publisher)
        self._entries_before = self._entries()
        self._stack.start_processes()
        self._probe = Probe(
            settings,
            self._stack.supervisor,
            workers=self._options.workers,
            receiver_port=self._publisher.port,
        )
        self._probe.begin()
        self._comparison = Comparison(settings)
        return reading.result()

    def run(self, year: Year, made: Payments, screen: Screen) -> Outcome:
        """Load, wait until everything is decided, posted and delivered, and compare.

        Raises `PartFailed` when a part does not go on.
        """
        loading = self._threads.submit(self._loading.run, self._stack.settings, made)
        self._figures.to_load = len(made.transactions) + len(made.entitlements)
        self._moved_s = time.monotonic()
        self._restarts_before = {each.name: each.restarts for each in self._stack.supervisor.status()}
        with screen:
            try:
                while (doing := self._advance(loading)) is not None:
                    self._sample()
                    self._figures.day = _day(made, self._figures.decided)
                    screen.show(self._figures, self._rates, doing)
                    self._check()
                    time.sleep(SAMPLE_EVERY_S)
            except BrokenExecutor as error:
                raise PartFailed(
                    "the process that recomputes was ended from outside; is there enough memory?"
                ) from error
            self._sample()
            screen.show(self._figures, self._rates, "done")
        return self._conclude(year, made)

    def _read(self) -> tuple[Year, Payments]:
        year = grocery_year(self._options.households, self._options.seed)
        return year, payments(year)

    def _advance(self, loading: Future[None]) -> str | None:
        """Take every step that is due; what the run waits for now, None when for nothing."""
        assert self._probe
        assert self._comparison
        if self._inputs_end is None:
            if not loading.done():
                return "loading the year"
            loading.result()
            self._inputs_end = self._probe.inputs()
            self._recomputed = self._comparison.recompute()
            if not self._options.keep:
                # What lies there from an earlier run was not part of this run's year.
                self._comparison.simulate(self._options.households, self._options.seed)
        if self._topics is None:
            if self._probe.committed() < self._inputs_end:
                return "judging"
            self._decided_per_s = self._loading.records / (time.monotonic() - self._loading.began_s)
            self._topics = self._comparison.compare_topics()
        if self._books is None:
            if not self._topics.done():
                return "delivering; the year is recomputed independently meanwhile"
            self._recomputed.result()
            if not self._is_delivered(self._topics.result().ends):
                return "delivering"
            self._books = self._comparison.compare_books(self._received)
        return None if self._books.done() else "comparing ledger and webhooks with the recomputation"

    def _is_delivered(self, ends: dict[tuple[str, int], int]) -> bool:
        """Whether the ledger has read up to `ends` and the receiver has every message it made of it."""
        assert self._probe
        settings = self._stack.settings
        try:
            with psycopg.connect(settings.database_url, autocommit=True) as connection:
                rows = connection.execute(_POSITIONS, [settings.topic_prefix + LEDGER]).fetchall()
                queued, messages = connection.execute(_WEBHOOKS).fetchone() or (0, 0)
        except psycopg.OperationalError:
            return False  # a server that ended is started again
        read = {(topic, partition): offset for topic, partition, offset in rows}
        topics = [topic.full_name(settings.topic_prefix) for topic in (CASHBACK_EVENTS, REVERSAL_CASES)]
        is_posted = all(read.get(place, 0) >= end for place, end in ends.items() if place[0] in topics)
        return is_posted and queued == 0 and self._probe.received().get("delivered", 0) >= messages

    def _entries(self) -> dict[str, int]:
        with psycopg.connect(self._stack.settings.database_url, autocommit=True) as connection:
            return dict(connection.execute(_ENTRIES).fetchall())

    def _sample(self) -> None:
        assert self._probe
        before = self._figures.progress()
        self._figures.loaded = self._loading.records or self._loading.written
        self._figures.to_load = max(self._figures.to_load, self._figures.loaded)
        self._probe.sample(self._figures)
        self._figures.at_s = time.monotonic() - self._began_s
        self._rates.add(replace(self._figures))
        if self._figures.progress() != before:
            self._moved_s = time.monotonic()

    def _check(self) -> None:
        """Raises `PartFailed` when a process ends again and again, or nothing moves any more."""
        self._stack.look_after_servers()
        still_s = time.monotonic() - self._moved_s
        statuses = self._stack.supervisor.status() if still_s > SAMPLE_EVERY_S * 4 else []
        for status in statuses:
            if status.restarts - self._restarts_before.get(status.name, 0) >= RESTARTS_MAX:
                raise PartFailed(f"{status.name} ends again and again. {self._last_words(status.name)}")
        waiting = self._figures.waiting_for()
        if waiting is None:
            if still_s > COMPARISON_MAX_S:
                raise PartFailed(f"the comparison did not end in {COMPARISON_MAX_S:.0f} s")
        elif still_s > STUCK_AFTER_S:
            what, name = waiting
            reasons = [
                s.readiness.reason for s in statuses if s.name == name and isinstance(s.readiness, NotReady)
            ]
            why = f" It says: {reasons[0]}." if reasons else ""
            raise PartFailed(f"nothing moved for {still_s:.0f} s: {what}.{why} {self._last_words(name)}")

    def _last_words(self, name: str) -> str:
        kafka = self._stack.kafka
        log = kafka.log if kafka and name == "kafka" else self._stack.supervisor.log(name)
        return f"The end of {log}:\n{tail(log)}"

    def _conclude(self, year: Year, made: Payments) -> Outcome:
        assert self._topics
        assert self._books
        verdict = self._topics.result()
        verdict.join(self._books.result())
        figures = self._figures
        verdict.count("their signatures", figures.delivered + figures.refused, figures.refused)
        verdict.count("created before cleared or reverted", figures.delivered, figures.misordered)
        # The ledger's own counts: they are exact also when a worker was restarted on the way.
        grown = {name: count - self._entries_before.get(name, 0) for name, count in self._entries().items()}
        return Outcome(
            year=year,
            made=made,
            figures=replace(
                figures,
                created=grown.get("created", 0),
                cleared=grown.get("cleared", 0),
                reverted=grown.get("reverted", 0),
                posted=sum(grown.values()),
            ),
            inputs=self._loading.records,
            decided_per_s=self._decided_per_s,
            reconciliation=reconcile(self._stack.settings.database_url),
            verdict=verdict,
            cases=self._recomputed.result().get("cases", 0),
            seconds=time.monotonic() - self._began_s,
        )


def _day(made: Payments, decided: int) -> str:
    """About where the stream is in the year: its partitions go on side by side."""
    everything = len(made.transactions) + len(made.entitlements)
    place = min(decided, everything) * len(made.transactions) // max(1, everything) - 1
    return f"{to_datetime(made.transactions[place].occurred_at):%-d %B %Y}" if place >= 0 else ""
