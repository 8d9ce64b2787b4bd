"""The battle: inputs are written, faults strike, side by side where they hit different stages."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from ops.embedded.jars import Say
from ops.torture import on_brokers, on_sinks, on_workers
from ops.torture.faults import FORMS, Kind
from ops.torture.load import Client, Outgoing, payments
from ops.torture.payments import mixed_programs
from ops.torture.progress import Felt, Progress
from ops.torture.replays import records_of
from ops.torture.schedule import Fault, schedule
from ops.torture.strike import Skipped, Strike
from ops.torture.system import System
from ops.torture.waiting import Interrupted, NotInTime
from ops.torture.watch import Place, Stage, Watch
from schemas.programs import parse_program
from schemas.times import SECOND, from_iso

BATCHES = 400
"""Into so many the inputs are divided, but"""
BATCH_MIN, BATCH_MAX = 20, 250
LEAD = 0.02
"""How far, as a share of the inputs, writing may be ahead of the fault that is due; then it goes slowly."""
SLOWLY_S = 1.0
"""A batch so often: what waits for progress must have something to see."""
SAVE_EVERY_S = 2.0
STUCK_MAX = 3
"""So many faults that never heal end the run."""
UNTIL = "2025-07-01T00:00:00Z"
"""Past every hold and expiry of the inputs."""
MIN_SPEND = 3_000
"""Lets pairs wait for the second half of their amount, and keeps events to about one an input."""

STRIKES: dict[Kind, Callable[[Strike], None]] = {
    Kind.WORKER_KILLED: on_workers.kill,
    Kind.WORKER_FAILPOINT: on_workers.failpoint,
    Kind.WORKER_SUSPENDED: on_workers.suspend,
    Kind.WORKERS_COME_AND_GO: on_workers.come_and_go,
    Kind.LEDGER_KILLED: on_sinks.kill_ledger,
    Kind.LEDGER_SUSPENDED: on_sinks.suspend_ledger,
    Kind.COMMIT_CUT_BEFORE: on_sinks.cut_commit_before,
    Kind.COMMIT_CUT_AFTER: on_sinks.cut_commit_after,
    Kind.WEBHOOKS_KILLED: on_sinks.kill_webhooks,
    Kind.WEBHOOKS_COMMIT_CUT: on_sinks.cut_webhooks_commit,
    Kind.RECEIVER: on_sinks.misbehave,
    Kind.POSTGRES_KILLED: on_sinks.kill_postgres,
    Kind.POSTGRES_AWAY: on_sinks.postgres_away,
    Kind.POSTGRES_SLOW: on_sinks.postgres_slow,
    Kind.POSTGRES_FULL: on_sinks.postgres_full,
    Kind.BROKER_KILLED: on_brokers.kill_broker,
    Kind.BROKER_SUSPENDED: on_brokers.suspend_broker,
    Kind.TWO_BROKERS_KILLED: on_brokers.kill_two_brokers,
    Kind.ALL_BROKERS_KILLED: on_brokers.kill_all_brokers,
    Kind.NETWORK_SLOW: on_brokers.slow_network,
    Kind.NETWORK_CUT: on_brokers.cut_network,
    Kind.NETWORK_AWAY: on_brokers.no_network,
    Kind.NETWORK_HALF_OPEN: on_brokers.half_open_network,
    Kind.DISK_FULL: on_brokers.fill_disk,
    Kind.CHANGELOG_COMPACTED: on_brokers.compact_changelog,
    Kind.CLOCK_SKEW: on_workers.skew,
    Kind.REPLAY: on_workers.replay,
}


class Abandoned(Exception):
    """The system did not recover from several faults; what is there can be looked at and resumed."""


def programs() -> list[dict[str, object]]:
    """The programs of every run."""
    return [{**program, "min_spend_minor": MIN_SPEND} for program in mixed_programs()]


@dataclass
class Battle:
    """`run` returns when all inputs are written and every fault is over."""

    system: System
    watch: Watch
    progress: Progress
    say: Say
    deadline_s: float | None = None
    """Monotonic; past it no fault and no input is begun."""
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stop: threading.Event = field(default_factory=threading.Event)
    _busy: set[Stage] = field(default_factory=set)
    _waiting: list[Fault] = field(default_factory=list)
    _asked: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Raises what went wrong first, `Abandoned` among it."""
        plan = self.progress.plan
        faults = schedule(plan.seed, plan.faults)
        self._waiting = [fault for fault in faults if fault.number not in self.progress.done]
        with ThreadPoolExecutor(2, thread_name_prefix="battle") as pool:
            jobs = [pool.submit(self._guarded, job) for job in (self._write_all, self._strike_all)]
            try:
                for job in jobs:
                    job.result()
            except BaseException:
                self._end()
                raise

    def is_out_of_time(self) -> bool:
        """Whether the run is to end now."""
        return self._stop.is_set() or (self.deadline_s is not None and time.monotonic() > self.deadline_s)

    def _guarded(self, job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException:
            self._end()
            raise

    def _end(self) -> None:
        self._stop.set()
        self.watch.end()
        with self._changed:
            self._changed.notify_all()

    def _write_all(self) -> None:
        plan, progress = self.progress.plan, self.progress
        client = Client(self.system.outside, progress.directory)
        stream = payments(plan.inputs, plan.seed)
        self.watch.intake = lambda: Place(client.acknowledged, waits=client.is_writing)
        try:
            if not progress.has_programs:
                client.write(client.programs([parse_program(each) for each in programs()]), stop=self._stop)
                progress.has_programs = not self._stop.is_set()
            for happened_at, _ in islice(stream, progress.written):
                client.clock_at = max(client.clock_at, happened_at)
            self._write_stream(client, stream)
            self._serve_replays(client)
            if not self.is_out_of_time():  # a run that goes on has inputs left, which come before the end
                until = from_iso(UNTIL, "until")
                # Of a tick that a crash cuts short the position alone may be left to commit, which is not
                # urgent: the second one makes it so.
                client.write(client.ticks(until - SECOND), stop=self._stop)
                client.write(client.ticks(until), stop=self._stop)
        finally:
            progress.outcomes = {
                name: progress.outcomes.get(name, 0) + count for name, count in client.outcomes.items()
            }
            client.close()
            progress.save()

    def _write_stream(self, client: Client, stream: Iterator[tuple[int, Outgoing]]) -> None:
        progress, saved_s = self.progress, time.monotonic()
        size = max(BATCH_MIN, min(BATCH_MAX, progress.plan.inputs // BATCHES))
        interval_s = size / progress.plan.inputs_per_s
        while not self.is_out_of_time():
            began_s = time.monotonic()
            batch = [client.stamped(at, record) for at, record in islice(stream, size)]
            if not batch:
                return
            client.write(batch, stop=self._stop)
            if self._stop.is_set():
                return
            self._answer_replays(client)
            with self._changed:
                progress.written += len(batch)
                self._changed.notify_all()
                self._changed.wait_for(self._may_write_on, SLOWLY_S)
            if time.monotonic() - saved_s > SAVE_EVERY_S:
                progress.save()
                saved_s = time.monotonic()
            self._stop.wait(max(0.0, interval_s - (time.monotonic() - began_s)))

    def _may_write_on(self) -> bool:
        due = self._waiting[0].share if self._waiting else 1.0
        return self.is_out_of_time() or bool(self._asked) or self.progress.share < due + LEAD

    def _serve_replays(self, client: Client) -> None:
        """Nothing new is written any more; faults under way may still want a part of it again."""
        while not self._stop.is_set():
            with self._changed:
                self._changed.wait_for(lambda: bool(self._asked) or not self._is_striking(), 1.0)
                if not self._is_striking():
                    return
            self._answer_replays(client)

    def _is_striking(self) -> bool:
        return bool(self._busy) or (bool(self._waiting) and not self.is_out_of_time())

    def _answer_replays(self, client: Client) -> None:
        while self._asked:
            count = self._asked[0]
            again = records_of(
                self.system.inside, count, seed=f"{self.progress.plan.seed} {self.progress.replayed}"
            )
            if not again:  # no broker answers; whoever asked goes on waiting
                self._stop.wait(SLOWLY_S)
                return
            for start in range(0, len(again), BATCH_MAX):
                client.write(
                    [client.stamped(0, record) for record in again[start : start + BATCH_MAX]],
                    stop=self._stop,
                )
            with self._changed:
                self.progress.replayed += len(again)
                self._asked.pop(0)
                self._changed.notify_all()

    def _replay(self, count: int) -> None:
        with self._changed:
            self._asked.append(count)
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._asked or self._stop.is_set())

    def _strike_all(self) -> None:
        running: set[Future[None]] = set()
        with ThreadPoolExecutor(len(Stage), thread_name_prefix="strike") as pool:
            while (self._waiting or running) and not (self.is_out_of_time() and not running):
                with self._changed:
                    fault = None if self.is_out_of_time() else self._next()
                    if fault is None:
                        self._changed.wait(0.2)
                    else:
                        self._busy |= set(FORMS[fault.kind].stages)
                if fault is not None:
                    running.add(pool.submit(self._strike_guarded, fault))
                for future in [each for each in running if each.done()]:
                    running.discard(future)
                    future.result()

    def _next(self) -> Fault | None:
        """The first that is due and whose stages are free; one that waits keeps its stages for itself."""
        wanted = set(self._busy)
        for fault in self._waiting:
            if fault.share > self.progress.share and self.progress.share < 1.0:
                return None
            stages = set(FORMS[fault.kind].stages)
            if not stages & wanted:
                self._waiting.remove(fault)
                return fault
            wanted |= stages
        return None

    def _strike_guarded(self, fault: Fault) -> None:
        try:
            self._strike(fault)
        finally:
            with self._changed:
                self._busy -= set(FORMS[fault.kind].stages)
                self._changed.notify_all()

    def _strike(self, fault: Fault) -> None:
        strike = Strike(fault, self.system, self.watch, self._replay, self._stop)
        stuck = skipped = ""
        began_at = time.time()
        try:
            STRIKES[fault.kind](strike)
        except Skipped as reason:
            skipped = str(reason)
        except NotInTime as error:
            stuck = str(error)
        except Interrupted:
            self.progress.broke_off(began_at)
            return
        if self._stop.is_set():
            self.progress.broke_off(began_at)
            return
        pause_s = round(max(strike.pauses_s), 2) if strike.pauses_s and not stuck else None
        if len(strike.pauses_s) > 1:
            strike.note(" and ".join(f"{each:.1f} s" for each in strike.pauses_s))
        felt = Felt(
            fault.number, fault.kind, round(self.progress.share, 4), pause_s, round(strike.lasted_s, 1),
            ", ".join(strike.notes), stuck, skipped, began_at, time.time(),
        )  # fmt: skip
        self.progress.note(felt)
        self.say(tell(felt))
        if sum(bool(each.stuck) for each in self.progress.felt) >= STUCK_MAX:
            raise Abandoned(
                f"{STUCK_MAX} faults never healed, at last {felt.kind}: {stuck}; look into "
                f"{self.progress.directory}, it goes on with --resume"
            )


def tell(felt: Felt) -> str:
    """A fault in a line."""
    what = f"{felt.share:6.1%}  {felt.kind}" + (f" ({felt.note})" if felt.note else "")
    if felt.skipped:
        return f"{what}: skipped, {felt.skipped}"
    if felt.pause_s is None:
        return f"{what}: STUCK, {felt.stuck}"
    lasted = f", after {felt.lasted_s:.1f} s" if felt.lasted_s else ""
    return f"{what}: {felt.pause_s:.1f} s{lasted}{' SLOW' if felt.is_slow else ''}"
