"""State on disk, with real workers: a clean restart reads the tail, anything else the whole changelog."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from streams.engine import ExitCode
from tests.engine.stage import PARTITIONS, Stage, Worker

RECORDS = 2_000


@pytest.fixture
def state() -> str:
    return "rocksdb"


def test_a_clean_restart_reads_only_the_tail_of_the_changelog(stage: Stage) -> None:
    stop(run(stage))
    restarted = run(stage)
    assert restored_rows(restarted) <= PARTITIONS, "the position records at most"
    assert warnings(restarted) == []


def test_what_another_worker_did_meanwhile_is_in_the_tail(stage: Stage) -> None:
    stop(run(stage, instance_id="one"))
    other = run(stage, instance_id="two")
    stop(other)
    assert restored_rows(other) > RECORDS // 100
    back = run(stage, instance_id="one")
    assert 0 < restored_rows(back) < restored_rows(other) + 3 * PARTITIONS
    assert warnings(back) == []


def test_after_a_kill_the_state_is_made_again_from_the_changelog(stage: Stage) -> None:
    worker = run(stage)
    worker.kill()
    again = run(stage)
    assert restored_rows(again) > PARTITIONS
    assert {line["reason"] for line in warnings(again)} == {"the process before did not end gracefully"}


def test_damaged_files_are_noticed_and_made_again(stage: Stage) -> None:
    stop(run(stage))
    for table in stage.state_directory.rglob("*.sst"):
        content = bytearray(table.read_bytes())
        content[len(content) // 3] ^= 0xFF
        table.write_bytes(content)
    again = run(stage)
    assert len(warnings(again)) == PARTITIONS
    assert restored_rows(again) > PARTITIONS


def test_a_directory_that_cannot_be_written_ends_the_worker_with_the_reason(
    stage: Stage, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    worker = stage.start(state_directory=str(tmp_path / "file"))
    assert worker.wait() == ExitCode.LOCAL_STATE_FAILED
    assert "file" in worker.last_words()["reason"]


def run(stage: Stage, **changed: str) -> Worker:
    stage.send(RECORDS)
    worker = stage.start(**changed)
    stage.judge()
    return worker


def stop(worker: Worker) -> None:
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0


def restored_rows(worker: Worker) -> int:
    """Changelog records the worker read."""
    return sum(line["rows"] for line in worker.lines() if line["event"] == "restored")


def warnings(worker: Worker) -> list[dict[str, str]]:
    return [line for line in worker.lines() if line["event"] == "local state rebuilt"]
