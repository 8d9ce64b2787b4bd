"""The group is told how far the partitions are, and nothing ever waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
from aiokafka.errors import CommitFailedError, RequestTimedOutError

from streams.engine import group_offsets
from streams.engine.group_offsets import GroupOffsets
from tests.eventually import eventually


class Group:
    """Takes offsets; refuses, or is silent, as often as it is told to."""

    def __init__(self, *troubles: Exception | None) -> None:
        self.asked: list[Mapping[int, int]] = []
        self.taken: dict[int, int] = {}
        self._troubles = list(troubles)

    async def commit(self, offsets: Mapping[int, int]) -> None:
        self.asked.append(dict(offsets))
        if self._troubles:
            trouble = self._troubles.pop(0)
            if trouble is None:
                await asyncio.Event().wait()
            else:
                raise trouble
        self.taken |= offsets


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_offsets, "EVERY_S", 0.02)
    monkeypatch.setattr(group_offsets, "ANSWER_S_MAX", 0.05)


async def so(condition: Callable[[], bool]) -> None:
    """Let the loop go on until it is so."""
    await asyncio.to_thread(eventually, condition)


def test_one_request_tells_of_all_that_moved_meanwhile() -> None:
    async def scene() -> Group:
        group = Group()
        offsets = GroupOffsets(group.commit)
        offsets.tell(0, 1)
        await so(lambda: group.taken == {0: 1})
        for next_offset in range(2, 6):
            offsets.tell(0, next_offset)
            offsets.tell(1, next_offset)
        await offsets.flush()
        return group

    assert asyncio.run(scene()).asked == [{0: 1}, {0: 5, 1: 5}]


@pytest.mark.parametrize("trouble", [None, RequestTimedOutError()], ids=["silent", "refusing"])
def test_a_coordinator_in_trouble_is_asked_again_with_what_is_true_by_then(trouble: Exception | None) -> None:
    async def scene() -> Group:
        group = Group(trouble, trouble)
        offsets = GroupOffsets(group.commit)
        offsets.tell(0, 1)
        offsets.tell(1, 1)
        await so(lambda: len(group.asked) == 1)
        offsets.tell(0, 2)
        await so(lambda: bool(group.taken))
        return group

    group = asyncio.run(scene())
    assert group.taken == {0: 2, 1: 1}
    assert len(group.asked) == 3


def test_who_lost_its_partitions_says_nothing_more_of_them() -> None:
    async def scene() -> Group:
        group = Group(None, CommitFailedError())
        offsets = GroupOffsets(group.commit)
        offsets.tell(0, 1)
        await so(lambda: len(group.asked) == 1)
        offsets.forget()
        offsets.tell(1, 7)  # refused: the group has gone on without us
        await so(lambda: len(group.asked) == 2)
        await offsets.flush()
        offsets.tell(2, 9)
        await so(lambda: bool(group.taken))
        return group

    group = asyncio.run(scene())
    assert group.asked == [{0: 1}, {1: 7}, {2: 9}]
    assert group.taken == {2: 9}


def test_a_group_that_never_answers_is_not_waited_for() -> None:
    async def scene() -> None:
        offsets = GroupOffsets(Group(*[None] * 100).commit)
        offsets.tell(0, 1)
        await asyncio.wait_for(offsets.flush(), 5)

    asyncio.run(scene())
