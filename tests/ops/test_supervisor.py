"""Processes are kept running, and none is left behind."""

import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ops.health import NotReady, Ready
from ops.supervisor import BackOff, NotReadyInTimeError, Program, Supervisor
from tests.eventually import eventually

GOOD = Program("tests.ops.obedient", ("good",))


@pytest.fixture
def said() -> list[str]:
    """What the supervisor told the user."""
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    """One with short delays."""
    with Supervisor(tmp_path / "logs", back_off=BackOff(first_s=0.05, most_s=0.4), say=said.append) as it:
        yield it


def test_a_process_becomes_ready_and_its_health_is_reachable(supervisor: Supervisor) -> None:
    supervisor.start("one", GOOD)
    supervisor.wait_ready("one", timeout_s=20)

    [status] = supervisor.status()
    assert status.readiness == Ready({"manner": "good"})
    assert status.pid == supervisor.pid("one")


def test_a_killed_process_comes_back(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start("one", GOOD)
    supervisor.wait_ready(timeout_s=20)
    before = supervisor.pid("one")
    supervisor.kill("one")
    supervisor.wait_ready("one", timeout_s=20)

    assert supervisor.pid("one") != before
    [status] = supervisor.status()
    assert (status.restarts, status.last_exit) == (1, -signal.SIGKILL)
    assert any("one ended (SIGKILL)" in sentence for sentence in said)


def test_one_that_ends_at_once_is_tried_again_with_growing_delays(
    supervisor: Supervisor, said: list[str]
) -> None:
    supervisor.start("one", Program("tests.ops.obedient", ("crash",)))
    eventually(lambda: len(said) >= 4, timeout_s=30)

    assert [sentence.split(". ")[0].split("in ")[-1] for sentence in said[:4]] == [
        "0.1 s",
        "0.1 s",
        "0.2 s",
        "0.4 s",
    ]
    assert "exit code 3" in said[0]
    assert "a reason to end" in said[0]


def test_the_delay_has_a_bound() -> None:
    assert BackOff(first_s=1, most_s=30).delay_s(10_000) == 30


def test_a_stopped_process_stays_away_until_it_is_started_again(supervisor: Supervisor) -> None:
    supervisor.start("one", GOOD)
    supervisor.wait_ready("one", timeout_s=20)

    assert supervisor.stop("one") == 0
    assert supervisor.status()[0].readiness == NotReady("it is not running")
    with pytest.raises(ProcessLookupError):
        supervisor.pid("one")
    supervisor.start("one")
    supervisor.wait_ready("one", timeout_s=20)


def test_a_paused_process_is_not_ready_and_goes_on_when_resumed(supervisor: Supervisor) -> None:
    supervisor.start("one", GOOD)
    supervisor.wait_ready("one", timeout_s=20)
    before = supervisor.pid("one")
    supervisor.pause("one")
    assert supervisor.status()[0].readiness == NotReady("it is paused")
    supervisor.resume("one")
    supervisor.wait_ready("one", timeout_s=20)

    assert supervisor.pid("one") == before


def test_a_paused_process_can_be_stopped(supervisor: Supervisor) -> None:
    supervisor.start("one", GOOD)
    supervisor.wait_ready("one", timeout_s=20)
    supervisor.pause("one")

    assert supervisor.stop("one") == 0


def test_one_that_does_not_end_is_killed_within_the_bound(supervisor: Supervisor, said: list[str]) -> None:
    supervisor.start("one", Program("tests.ops.obedient", ("stubborn",)))
    supervisor.wait_ready("one", timeout_s=20)

    assert supervisor.stop("one", timeout_s=0.3) == -signal.SIGKILL
    assert "one did not end in time and is killed" in said


def test_waiting_for_what_is_never_ready_says_why(supervisor: Supervisor) -> None:
    supervisor.start("one", Program("tests.ops.obedient", ("unready",)))
    eventually(lambda: supervisor.status()[0].readiness == NotReady("the tide is out"), timeout_s=20)

    with pytest.raises(NotReadyInTimeError, match="one was not ready in 0 s: the tide is out"):
        supervisor.wait_ready("one", timeout_s=0.1)


def test_an_unknown_name_without_a_program_is_refused(supervisor: Supervisor) -> None:
    with pytest.raises(KeyError, match="give its program"):
        supervisor.start("nobody")


def test_nothing_is_left_when_it_closes(tmp_path: Path) -> None:
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("one", GOOD)
        supervisor.start("two", GOOD)
        supervisor.wait_ready(timeout_s=20)
        pids = [supervisor.pid("one"), supervisor.pid("two")]
        assert all(psutil.pid_exists(pid) for pid in pids)

    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_log_that_grew_too_long_is_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.supervisor.LOG_BYTES_MAX", 10)
    (tmp_path / "one.log").write_text("from an earlier life\n")
    with Supervisor(tmp_path) as supervisor:
        supervisor.start("one", GOOD)
        supervisor.wait_ready(timeout_s=20)

    assert (tmp_path / "one.log.1").read_text() == "from an earlier life\n"
