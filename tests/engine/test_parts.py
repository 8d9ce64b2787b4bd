"""The parts of the engine that need no broker."""

from __future__ import annotations

import pytest

from streams.engine import EngineSettings, MemoryStore, Readiness, State, UnknownVersion
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
        ({"commit_interval_ms": 5_000}, "commit_interval_ms=5000: at most a quarter"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_name(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EngineSettings(**{**NAMES, **changed})  # type: ignore[arg-type]


def test_a_row_changed_often_is_drained_once_with_its_last_value() -> None:
    store = MemoryStore()
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.put(b"b", b"1")
    store.delete(b"b")
    assert dict(store.drain_dirty()) == {b"a": b"2", b"b": None}
    assert dict(store.drain_dirty()) == {}
    assert dict(store.items()) == {b"a": b"2"}


def test_deleting_what_is_not_there_changes_nothing() -> None:
    store = MemoryStore()
    store.delete(b"a")
    assert not store.dirty


def test_loaded_rows_are_not_written_again() -> None:
    store = MemoryStore()
    store.load(b"a", b"1")
    store.load(b"b", b"1")
    store.load(b"b", None)
    assert not store.dirty
    assert (store.get(b"a"), len(store)) == (b"1", 1)


def test_a_position_survives_its_encoding() -> None:
    position = Position(2**40, "d-7sQ_topic")
    assert Position.decode(position.encode()) == position


@pytest.mark.parametrize("value", [b"", b"\x01short", b"\x02" + bytes(20)])
def test_a_position_of_another_format_is_refused(value: bytes) -> None:
    with pytest.raises(UnreadablePosition, match="unknown format"):
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
