"""What travels through Faust: one message a (partition, fetch), carrying all its records."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faust
from faust.types import Message

from streams.engine.fold import InputRecord


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records of one partition, in offset order, never empty."""

    partition: int
    epoch: int
    """The assignment they were fetched under; a batch of an older one is dropped."""
    start: int
    """Where the batch before ended, or the partition was started. Shows a batch lost on the way."""
    records: Sequence[InputRecord]

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return self.records[-1].offset + 1


class BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Hands the batch on as it is. Records are decoded by the fold, where a bad one can be set aside.

    (Faust acks a message it fails to decode, and then throws into the agent.)
    """

    def compile(self, app: Any, **_: Any) -> Callable[..., Awaitable[Any]]:
        create_event = app.create_event

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, None, message)

        return decode
