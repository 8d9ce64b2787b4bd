"""When to leave an endpoint alone for a while, and how fast to send to it otherwise."""

import math


class Circuit:
    """Closed: anything may be sent. Open after failures in a row: nothing for a while, then one probe.

    A probe that succeeds closes it, one that fails opens it for twice as long, up to a bound. So an endpoint
    that hangs costs one connection, and the messages that wait for it lose none of their attempts.
    """

    PAUSE_S_MIN = 1.0

    def __init__(self, *, failures_max: int, pause_s_max: float) -> None:
        """`failures_max` in a row open it; it stays open for 1 s at first, at most for `pause_s_max`."""
        self._failures_max = failures_max
        self._pause_s_max = pause_s_max
        self._failures = 0
        self._pause_s = 0.0
        self._open_until_s = 0.0

    def is_open(self) -> bool:
        """Whether the endpoint is taken for broken: nothing goes there but probes."""
        return self._failures >= self._failures_max

    def allowed(self, window: int, now_s: float) -> int:
        """How many attempts may be under way at `now_s` (seconds); `window` while it is closed."""
        if not self.is_open():
            return window
        return 1 if now_s >= self._open_until_s else 0

    def succeeded(self) -> None:
        """An attempt was answered as it should be."""
        self._failures = 0
        self._pause_s = 0.0

    def failed(self, now_s: float) -> None:
        """An attempt failed, at `now_s`. Those that were under way when it opened prolong nothing."""
        self._failures += 1
        if self.is_open() and now_s >= self._open_until_s:
            self._pause_s = min(self._pause_s_max, max(self.PAUSE_S_MIN, 2 * self._pause_s))
            self._open_until_s = now_s + self._pause_s


class Pace:
    """Spaces deliveries evenly, so that no second has more than `per_s` of them; no `per_s`: no bound."""

    WAIT_S_MAX = 0.2
    """Whose turn is further away than that waits in the queue, not in a task."""

    def __init__(self) -> None:
        self.per_s: float | None = None
        self._next_s = 0.0

    def reserve(self, now_s: float) -> float | None:
        """Seconds until the turn that is taken hereby; None: it is too far away, none was taken."""
        if self.per_s is None:
            return 0.0
        if not self.is_near(now_s):
            return None
        turn_s = max(now_s, self._next_s)
        self._next_s = turn_s + 1 / self.per_s
        return turn_s - now_s

    def is_near(self, now_s: float) -> bool:
        """Whether `reserve` would take a turn."""
        return self.per_s is None or self._next_s - now_s <= self.WAIT_S_MAX

    def room(self, wanted: int) -> int:
        """How many to hold ready, of `wanted`: not more than a second's."""
        return wanted if self.per_s is None else min(wanted, math.ceil(self.per_s))
