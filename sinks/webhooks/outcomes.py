"""What came of an attempt, and what follows from it."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeAlias

THROTTLING = frozenset({429, 502, 503, 504})
GONE = 410
RETRY_AFTER_S_MAX = 86_400.0
JITTER = 0.2


@dataclass(frozen=True, slots=True)
class Delivered:
    """The receiver answered 2xx."""


@dataclass(frozen=True, slots=True)
class Retry:
    """To be sent again after `delay_s`; `pause_s` > 0: and nothing to this endpoint for so long."""

    delay_s: float
    pause_s: float = 0.0


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The schedule is used up; the message stays in the log for a replay."""


@dataclass(frozen=True, slots=True)
class Gone:
    """410: the receiver wants nothing any more."""


Outcome: TypeAlias = Delivered | Retry | GiveUp | Gone
_DELIVERED = Delivered()


def judge(
    status: int | None, retry_after: str | None, *, attempt: int, delays_s: Sequence[float], now: datetime
) -> Outcome:
    """What follows from the `attempt`-th attempt (from 1); `status` None: no answer came.

    `retry_after` is the header as it came. Waits get up to a fifth more: failures do not return together.
    """
    if status is not None and 200 <= status < 300:
        return _DELIVERED
    if status == GONE:
        return Gone()
    if attempt > len(delays_s):
        return GiveUp()
    delay_s = delays_s[attempt - 1] * random.uniform(1.0, 1.0 + JITTER)
    pause_s = _retry_after_s(retry_after, now) if status in THROTTLING else 0.0
    return Retry(max(delay_s, pause_s), pause_s)


def _retry_after_s(header: str | None, now: datetime) -> float:
    """Seconds to wait by a Retry-After header in either form; 0 when it is absent or makes no sense."""
    if header is None:
        return 0.0
    header = header.strip()
    if header.isascii() and header.isdigit():
        return min(float(header[:9]), RETRY_AFTER_S_MAX)
    try:
        until = parsedate_to_datetime(header)
    except (ValueError, IndexError, OverflowError):
        return 0.0
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return min(max(0.0, (until - now).total_seconds()), RETRY_AFTER_S_MAX)
