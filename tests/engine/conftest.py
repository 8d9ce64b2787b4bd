"""Fixtures of the engine tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.stage import Stage


@pytest.fixture
def stage(broker: str, topic_prefix: str, tmp_path: Path) -> Iterator[Stage]:
    """Topics of its own on the real broker, and a place to start workers."""
    stage = Stage(broker, topic_prefix, tmp_path)
    yield stage
    stage.close()
