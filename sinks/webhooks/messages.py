"""What the queue holds, what becomes of it, and whom it is for."""

from dataclasses import dataclass
from datetime import datetime

from sinks.webhooks.outcomes import THROTTLING


@dataclass(frozen=True, slots=True)
class Message:
    """One message for one endpoint.

    `attempts` were made before, since `replay` if it is one; `refusals` of them were answered as if it could
    not be taken.
    """

    endpoint_id: int
    cashback_no: int
    step: int
    entry_id: int
    attempts: int
    refusals: int
    replay: int | None
    event_id: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Settled:
    """A message after an attempt, as the delivery log has it. `delay_s` None: it leaves the queue.

    `batch_id`: of the request, if it carried a batch.
    """

    message: Message
    outcome: str
    delay_s: float | None
    started_at: datetime
    latency_us: int
    status: int | None
    error: str | None
    response: bytes | None
    batch_id: str | None

    @property
    def is_refusal(self) -> bool:
        """Whether the answer may say that the receiver cannot take what came; overload does not."""
        return self.status is not None and self.status not in THROTTLING and self.outcome == "failed"


@dataclass(frozen=True, slots=True)
class Stored:
    """An endpoint as the database has it.

    `secrets`: all that sign now, newest first. `pause_s`: what is left of a pause it asked for. `per_s`: this
    dispatcher's share of the requests a second it may get; None: no bound. `batch_max`: so many events a
    request at most; None: one, as it is.
    """

    endpoint_id: int
    url: str
    secrets: tuple[str, ...]
    failing_since: datetime | None
    pause_s: float
    per_s: float | None
    batch_max: int | None
