"""Fixtures of the engine tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stage import Stage


@pytest.fixture(params=["memory", "rocksdb"])
def state(request: pytest.FixtureRequest) -> str:
    """Where workers keep their state: every promise holds for both. Modules it is no matter to pick one."""
    return str(request.param)


@pytest.fixture
def stage(broker: str, topic_prefix: str, tmp_path: Path, state: str) -> Iterator[Stage]:
    """Topics of its own on the real broker, and a place to start workers."""
    stage = Stage(broker, topic_prefix, tmp_path, state)
    yield stage
    stage.close()
