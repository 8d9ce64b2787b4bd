"""One endpoint in a dispatcher: what waits for it, how many attempts run at once, whether it rests."""

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from yarl import URL

from sinks.webhooks.circuit import Circuit, Pace
from sinks.webhooks.messages import Message, Stored
from sinks.webhooks.packing import Request, next_request, requests_of
from sinks.webhooks.signing import Key, key_of

WAITING_MAX = 1_000
WINDOW_AT_FIRST = 4


@dataclass
class Host:
    """One host and port, where several endpoints may lie. `room`: attempts that may still begin.

    `queue`: endpoints that wait for room, first come first served; those that have it let go after a message.
    """

    room: int
    queue: deque["Lane"] = field(default_factory=deque)

    def wait(self, lane: "Lane") -> None:
        """Let `lane` wait for room, once."""
        if lane not in self.queue:
            self.queue.append(lane)


class Lane:
    """Bounded by a window: a success widens it by one, up to `window_max`; signs of overload halve it."""

    def __init__(self, stored: Stored, *, window_max: int, circuit: Circuit, host: Host) -> None:
        self.endpoint_id = stored.endpoint_id
        self.host = host
        self.circuit = circuit
        self.pace = Pace()
        self.under_way = 0
        self.waiting: deque[Message] = deque()
        self.failing_since: datetime | None = None
        self.keys: list[Key] = []
        self._secrets: tuple[str, ...] = ()
        self._window_max = window_max
        self._window = min(WINDOW_AT_FIRST, window_max)
        self._quiet_until_s = 0.0
        self._finished = 0
        self._is_closed = False
        self.refresh(stored)

    def refresh(self, stored: Stored) -> None:
        """Take over what the database says now."""
        # As it is: the receiver's own spelling of its path is part of what it signs or routes by.
        self.url = URL(stored.url, encoded=True)
        if stored.secrets != self._secrets:  # to derive a key pair takes as long as to sign with it
            self._secrets, self.keys = stored.secrets, [key_of(each) for each in stored.secrets]
        self.pace.per_s = stored.per_s
        self._batch_max = stored.batch_max
        self.failing_since = stored.failing_since
        if stored.pause_s > 0:
            self.rest(stored.pause_s)

    def rest(self, pause_s: float) -> None:
        """Send nothing for `pause_s` seconds."""
        self._quiet_until_s = max(self._quiet_until_s, time.monotonic() + pause_s)

    def close(self) -> None:
        """Begin nothing any more."""
        self._is_closed = True

    def is_resting(self) -> bool:
        """Whether nothing may begin, because it asked to be left alone or is closed."""
        return self._is_closed or time.monotonic() < self._quiet_until_s

    def free(self) -> int:
        """How many attempts may begin beside those that are under way, were the host not full.

        None while the next turn is far: on a full host, what begins and ends at once would begin for ever.
        """
        now_s = time.monotonic()
        if self.is_resting() or not self.pace.is_near(now_s):
            return 0
        return max(0, self.circuit.allowed(self._window, now_s) - self.under_way)

    def may_go_on(self) -> bool:
        """Whether an attempt that has just ended may be followed by another one."""
        if self.host.queue:
            return False
        return self.under_way <= self.circuit.allowed(self._window, time.monotonic())

    def room(self) -> int:
        """How many more messages to claim: enough to stay busy until the next claim, few for a slow one."""
        if self.is_resting():
            return 0
        allowed = self.circuit.allowed(self._window, time.monotonic())
        if self.circuit.is_open():
            return max(0, allowed - self.under_way - len(self.waiting))
        wanted = self.pace.room(2 * allowed + 4 * self._finished) - self.requests()
        self._finished = 0
        return max(0, min(WAITING_MAX - len(self.waiting), wanted * (self._batch_max or 1)))

    def requests(self) -> int:
        """How many requests what waits makes."""
        return len(self.waiting) if self._batch_max is None else requests_of(self.waiting, self._batch_max)

    def take(self) -> Request:
        """The next request; something must be waiting."""
        return next_request(self.waiting, self._batch_max)

    def finish(self, *, is_failure: bool, is_overloaded: bool) -> None:
        """Count an attempt that came to its end."""
        self._finished += 1
        if is_failure:
            self.circuit.failed(time.monotonic())
        else:
            self.circuit.succeeded()
        if is_overloaded:
            self._window = max(1, self._window // 2)
        elif not is_failure and self._window < self._window_max:
            self._window += 1

    def drain(self) -> Sequence[Message]:
        """Take out everything that waits."""
        messages = list(self.waiting)
        self.waiting.clear()
        return messages
