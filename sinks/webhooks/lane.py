"""One endpoint in a dispatcher: what waits for it, how many attempts run at once, whether it rests."""

import time
from collections import deque
from collections.abc import Sequence
from datetime import datetime

from yarl import URL

from sinks.webhooks.endpoints import secret_key
from sinks.webhooks.queue import Message, Stored

WAITING_MAX = 1_000


class Lane:
    """Bounded by `window_max` attempts at once; failures that look like overload halve the window."""

    def __init__(self, stored: Stored, *, window_max: int) -> None:
        self.endpoint_id = stored.endpoint_id
        self._window_max = window_max
        self.window = window_max
        self.under_way = 0
        self.waiting: deque[Message] = deque()
        self.failing_since: datetime | None = None
        self._quiet_until_s = 0.0
        self._finished = 0
        self.refresh(stored)

    def refresh(self, stored: Stored) -> None:
        """Take over what the database says now."""
        # As it is: the receiver's own spelling of its path is part of what it signs or routes by.
        self.url = URL(stored.url, encoded=True)
        self.keys = [secret_key(each) for each in stored.secrets]
        self.failing_since = stored.failing_since
        if stored.pause_s > 0:
            self.rest(stored.pause_s)

    def rest(self, pause_s: float) -> None:
        """Send nothing for `pause_s` seconds."""
        self._quiet_until_s = max(self._quiet_until_s, time.monotonic() + pause_s)

    def is_resting(self) -> bool:
        """Whether it asked to be left alone."""
        return time.monotonic() < self._quiet_until_s

    def room(self) -> int:
        """How many more messages to claim: enough to stay busy until the next claim, few for a slow one."""
        if self.is_resting():
            return 0
        wanted = min(WAITING_MAX, 2 * self.window + 4 * self._finished)
        self._finished = 0
        return max(0, wanted - len(self.waiting))

    def finish(self, *, is_overloaded: bool) -> None:
        """Count an attempt that came to its end."""
        self._finished += 1
        if is_overloaded:
            self.window = max(1, self.window // 2)
        elif self.window < self._window_max:
            self.window += 1

    def drain(self) -> Sequence[Message]:
        """Take out everything that waits."""
        messages = list(self.waiting)
        self.waiting.clear()
        return messages
