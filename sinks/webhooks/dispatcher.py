"""Delivers the queue: claims what is due, sends it side by side, settles what came of it in batches.

One loop talks to the database (settle, then claim), tasks per endpoint talk to receivers. Endpoints share
nothing but the process, so a slow one delays itself only.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar, assert_never

import psycopg
from psycopg import AsyncConnection

from ops import metrics
from ops.health import NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.settings import Settings
from sinks.database import become_dispatcher, session_options
from sinks.webhooks.lane import Lane
from sinks.webhooks.outcomes import THROTTLING, Delivered, GiveUp, Gone, Retry, judge
from sinks.webhooks.queue import Message, Queue, Settled, Stored
from sinks.webhooks.sending import Answer, Sender

Value = TypeVar("Value")

BEAT_S = 1.0
BACK_OFF_S_MAX = 5.0
FAREWELL_S = 5.0
_ATTEMPTS = {said: metrics.webhook_attempts_total.labels(said) for said in ("delivered", "failed", "gave_up")}
_BUSY_S = 0.03
_IDLE_S = 0.15


@dataclass
class State:
    """What the process says of itself."""

    doing: str = "starting"
    dispatching: bool = False
    delivered: int = 0
    failed: int = 0
    endpoints: int = 0

    def readiness(self) -> Readiness:
        """Ready while it has the database."""
        details = {"delivered": self.delivered, "failed_attempts": self.failed, "endpoints": self.endpoints}
        return Ready(details) if self.dispatching else NotReady(self.doing, details)


class Dispatcher:
    """The running dispatcher; `run` returns after `stop`."""

    def __init__(self, settings: Settings, *, instance: str) -> None:
        self._settings = settings
        self._instance = instance
        self._stop = asyncio.Event()
        self.state = State()

    def stop(self) -> None:
        """Claim nothing more, let what is under way come to its end for a few seconds, return from `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Raises `Superseded`; a database that is away is waited for."""
        failures = 0
        while not self._stop.is_set():
            try:
                async with await AsyncConnection.connect(
                    self._settings.database_url, autocommit=True, **session_options("cashback webhooks")
                ) as connection:
                    await become_dispatcher(connection)
                    queue = Queue(connection, self._instance, stale_ms=self._settings.sink_stale_ms)
                    await queue.enter()
                    failures = 0
                    await self._dispatch(queue)
            except psycopg.OperationalError as error:
                failures += 1
                wait_s = min(BACK_OFF_S_MAX, 0.1 * 2 ** min(failures, 10))
                self.state.doing = "waiting for the database"
                get_logger().warning("database away", error=str(error).strip(), retry_in_s=wait_s)
                await self._sleep(wait_s)
            finally:
                self.state.dispatching = False

    async def _dispatch(self, queue: Queue) -> None:
        sender = Sender(
            timeout_s=self._settings.webhook_timeout_s,
            host_connections=self._settings.webhook_host_connections,
            allow_loopback=self._settings.webhook_allow_loopback,
        )
        round_ = _Round(self._settings, self.state, queue, sender)
        self.state.dispatching, self.state.doing = True, "dispatching"
        try:
            while not self._stop.is_set():
                busy = await round_.turn()
                await self._sleep(_BUSY_S if busy else _IDLE_S)
            await round_.farewell(FAREWELL_S)
        finally:
            await round_.abandon()
            await sender.close()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass


class _Round:
    """What one session with the database works on; given up as a whole when the session is lost."""

    def __init__(self, settings: Settings, state: State, queue: Queue, sender: Sender) -> None:
        self._settings = settings
        self._state = state
        self._queue = queue
        self._sender = sender
        self._lanes: dict[int, Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled: list[Settled] = []
        self._to_release: list[Message] = []
        self._to_mark: dict[int, float] = {}
        self._to_disable: dict[int, str] = {}
        self._beaten_s = 0.0
        self._fault: BaseException | None = None

    async def turn(self) -> bool:
        """One exchange with the database; returns whether there is anything to do at once.

        Raises what a delivery raised: a fault of ours, never of a receiver.
        """
        if self._fault:
            raise self._fault
        if time.monotonic() - self._beaten_s > BEAT_S:
            await self._beat()
        await self._settle()
        rooms = {endpoint: room for endpoint, lane in self._lanes.items() if (room := lane.room())}
        claimed = await self._queue.claim(rooms) if rooms else []
        for message in claimed:
            self._lanes[message.endpoint_id].waiting.append(message)
        for lane in self._lanes.values():
            self._start(lane)
        return bool(claimed or self._tasks or self._settled)

    async def farewell(self, seconds: float) -> None:
        """Let attempts under way end, settle them, give back the rest."""
        for lane in self._lanes.values():
            self._to_release += lane.drain()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        await self._settle()
        await self._queue.leave()

    async def abandon(self) -> None:
        """End all attempts; what they would have brought is sent again by whoever claims it next."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _beat(self) -> None:
        await self._queue.beat()
        stored = {each.endpoint_id: each for each in await self._queue.endpoints()}
        for each in stored.values():
            self._refresh(each)
        for endpoint in self._lanes.keys() - stored.keys():
            self._to_release += self._lanes.pop(endpoint).drain()
        metrics.webhook_oldest_seconds.set(await self._queue.oldest_s())
        self._state.endpoints = len(stored)
        self._beaten_s = time.monotonic()

    def _refresh(self, stored: Stored) -> None:
        endpoint = stored.endpoint_id
        try:
            if endpoint not in self._lanes:
                self._lanes[endpoint] = Lane(stored, window_max=self._settings.webhook_endpoint_requests)
            elif endpoint not in self._to_mark:
                self._lanes[endpoint].refresh(stored)
        except ValueError as error:  # EndpointRefused, or a URL that cannot be sent to
            self._to_disable[endpoint] = str(error)

    async def _settle(self) -> None:
        settled, self._settled = self._settled, []
        if settled:
            await self._queue.settle(settled)
        for endpoint, reason in self._take(self._to_disable):
            if await self._queue.disable(endpoint, reason):
                get_logger().error("endpoint disabled", endpoint_id=endpoint, reason=reason)
            if lane := self._lanes.pop(endpoint, None):
                self._to_release += lane.drain()
        for endpoint, pause_s in self._take(self._to_mark):
            if lane := self._lanes.get(endpoint):
                await self._queue.mark(endpoint, failing_since=lane.failing_since, pause_s=pause_s)
        if self._to_release:
            released, self._to_release = self._to_release, []
            await self._queue.release(released)

    @staticmethod
    def _take(waiting: dict[int, Value]) -> Sequence[tuple[int, Value]]:
        taken = list(waiting.items())
        waiting.clear()
        return taken

    def _start(self, lane: Lane) -> None:
        # One task takes message after message: a task for each costs more than it brings.
        for _ in range(min(lane.window - lane.under_way, len(lane.waiting))):
            lane.under_way += 1
            task = asyncio.create_task(self._deliver(lane))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self._fault = fault

    async def _deliver(self, lane: Lane) -> None:
        try:
            while lane.waiting and lane.under_way <= lane.window and not lane.is_resting():
                message = lane.waiting.popleft()
                started_at = datetime.now(UTC)
                answer = await self._sender.send(lane.url, lane.keys, message.event_id, message.body)
                self._conclude(lane, message, answer, started_at)
        finally:
            lane.under_way -= 1

    def _conclude(self, lane: Lane, message: Message, answer: Answer, started_at: datetime) -> None:
        outcome = judge(
            answer.status,
            answer.retry_after,
            attempt=message.attempts + 1,
            delays_s=self._settings.webhook_retry_delays_s,
            now=started_at,
        )
        is_overloaded = answer.status is None or answer.status in THROTTLING
        lane.finish(is_overloaded=is_overloaded)
        match outcome:
            case Delivered():
                said, delay_s = "delivered", None
                if lane.failing_since:
                    lane.failing_since = None
                    self._to_mark[lane.endpoint_id] = 0.0
            case Retry(delay, pause_s):
                said, delay_s = "failed", delay
                self._failed(lane, pause_s, started_at)
            case GiveUp():
                said, delay_s = "gave_up", None
                get_logger().error(
                    "webhook given up", event_id=message.event_id, endpoint_id=lane.endpoint_id
                )
                self._failed(lane, 0.0, started_at)
            case Gone():
                # Kept in the queue: whoever enables the endpoint again gets it.
                said, delay_s = "failed", 0.0
                self._to_disable[lane.endpoint_id] = "the receiver answered 410 Gone"
            case _:
                assert_never(outcome)
        self._count(said)
        self._settled.append(
            Settled(
                message,
                said,
                delay_s,
                started_at,
                answer.latency_us,
                answer.status,
                answer.error,
                answer.response,
            )
        )

    def _failed(self, lane: Lane, pause_s: float, now: datetime) -> None:
        if lane.failing_since is None:
            lane.failing_since = now
            self._to_mark[lane.endpoint_id] = pause_s
        elif now - lane.failing_since >= timedelta(hours=self._settings.webhook_disable_after_hours):
            hours = self._settings.webhook_disable_after_hours
            self._to_disable[lane.endpoint_id] = f"all attempts failed for {hours:g} hours"
        if pause_s > 0:
            lane.rest(pause_s)
            self._to_mark[lane.endpoint_id] = pause_s
            self._to_release += lane.drain()

    def _count(self, said: str) -> None:
        _ATTEMPTS[said].inc()
        if said == "delivered":
            self._state.delivered += 1
        else:
            self._state.failed += 1
