"""What one request to a receiver carries: one event as it is, or several as ``{"events":[…]}``."""

import math
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from schemas.ids import batch_id
from sinks.webhooks.messages import Message


@dataclass(frozen=True, slots=True)
class Packed:
    """`message_id` is the `webhook-id`; `batch_id` the same if it is a batch, else None."""

    message_id: str
    body: bytes
    batch_id: str | None


@dataclass(frozen=True, slots=True)
class Request:
    """Whoever answers it answers for all of its `messages`, which were tried equally often."""

    messages: Sequence[Message]
    packed: Packed

    @property
    def attempts(self) -> int:
        """How many were made before, of each message."""
        return self.messages[0].attempts


def pack(events: Sequence[tuple[str, bytes]], *, is_batch: bool) -> Packed:
    """Of events, each its id and its body: of the same ones always the same. Unless a batch, only one."""
    if not is_batch:
        [(event_id, body)] = events
        return Packed(event_id, body, None)
    name = batch_id([event_id for event_id, _ in events])
    return Packed(name, b'{"events":[' + b",".join(body for _, body in events) + b"]}", name)


def next_request(waiting: deque[Message], batch_max: int | None) -> Request:
    """Take the next request off the front of `waiting`, which must not be empty.

    `batch_max`: events at most; None: one, as it is.
    """
    messages = _taken(waiting, batch_max)
    events = [(each.event_id, each.body) for each in messages]
    return Request(messages, pack(events, is_batch=batch_max is not None))


def requests_of(waiting: Iterable[Message], batch_max: int | None) -> int:
    """How many requests they make if those of one fate so far stand together."""
    tried = Counter((each.attempts, each.refusals) for each in waiting)
    return sum(math.ceil(count / _size(batch_max, refusals)) for (_, refusals), count in tried.items())


def _taken(waiting: deque[Message], batch_max: int | None) -> list[Message]:
    taken = [waiting.popleft()]
    fate = taken[0].attempts, taken[0].refusals
    size = _size(batch_max, taken[0].refusals)
    while waiting and len(taken) < size and (waiting[0].attempts, waiting[0].refusals) == fate:
        taken.append(waiting.popleft())
    return taken


def _size(batch_max: int | None, refusals: int) -> int:
    # A tenth with each refusal: what a receiver cannot take is alone after two, and holds up no others.
    return 1 if batch_max is None else max(1, batch_max // 10**refusals)
