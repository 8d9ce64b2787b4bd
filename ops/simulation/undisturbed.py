"""The state that one undisturbed pass over the log leaves, and whether the changelog holds the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ops.simulation.cluster import State
from ops.simulation.worker import Worker
from streams.engine.fold import InputRecord
from streams.engine.position import POSITION_KEY
from streams.engine.store import MemoryStore, MemoryStores

if TYPE_CHECKING:
    from ops.simulation.history import PartitionLog
    from ops.simulation.world import World


def compare_state(world: World) -> None:
    """Raises Broken where a row differs."""
    for partition, log in enumerate(world.history.logs):
        expected, found = _pass(world, partition, log), _committed(world, partition)
        wrong = [key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key)]
        if wrong:
            world.broken("state", f"partition {partition}: the changelog differs in the rows {sorted(wrong)}")


def _pass(world: World, partition: int, log: PartitionLog) -> dict[bytes, bytes]:
    store = MemoryStore()
    fold = world.fold_factory(Worker(world, 0, MemoryStores(), None))(partition, store, _unheard)
    for each in log.records:
        record = cast(InputRecord, each)
        while fold.advance(record):
            pass
        fold.apply(record)
    fold.before_commit()
    return dict(store.items())


def _committed(world: World, partition: int) -> dict[bytes, bytes]:
    world.cluster.mark(world.engine_settings.transactional_id(partition))
    rows: dict[bytes, bytes] = {}
    for record in world.cluster.changelog[partition]:
        if record.key is None or record.key == POSITION_KEY or record.transaction is None:
            continue
        if record.transaction.state is State.COMMITTED:
            if record.value is None:
                rows.pop(record.key, None)
            else:
                rows[record.key] = record.value
    return rows


def _nothing(*_: object) -> None:
    pass


_unheard: Any = _nothing
