"""Threads that end the process when it is no longer what it believes to be.

- It stood still for longer than its session (SIGSTOP, swap, a sleeping host): others run its partitions now.
- The group dropped it.
- Its event loop hangs, or there is work and nothing moves, or a stop does not come to its end.

The transactions' fence keeps such a worker from doing harm; the watchdog keeps it from doing nothing.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from time import monotonic, sleep
from typing import Protocol

from confluent_kafka import KafkaException

from streams.engine.assignment import Assignment
from streams.engine.brokers import Brokers
from streams.engine.context import Context
from streams.engine.exits import ExitCode
from streams.engine.readiness import State
from streams.engine.runner import PartitionRunner

TICK_S = 0.25
STOP_S_MAX = 30.0
_LAG_EVERY_S = 1.0


class Membership(Protocol):
    """What the watchdog asks the consumer, from its own thread."""

    def member_id(self) -> str:
        """Empty = the group does not know this member."""

    def stable_end(self, partition: int) -> int | None:
        """Last stable offset as of the last fetch; None = not known."""


class Watchdog:
    def __init__(
        self, context: Context, assignment: Assignment, membership: Membership, brokers: Brokers
    ) -> None:
        self._context = context
        self._assignment = assignment
        self._membership = membership
        self._brokers = brokers
        self._session_s = context.settings.session_timeout_ms / 1_000
        self._patience_s = context.settings.progress_timeout_ms / 1_000
        self._pulse_at = self._lag_at = monotonic()
        self._stopping_since: float | None = None

    def start(self) -> None:
        # Apart, because asking the brokers can take seconds, which would look like standing still.
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        threading.Thread(target=self._watch_progress, name="watchdog-progress", daemon=True).start()

    def pulse(self) -> None:
        """The event loop is alive; to be called on it every TICK_S or so."""
        self._pulse_at = monotonic()

    def _watch(self) -> None:
        seen_at = monotonic()
        while True:
            sleep(TICK_S)
            now = monotonic()
            if now - seen_at > self._session_s:
                self._end(
                    ExitCode.SUSPENDED,
                    f"stood still for {now - seen_at:.1f} s, session is {self._session_s} s",
                )
            seen_at = now
            if self._context.readiness.state is State.STOPPING:
                self._bound_stop(now)
                continue
            self._check_session()
            self._check_loop(now)
            if now - self._lag_at > _LAG_EVERY_S:
                self._lag_at = now
                self._tell_lag()

    def _bound_stop(self, now: float) -> None:
        self._stopping_since = self._stopping_since or now
        if now - self._stopping_since > STOP_S_MAX:
            self._end(ExitCode.STALLED, f"stop did not end within {STOP_S_MAX} s")

    def _check_session(self) -> None:
        if self._assignment.active and not self._membership.member_id():
            self._end(ExitCode.SESSION_LOST, "the group dropped this member while it ran partitions")

    def _check_loop(self, now: float) -> None:
        if now - self._pulse_at > self._patience_s:
            self._end(ExitCode.STALLED, f"the event loop has not turned for {now - self._pulse_at:.1f} s")

    def _tell_lag(self) -> None:
        for partition, runner in self._assignment.runners.copy().items():
            end = self._membership.stable_end(partition)
            if end is not None:
                self._context.observer.lag(partition, max(0, end - runner.next_offset))

    def _watch_progress(self) -> None:
        while self._context.readiness.state not in (State.PAUSED, State.STOPPING):
            sleep(self._patience_s / 4)
            # Without brokers nobody makes progress, and a restart would not help.
            with suppress(KafkaException):
                self._check_assigned()
                for partition, runner in self._assignment.runners.copy().items():
                    self._check_progress(partition, runner)

    def _check_assigned(self) -> None:
        since = self._assignment.waiting_since
        if since is not None and monotonic() - since > self._patience_s:
            self._brokers.bounds(self._context.settings.input_topic, 0)
            if self._assignment.waiting_since == since:
                self._end(ExitCode.STALLED, f"no assignment for {monotonic() - since:.1f} s")

    def _check_progress(self, partition: int, runner: PartitionRunner) -> None:
        """Ask the brokers, not the consumer: a consumer that stopped fetching knows of no lag."""
        seen_at, next_offset = runner.progress_at, runner.next_offset
        if monotonic() - seen_at < self._patience_s or not self._assignment.active:
            return
        lag = self._brokers.bounds(self._context.settings.input_topic, partition).high - next_offset
        if lag > 0 and runner.progress_at == seen_at and not self._context.pauses:
            self._end(
                ExitCode.STALLED,
                f"no progress for {monotonic() - seen_at:.1f} s with {lag} records to read",
                partition=partition,
                offset=next_offset,
            )

    def _end(self, code: ExitCode, reason: str, **context: int) -> None:
        self._context.fail_stop.end(code, reason, cause=None, **context)
