"""The parts of the engine that need no broker."""

from __future__ import annotations

import pytest

from streams.engine import EngineSettings, Readiness, State, UnknownVersion
from streams.engine.failpoints import Failpoint, Injected, Place
from streams.engine.position import Position, UnreadablePosition
from streams.engine.versions import require_known_versions

NAMES = {"brokers": "b:9092", "app_id": "a", "input_topic": "i", "changelog_topic": "c", "partitions": 4}


def test_an_unknown_version_is_refused_with_what_to_do() -> None:
    with pytest.raises(
        UnknownVersion, match=r"faust-streaming: installed is .*known to the engine is 0\.0\.1"
    ):
        require_known_versions({"faust-streaming": frozenset({"0.0.1"})})


def test_a_missing_package_is_an_unknown_version() -> None:
    with pytest.raises(UnknownVersion, match="no-such-package: installed is none"):
        require_known_versions({"no-such-package": frozenset({"1"})})


def test_the_installed_versions_are_known() -> None:
    require_known_versions()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"app_id": ""}, "app_id is empty"),
        ({"partitions": 0}, "partitions=0: must be at least 1"),
        ({"transaction_timeout_ms": 20_000}, "transaction_timeout_ms=20000.*at most 10000"),
        ({"state": "rocksdb"}, "state_directory is empty"),
        ({"commit_interval_ms": 5_000}, "commit_interval_ms=5000: at most a quarter"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EngineSettings(**{**NAMES, **changed})  # type: ignore[arg-type]


def test_a_position_survives_its_encoding() -> None:
    position = Position(2**40, "d-7sQ_topic", 7)
    assert Position.decode(position.encode()) == position


def test_a_position_from_before_rows_had_versions_is_of_the_first() -> None:
    old = b"\x01" + (12).to_bytes(8, "big") + b"topic"
    assert Position.decode(old) == Position(12, "topic", 1)


@pytest.mark.parametrize("value", [b"", b"\x01short", b"\x03" + bytes(20)])
def test_a_position_of_another_format_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadablePosition, match="has format"):
        Position.decode(value)


def test_a_failpoint_strikes_at_its_pass_only() -> None:
    failpoint = Failpoint.parse("raise@3")
    for _ in range(2):
        failpoint.reached(Place.RAISE)
    failpoint.reached(Place.BEFORE_COMMIT)
    with pytest.raises(Injected):
        failpoint.reached(Place.RAISE)


def test_an_unknown_failpoint_is_refused() -> None:
    with pytest.raises(ValueError, match="nowhere"):
        Failpoint.parse("nowhere@1")


def test_a_pause_outlasts_everything_but_the_stop() -> None:
    readiness = Readiness()
    seen = [(readiness.state, readiness.ready)]
    for state in (State.RUNNING, State.PAUSED, State.RUNNING, State.STOPPING, State.RUNNING):
        readiness.become(state, f"became {state}")
        seen.append((readiness.state, readiness.ready))
    assert seen == [
        (State.STARTING, False),
        (State.RUNNING, True),
        (State.PAUSED, False),
        (State.PAUSED, False),
        (State.STOPPING, False),
        (State.STOPPING, False),
    ]
    assert readiness.reason == "became stopping"
