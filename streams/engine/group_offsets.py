"""Tells the consumer group how far the partitions are: for lag, and so that a lost changelog is noticed.

Nothing waits for it. A transaction that carried the offset would need the group's coordinator for each
commit: one that died holds librdkafka for as long as it stays away (issues 5456 and 5511). What is told here
follows the state, at most `EVERY_S` and an answer behind, and is never ahead of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from streams.engine.failpoints import Failpoint, Place

EVERY_S = 0.2
"""One request tells of all partitions that moved on meanwhile."""
ANSWER_S_MAX = 2.0
"""A coordinator that is silent for longer is asked again, with what is true by then."""

FLUSH_S_MAX = ANSWER_S_MAX + 1.0
"""Whoever stops waits no longer for the group to be told."""

_LOG = logging.getLogger("streams.engine.group")


class GroupOffsets:
    """Lives on the consumer's event loop. `commit` takes the next offsets by partition, as a group member."""

    def __init__(
        self, commit: Callable[[Mapping[int, int]], Awaitable[None]], failpoint: Failpoint | None = None
    ) -> None:
        self._commit = commit
        self._failpoint = failpoint
        self._untold: dict[int, int] = {}
        self._telling: asyncio.Task[None] | None = None

    def tell(self, partition: int, next_offset: int) -> None:
        """The state of a partition is committed up to `next_offset`; the group hears of it soon."""
        self._untold[partition] = next_offset
        if self._telling is None or self._telling.done():
            self._telling = asyncio.get_running_loop().create_task(self._tell())

    async def flush(self) -> None:
        """Wait until all is told, or cannot be; at most about `ANSWER_S_MAX`."""
        if self._telling is not None:
            await asyncio.wait([self._telling], timeout=ANSWER_S_MAX)

    def forget(self) -> None:
        """The partitions may be others' from now on: what they say is not overwritten by an older word."""
        self._untold.clear()
        if self._telling is not None:
            self._telling.cancel()
            self._telling = None

    async def _tell(self) -> None:
        while self._untold:
            told, self._untold = self._untold, {}
            self._pass(Place.BEFORE_OFFSETS)
            try:
                await asyncio.wait_for(self._commit(told), ANSWER_S_MAX)
            except (CommitFailedError, IllegalStateError):
                # Not ours any more. Whose they are says so, and so do we if they come back.
                pass
            except (KafkaError, TimeoutError) as error:
                _LOG.info("the group's offsets are not committed, asking again: %r", error)
                self._untold = told | self._untold
            else:
                self._pass(Place.AFTER_OFFSETS)
            await asyncio.sleep(EVERY_S)

    def _pass(self, place: Place) -> None:
        if self._failpoint is not None:
            self._failpoint.reached(place)
