"""What may befall a simulated history between two of its steps, and how often beside each other."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ops.simulation.worker import Ended

if TYPE_CHECKING:
    from ops.simulation.world import World


def _rebalance(world: World) -> None:
    world.rebalance()


def _kill(world: World) -> None:
    world.kill(world.any_worker())


def _join(world: World) -> None:
    if len([worker for worker in world.workers if worker.alive]) < 4:
        world.start_worker()
    world.rebalance()


def _stop(world: World) -> None:
    """SIGTERM: a worker commits what is done and leaves."""
    worker = world.any_worker()
    if any(held.busy for held in worker.held.values()):
        return
    with suppress(Ended):
        worker.revoke()
    if worker.alive:
        worker.assign(())
        worker.end()
        world.counts["planned stop"] += 1


def _redeliver(world: World) -> None:
    """A fetch begins anew below what was applied."""
    if held := world.any_held():
        held.fetched_to = max(0, held.fetched_to - 1 - int(world.draw() * 10))
        world.counts["redelivery"] += 1


def _lose_batch(world: World) -> None:
    held = world.any_held()
    if held and held.inbox:
        held.inbox.popleft()
        world.counts["batch lost"] += 1


def _expire(world: World) -> None:
    partition = int(world.draw() * len(world.history.logs))
    world.cluster.expire(world.engine_settings.transactional_id(partition))


def _compact(world: World) -> None:
    forgets_deletions = world.draw() < 0.5 and not world.on_real_disks
    if forgets_deletions:
        for disk in world.disks:
            disk.age()
    world.cluster.compact(int(world.draw() * len(world.history.logs)), forgets_deletions)


def _damage(world: World) -> None:
    if world.disks:
        world.disks[int(world.draw() * len(world.disks))].damage()


def _session(world: World) -> None:
    """A zombie notices, and leaves."""
    for worker in world.workers:
        if worker.alive and worker.lost_session:
            world.kill(worker)
            return


FAULTS = (
    *(_kill,) * 3,
    *(_join, _rebalance, _stop) * 2,
    *(_redeliver,) * 3,
    _lose_batch,
    *(_expire,) * 2,
    *(_compact,) * 3,
    _session,
    _damage,
)
