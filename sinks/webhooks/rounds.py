"""What a dispatcher does in one session with the database: claim, send, settle, round after round."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar, assert_never

from yarl import URL

from ops import metrics
from ops.health import NotReady, Readiness, Ready
from ops.logs import get_logger
from ops.settings import Settings
from sinks.webhooks.circuit import Circuit
from sinks.webhooks.lane import Host, Lane
from sinks.webhooks.messages import Message, Settled, Stored
from sinks.webhooks.outcomes import THROTTLING, Delivered, GiveUp, Gone, Retry, judge
from sinks.webhooks.packing import Request
from sinks.webhooks.queue import Queue
from sinks.webhooks.sending import KEPT_BYTES_MAX, Answer, Sender

Value = TypeVar("Value")

BEAT_S = 1.0
_ATTEMPTS = {said: metrics.webhook_attempts_total.labels(said) for said in ("delivered", "failed", "gave_up")}


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


@dataclass(frozen=True, slots=True)
class Disabled:
    """Why nothing more is sent to an endpoint: one of the metric's words, and a sentence."""

    kind: str
    reason: str


class Round:
    """What one session with the database works on; given up as a whole when the session is lost."""

    def __init__(self, settings: Settings, state: State, queue: Queue, sender: Sender) -> None:
        self._settings = settings
        self._state = state
        self._queue = queue
        self._sender = sender
        self._lanes: dict[int, Lane] = {}
        self._hosts: dict[tuple[str | None, int | None], Host] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._settled: list[Settled] = []
        self._to_release: list[Message] = []
        self._to_mark: dict[int, float] = {}
        self._to_disable: dict[int, Disabled] = {}
        self._beaten_s = 0.0
        self._is_over = False
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
        self._start_all()
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
        self._is_over = True
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
        metrics.webhook_resting.set(sum(lane.circuit.is_open() for lane in self._lanes.values()))
        self._state.endpoints = len(stored)
        self._beaten_s = time.monotonic()

    def _refresh(self, stored: Stored) -> None:
        endpoint = stored.endpoint_id
        try:
            if endpoint not in self._lanes:
                self._lanes[endpoint] = self._lane(stored)
            elif endpoint not in self._to_mark:
                self._lanes[endpoint].refresh(stored)
        except ValueError as error:  # EndpointRefused, or a URL that cannot be sent to
            self._to_disable[endpoint] = Disabled("unusable", str(error))

    def _lane(self, stored: Stored) -> Lane:
        settings, url = self._settings, URL(stored.url, encoded=True)
        host = self._hosts.setdefault((url.host, url.port), Host(settings.webhook_host_connections))
        circuit = Circuit(
            failures_max=settings.webhook_circuit_failures, pause_s_max=settings.webhook_circuit_pause_s
        )
        # One endpoint never takes all there is of its host.
        window_max = min(settings.webhook_endpoint_requests, max(1, settings.webhook_host_connections // 2))
        return Lane(stored, window_max=window_max, circuit=circuit, host=host)

    async def _settle(self) -> None:
        settled, self._settled = self._settled, []
        if settled:
            await self._queue.settle(settled)
        for endpoint, disabled in self._take(self._to_disable):
            if await self._queue.disable(endpoint, disabled.reason):
                metrics.webhook_disabled_total.labels(disabled.kind).inc()
                get_logger().error("endpoint disabled", endpoint_id=endpoint, reason=disabled.reason)
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

    def _start_all(self) -> None:
        for lane in self._lanes.values():
            # One task takes message after message: a task for each costs more than it brings.
            for _ in range(min(lane.free(), lane.requests())):
                if lane.host.room <= 0:
                    lane.host.wait(lane)
                    break
                self._start(lane)

    def _start(self, lane: Lane) -> None:
        lane.under_way += 1
        lane.host.room -= 1
        task = asyncio.create_task(self._deliver(lane))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _hand_over(self, host: Host) -> None:
        """Give room that has become free to whoever waits longest, and let it wait again for more."""
        while host.room > 0 and host.queue and not self._is_over:
            lane = host.queue.popleft()
            if lane.waiting and lane.free() > 0:
                self._start(lane)
                host.wait(lane)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()):
            self._fault = fault

    async def _deliver(self, lane: Lane) -> None:
        try:
            while lane.waiting and not lane.is_resting():
                pause_s = lane.pace.reserve(time.monotonic())
                if pause_s is None:
                    break
                request, was_open = lane.take(), lane.circuit.is_open()
                if pause_s > 0:
                    await asyncio.sleep(pause_s)
                    if lane.is_resting() or (lane.circuit.is_open() and not was_open):
                        self._to_release += request.messages
                        break
                started_at = datetime.now(UTC)
                answer = await self._sender.send(lane.url, lane.keys, request.packed)
                self._conclude(lane, request, answer, started_at)
                if not lane.may_go_on():
                    break
        finally:
            lane.under_way -= 1
            lane.host.room += 1
            self._hand_over(lane.host)

    def _conclude(self, lane: Lane, request: Request, answer: Answer, started_at: datetime) -> None:
        outcome = judge(
            answer.status,
            answer.retry_after,
            attempt=request.attempts + 1,
            delays_s=self._settings.webhook_retry_delays_s,
            now=started_at,
        )
        self._finish(lane, answer, is_failure=not isinstance(outcome, Delivered))
        match outcome:
            case Delivered():
                said, delay_s = "delivered", None
                if lane.failing_since:
                    lane.failing_since = None
                    self._mark(lane, 0.0)
            case Retry(delay, pause_s):
                said, delay_s = "failed", delay
                self._failed(lane, pause_s, started_at)
            case GiveUp():
                said, delay_s = "gave_up", None
                for each in request.messages:
                    get_logger().error(
                        "webhook given up", event_id=each.event_id, endpoint_id=lane.endpoint_id
                    )
                self._failed(lane, 0.0, started_at)
            case Gone():
                # Kept in the queue: whoever enables the endpoint again gets it.
                said, delay_s = "failed", 0.0
                self._disable(lane, Disabled("gone", "the receiver answered 410 Gone"))
            case _:
                assert_never(outcome)
        self._count(said, len(request.messages))
        # Shared among them: else a batch of 100 would keep the same answer a hundred times.
        response = answer.response and answer.response[: KEPT_BYTES_MAX // len(request.messages)]
        latency_us, status, error = answer.latency_us, answer.status, answer.error
        self._settled += [
            Settled(
                each, said, delay_s, started_at, latency_us, status, error, response, request.packed.batch_id
            )
            for each in request.messages
        ]

    def _finish(self, lane: Lane, answer: Answer, *, is_failure: bool) -> None:
        was_open = lane.circuit.is_open()
        lane.finish(is_failure=is_failure, is_overloaded=answer.status is None or answer.status in THROTTLING)
        if lane.circuit.is_open():
            # Whoever is free to try takes them; here only a probe goes out now and then.
            self._to_release += lane.drain()
            if not was_open:
                get_logger().warning("endpoint left alone", endpoint_id=lane.endpoint_id, last=_said(answer))
        elif was_open:
            get_logger().info("endpoint answers again", endpoint_id=lane.endpoint_id)

    def _failed(self, lane: Lane, pause_s: float, now: datetime) -> None:
        if lane.failing_since is None:
            lane.failing_since = now
            self._mark(lane, pause_s)
        elif now - lane.failing_since >= timedelta(hours=self._settings.webhook_disable_after_hours):
            hours = self._settings.webhook_disable_after_hours
            self._disable(lane, Disabled("failing", f"all attempts failed for {hours:g} hours"))
        if pause_s > 0:
            lane.rest(pause_s)
            self._mark(lane, pause_s)
            self._to_release += lane.drain()

    def _mark(self, lane: Lane, pause_s: float) -> None:
        self._to_mark[lane.endpoint_id] = max(pause_s, self._to_mark.get(lane.endpoint_id, 0.0))

    def _disable(self, lane: Lane, disabled: Disabled) -> None:
        lane.close()
        self._to_disable[lane.endpoint_id] = disabled

    def _count(self, said: str, messages: int) -> None:
        _ATTEMPTS[said].inc(messages)
        if said == "delivered":
            self._state.delivered += messages
        else:
            self._state.failed += messages


def _said(answer: Answer) -> str:
    return answer.error or f"status {answer.status}"
