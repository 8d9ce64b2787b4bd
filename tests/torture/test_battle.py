"""A battle whose time is up ends as it can go on."""

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ops.settings import Settings
from ops.torture.battle import Battle
from ops.torture.faults import Kind
from ops.torture.progress import Plan, Progress


@pytest.mark.timeout(30)
def test_when_time_is_up_nothing_is_written_that_would_end_the_log(tmp_path: Path) -> None:
    plan = Plan(seed=5, inputs=1_000, inputs_per_s=100, faults={Kind.REPLAY: 1})
    progress = Progress.begin(tmp_path / "run", plan)
    progress.has_programs = True
    progress.written = 500
    # Nobody is there: to write a tick would last for ever.
    system = cast(Any, SimpleNamespace(outside=Settings(brokers="127.0.0.1:1")))
    watch = cast(Any, SimpleNamespace(intake=None, end=lambda: None))
    battle = Battle(system, watch, progress, say=lambda _: None, deadline_s=time.monotonic() - 1)
    battle.run()
    assert battle.is_out_of_time()
    assert (progress.written, progress.done) == (500, set())
    assert not any(progress.outcomes.values())
    assert Progress.resume(tmp_path / "run").written == 500
