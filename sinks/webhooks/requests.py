"""What one request to a receiver carries: one event as it is, or several as ``{"events":[…]}``."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.ids import batch_id
from sinks.webhooks.messages import Message


@dataclass(frozen=True, slots=True)
class Request:
    """Whoever answers it answers for all of its `messages`, which were tried equally often.

    `batch_id` None: there is one, sent as it is.
    """

    messages: Sequence[Message]
    body: bytes
    batch_id: str | None = None

    @property
    def message_id(self) -> str:
        """The `webhook-id`."""
        return self.batch_id or self.messages[0].event_id


def next_request(waiting: deque[Message], batch_max: int | None) -> Request:
    """Takes it from the front of `waiting`, which is not empty. `batch_max` None: one event as it is."""
    if batch_max is None:
        message = waiting.popleft()
        return Request((message,), message.body)
    messages = _taken(waiting, batch_max)
    number, body = batch([(each.event_id, each.body) for each in messages])
    return Request(messages, body, number)


def batch(events: Sequence[tuple[str, bytes]]) -> tuple[str, bytes]:
    """Id and body of a batch of events, given as id and body: of the same ones always the same."""
    bodies = b",".join(body for _, body in events)
    return batch_id([event_id for event_id, _ in events]), b'{"events":[' + bodies + b"]}"


def _taken(waiting: deque[Message], batch_max: int) -> list[Message]:
    # What failed before goes alone: what a receiver cannot take holds up the others once, for seconds.
    taken = [waiting.popleft()]
    while waiting and len(taken) < batch_max and not taken[0].attempts and not waiting[0].attempts:
        taken.append(waiting.popleft())
    return taken
