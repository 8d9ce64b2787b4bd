"""A commit that never comes back: nothing may wait for it longer than it was given."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from streams.engine import EngineSettings, runner
from streams.engine.exits import ExitCode, FailStop
from streams.engine.observer import NoObserver
from streams.engine.store import MemoryStores

SETTINGS = EngineSettings(
    brokers="nowhere:1",
    app_id="a",
    input_topic="i",
    changelog_topic="c",
    partitions=1,
    commit_interval_ms=10,
    transaction_timeout_ms=40,
)


class Recorded(FailStop):
    """Notes the end instead of coming to it."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()
        self.said: tuple[ExitCode, str] | None = None

    def end(self, code: ExitCode, reason: str, **_: Any) -> Any:
        self.said = self.said or (code, reason)
        self.ended.set()


class Held:
    """In the place of `PartitionTransactions`: one commit, which ends when it is let go."""

    opened_at: float | None = 0.0

    def __init__(self) -> None:
        self.released = threading.Event()
        self.commits = 0

    def serve(self) -> None: ...

    def commit(self, *_: object) -> int:
        self.commits += 1
        self.released.wait()
        self.opened_at = None
        return 0

    def close(self) -> None: ...


class NoFold:
    def before_commit(self) -> None: ...


@asynccontextmanager
async def _at_work(stop: FailStop, transactions: Held) -> AsyncIterator[runner.PartitionRunner]:
    with ThreadPoolExecutor(1) as executor:
        at_work = runner.PartitionRunner(
            0,
            fold=cast(Any, NoFold()),
            store=MemoryStores().open(0),
            transactions=cast(Any, transactions),
            next_offset=0,
            topic_id="id",
            settings=SETTINGS,
            executor=executor,
            observer=NoObserver(),
            fail_stop=stop,
            pauses=[],
            tell_group=lambda _partition, _offset: None,
        )
        at_work.resume(1)
        try:
            yield at_work
        finally:
            transactions.released.set()
            await at_work.close()


def test_a_commit_that_never_comes_back_ends_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "COMMIT_GRACE_S", 0.05)

    async def scene() -> Recorded:
        stop = Recorded()
        async with _at_work(stop, Held()):
            await asyncio.wait_for(stop.ended.wait(), 10)
        return stop

    stop = asyncio.run(scene())
    assert stop.said is not None
    assert stop.said[0] is ExitCode.TRANSACTION_FAILED
    assert "did not come back" in stop.said[1]


def test_a_commit_that_comes_back_in_time_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "COMMIT_GRACE_S", 0.05)

    async def scene() -> Recorded:
        stop, transactions = Recorded(), Held()
        transactions.released.set()
        async with _at_work(stop, transactions):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(stop.ended.wait(), 0.3)
        return stop

    assert asyncio.run(scene()).said is None


def test_who_waited_for_a_commit_commits_nothing_after_it() -> None:
    """The partition may be another worker's by then, whose fence would end this one for nothing."""

    async def scene() -> int:
        stop, transactions = Recorded(), Held()
        async with _at_work(stop, transactions) as at_work:
            settling = asyncio.create_task(at_work.settle())
            await _a_while(stop)  # it holds the lock, and the commit that is due on time waits for it
            transactions.released.set()
            await settling
            await _a_while(stop)
            return transactions.commits

    assert asyncio.run(scene()) == 1


async def _a_while(stop: Recorded) -> None:
    """Twenty commit intervals."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(stop.ended.wait(), 0.2)
