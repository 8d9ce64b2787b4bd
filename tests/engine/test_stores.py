"""Both stores keep the same promises; the one on disk is believed only after a graceful end."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from streams.engine import EngineSettings, MemoryStore
from streams.engine.local import AGE_S_MAX, LocalState
from streams.engine.position import Position
from streams.engine.store import DamagedState, Standing, StateStore

Rows = dict[bytes, bytes]
CHANGELOG = "changelog-id"


@pytest.fixture(params=["memory", "rocksdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StateStore]:
    if request.param == "memory":
        yield MemoryStore()
    else:
        with local(tmp_path) as stores:
            store = stores.open(0)
            yield store
            store.close(clean=False)


@contextmanager
def local(directory: Path, changelog: str = CHANGELOG, **changed: Any) -> Iterator[LocalState]:
    """The stores of one life."""
    names = {"brokers": "b:9092", "app_id": "a", "input_topic": "i", "changelog_topic": "c", "partitions": 4}
    settings: dict[str, Any] = {**names, "state": "rocksdb", "state_directory": str(directory), **changed}
    stores = LocalState(EngineSettings(**settings))
    stores.begin(changelog)
    yield stores
    stores.end()


def at(offset: int) -> Standing:
    return Standing(Position(offset, "topic-id"), 2 * offset)


def commit(store: StateStore, offset: int = 1) -> Rows:
    """As the engine does; returns all rows."""
    store.committed(store.drain_dirty(), at(offset))
    return dict(store.items())


def test_a_row_changed_often_is_drained_once_with_its_last_value(store: StateStore) -> None:
    store.put(b"a", b"1")
    store.put(b"a", b"2")
    store.put(b"b", b"1")
    store.delete(b"b")
    drained = store.drain_dirty()
    assert {key: row for key, row in drained.items() if row is not None} == {b"a": b"2"}
    store.committed(drained, at(1))
    assert dict(store.drain_dirty()) == {}
    assert (dict(store.items()), len(store)) == ({b"a": b"2"}, 1)


def test_deleting_what_is_not_there_changes_nothing(store: StateStore) -> None:
    store.delete(b"a")
    assert not store.dirty
    assert len(store) == 0


def test_a_deleted_row_is_gone_before_and_after_the_commit(store: StateStore) -> None:
    store.put(b"a", b"1")
    commit(store)
    store.delete(b"a")
    assert (store.get(b"a"), dict(store.items()), len(store)) == (None, {}, 0)
    drained = store.drain_dirty()
    assert dict(drained) == {b"a": None}
    store.committed(drained, at(2))
    assert (store.get(b"a"), dict(store.items()), len(store)) == (None, {}, 0)


def test_loaded_rows_are_not_written_again(store: StateStore) -> None:
    store.load(b"a", b"0")
    store.load(b"a", b"1")
    store.load(b"b", b"1")
    store.load(b"b", None)
    store.stand_at(at(3))
    assert not store.dirty
    assert (store.get(b"a"), store.get(b"b"), len(store)) == (b"1", None, 1)
    assert dict(store.items()) == {b"a": b"1"}


def test_any_course_of_changes_and_commits_leaves_what_a_dict_holds(store: StateStore, seed: int) -> None:
    draw, expected = random.Random(seed), Rows()
    drained: dict[bytes, bytes | None] = {}
    for step in range(3_000):
        key = b"key-%d" % draw.randrange(80)
        match draw.randrange(8):
            case 0 | 1 | 2:
                expected[key] = b"%d" % step
                store.put(key, expected[key])
            case 3:
                expected.pop(key, None)
                store.delete(key)
            case 4 if not step % 5:
                rows = store.drain_dirty()
                drained |= rows
                store.committed(rows, at(step))
            case _:
                assert store.get(key) == expected.get(key)
        assert len(store) == len(expected)
    drained |= store.drain_dirty()
    assert {key: row for key, row in drained.items() if row is not None} == expected


def filled(directory: Path, rows: int = 30_000) -> Rows:
    """Rows as a worker leaves them that ended gracefully."""
    with local(directory) as stores:
        store = stores.open(0)
        for number in range(rows):
            store.put(b"key-%06d" % number, os.urandom(60))
        expected = commit(store, 7)
        store.close(clean=True)
    return expected


def kept(directory: Path, **changed: Any) -> Rows | None:
    """What the next life believes; None = nothing."""
    with local(directory, **changed) as stores:
        store = stores.open(0)
        found = dict(store.items()) if store.standing is not None else None
        store.close(clean=False)
    return found


def test_after_a_graceful_end_rows_and_standing_are_there(tmp_path: Path) -> None:
    expected = filled(tmp_path)
    with local(tmp_path) as stores:
        store = stores.open(0)
        assert store.standing == at(7)
        assert (len(store), dict(store.items())) == (len(expected), expected)
        store.load(b"key-000001", b"newer")
        store.load(b"key-000002", None)
        store.load(b"new", b"1")
        store.stand_at(at(8))
        assert len(store) == len(expected) == len(dict(store.items()))
        store.close(clean=True)
    del expected[b"key-000002"]
    assert kept(tmp_path) == {**expected, b"key-000001": b"newer", b"new": b"1"}


def test_after_any_other_end_nothing_is_believed(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    assert kept(tmp_path) is not None, "and that life ended without a marker"
    assert kept(tmp_path) is None


@pytest.mark.parametrize(
    "changed", [{"state_version": 2}, {"input_topic": "other"}, {"changelog": "made anew"}], ids=str
)
def test_state_of_other_code_or_topics_is_not_believed(tmp_path: Path, changed: dict[str, Any]) -> None:
    filled(tmp_path, 10)
    assert kept(tmp_path, **changed) is None


def test_state_too_old_for_the_changelogs_tail_is_not_believed(tmp_path: Path) -> None:
    filled(tmp_path, 10)
    marker = tmp_path / "a" / "worker.0" / "0.clean"
    said = json.loads(marker.read_bytes())
    marker.write_text(json.dumps({**said, "closed_at": said["closed_at"] - AGE_S_MAX}))
    assert kept(tmp_path) is None


def _largest(directory: Path) -> Path:
    return max(directory.glob("*.sst"), key=lambda path: path.stat().st_size)


def _truncate(directory: Path) -> None:
    os.truncate(_largest(directory), 1_000)


def _flip(directory: Path) -> None:
    with _largest(directory).open("r+b") as file:
        middle = _largest(directory).stat().st_size // 2
        file.seek(middle)
        content = file.read(64)
        file.seek(middle)
        file.write(bytes(byte ^ 0xFF for byte in content))


def _lose(directory: Path) -> None:
    _largest(directory).unlink()


def _lose_all(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()


def _forget(directory: Path) -> None:
    (directory / "CURRENT").unlink()


@pytest.mark.parametrize("damage", [_truncate, _flip, _lose, _lose_all, _forget])
def test_damage_is_seen_before_a_row_is_missed(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    filled(tmp_path)
    damage(tmp_path / "a" / "worker.0" / "0")
    with structlog.testing.capture_logs() as logs, local(tmp_path) as stores:
        store = stores.open(0)
        if store.standing is not None:  # readable as far as opening goes
            with pytest.raises(DamagedState):
                list(store.items())
            store.close(clean=False)
            store = stores.rebuild(0, "damaged")
        assert store.standing is None
        assert list(store.items()) == []
        store.close(clean=False)
    assert [line["event"] for line in logs] == ["local state rebuilt"]


def test_two_processes_never_share_a_directory(tmp_path: Path) -> None:
    with local(tmp_path) as first, local(tmp_path) as second:
        stores = [each.open(0) for each in (first, second)]
        stores[0].put(b"a", b"of the first")
        commit(stores[0])
        assert stores[1].get(b"a") is None
        for store in stores:
            store.close(clean=False)
    assert {path.name for path in (tmp_path / "a").iterdir()} == {"worker.0", "worker.1"}


def test_what_cannot_be_removed_is_not_believed(tmp_path: Path) -> None:
    """A directory behind a link stays when the link's place is to be emptied."""
    filled(tmp_path, 10)
    place = tmp_path / "a" / "worker.0" / "0"
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with local(tmp_path, "made anew") as stores, pytest.raises(OSError, match="symbolic link"):
        stores.open(0)


def test_files_that_outlive_their_removal_are_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path, 10)

    def meets_another(_: Path) -> None:
        raise FileNotFoundError("somebody else removes files here")

    monkeypatch.setattr(shutil, "rmtree", meets_another)
    with local(tmp_path, "made anew") as stores, pytest.raises(OSError, match="could not be removed"):
        stores.open(0)
