"""Blows to the brokers and to the network before them."""

import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from ops.torture.looking import ASK_S, NoAnswer
from ops.torture.proxy import Gate
from ops.torture.quorum import OFFSETS, TRANSACTIONS, Cluster
from ops.torture.strike import GIVE_UP_S, Skipped, Strike
from ops.torture.system import NODES, SMALL_DISK_NODE, WORKERS
from ops.torture.waiting import NotInTime
from schemas.topics import INPUTS, STATE, WORKER_GROUP

WHOLE_S_MAX = 120.0
DISK_FULL_S_MAX = 20.0
COMPACTION_S = 8.0
_COMPACT_NOW = {"max.compaction.lag.ms": "1000", "segment.ms": "1000", "delete.retention.ms": "0"}


def kill_broker(strike: Strike) -> None:
    """SIGKILL of the broker that leads a partition, the quorum, the group or a transaction."""
    node = _victim(strike)
    struck_s = time.monotonic()
    strike.system.cluster.brokers[node].kill()
    strike.felt_since(struck_s)
    strike.rest(strike.rng.uniform(0, 2))
    _start(strike, [node])
    strike.lasted_s = time.monotonic() - struck_s
    await_whole(strike)


def suspend_broker(strike: Strike) -> None:
    """A broker that is alive and does nothing, then goes on where it stood."""
    node = _victim(strike)
    pid = strike.system.cluster.brokers[node].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        strike.hold(strike.rng.uniform(4, 10))
    finally:
        os.kill(pid, signal.SIGCONT)
    strike.felt_since(time.monotonic())
    await_whole(strike)


def kill_two_brokers(strike: Strike) -> None:
    """No majority of controllers, no partition with two replicas in sync: all stands still."""
    _kill_several(strike, strike.rng.sample(NODES, 2))


def kill_all_brokers(strike: Strike) -> None:
    """All of them at once."""
    _kill_several(strike, NODES)


def slow_network(strike: Strike) -> None:
    """Every message to and from the brokers takes its time, or there is little bandwidth."""
    if strike.rng.random() < 0.5:
        delay_s = strike.rng.uniform(0.02, 0.25)
        strike.note(f"{delay_s * 1_000:.0f} ms each way")
        _bad_network(strike, strike.system.kafka.values(), lambda gate: gate.slow(delay_s=delay_s), 8)
    else:
        bytes_per_s = strike.rng.choice((100_000, 400_000))
        strike.note(f"{bytes_per_s // 1_000} kB/s a connection")
        _bad_network(strike, strike.system.kafka.values(), lambda gate: gate.slow(bytes_per_s=bytes_per_s), 8)


def cut_network(strike: Strike) -> None:
    """One broker cannot be reached by anybody but the other brokers."""
    node = strike.rng.choice(NODES)
    strike.note(f"broker {node}")
    _bad_network(strike, [strike.system.kafka[node]], Gate.refuse, strike.rng.uniform(4, 10))


def no_network(strike: Strike) -> None:
    """No broker can be reached."""
    _bad_network(strike, strike.system.kafka.values(), Gate.refuse, strike.rng.uniform(4, 15))


def half_open_network(strike: Strike) -> None:
    """Connections stand, and nothing comes through."""
    nodes = strike.rng.choice((NODES, (strike.rng.choice(NODES),)))
    strike.note("brokers " + ", ".join(map(str, nodes)))
    gates = [strike.system.kafka[node] for node in nodes]
    _bad_network(strike, gates, Gate.swallow, strike.rng.uniform(4, 10))


def fill_disk(strike: Strike) -> None:
    """A broker finds its disk full, and ends; it comes back when there is room."""
    disk = strike.system.disk
    if disk is None:
        raise Skipped(f"no small disk can be mounted here: {strike.system.disk_missing}")
    broker, struck_s = strike.system.cluster.brokers[SMALL_DISK_NODE], time.monotonic()
    disk.fill()
    try:
        strike.wait_until(broker.has_ended, "the broker ends", timeout_s=DISK_FULL_S_MAX)
        strike.note(f"ended after {time.monotonic() - struck_s:.1f} s")
    except NotInTime:
        strike.note("killed, it did not end by itself")
    finally:
        broker.kill()
        killed_s = time.monotonic()
        disk.free()
    strike.felt_since(killed_s)
    _start(strike, [SMALL_DISK_NODE])
    strike.lasted_s = time.monotonic() - struck_s
    await_whole(strike)


def compact_changelog(strike: Strike) -> None:
    """The changelog is compacted up to its tail; then all workers die and restore from what is left."""
    _configure(strike, _COMPACT_NOW)
    try:
        strike.hold(COMPACTION_S)
    finally:  # before they start again: they refuse a topic that is not as the registry says
        _configure(strike, dict.fromkeys(_COMPACT_NOW))
    strike.felt_since(strike.kill(*WORKERS), back=WORKERS)


def await_whole(strike: Strike) -> None:
    """Wait until every replica is in sync: the next blow to a broker must be one blow, not two."""
    cluster = Cluster(strike.system.inside.brokers)
    strike.wait_until(cluster.is_whole, "all replicas in sync", timeout_s=WHOLE_S_MAX, every_s=0.25)


def _victim(strike: Strike) -> int:
    cluster, prefix = Cluster(strike.system.inside.brokers), strike.system.inside.topic_prefix
    partition = strike.rng.randrange(strike.system.inside.partitions)
    inputs, group = INPUTS.full_name(prefix), prefix + WORKER_GROUP
    roles: dict[str, Callable[[], int]] = {
        f"leader of {inputs}[{partition}]": lambda: cluster.leader(inputs, partition),
        "controller": cluster.controller,
        "coordinator of the group": lambda: cluster.coordinator(OFFSETS, group),
        "coordinator of a transaction": lambda: cluster.coordinator(TRANSACTIONS, f"{group}-{partition}"),
    }
    role = strike.rng.choice(list(roles))
    found: list[int] = []

    def is_found() -> bool:
        try:
            found.append(roles[role]())
        except NoAnswer:
            return False
        return True

    strike.wait_until(is_found, f"the {role} is known", timeout_s=GIVE_UP_S)
    strike.note(f"broker {found[0]}, {role}")
    return found[0]


def _kill_several(strike: Strike, nodes: Sequence[int]) -> None:
    strike.note("brokers " + ", ".join(map(str, nodes)))
    struck_s = time.monotonic()
    for node in nodes:
        strike.system.cluster.brokers[node].kill()
    strike.rest(strike.rng.uniform(1, 15))
    _start(strike, nodes)
    strike.lasted_s = time.monotonic() - struck_s
    strike.felt_since(time.monotonic())
    await_whole(strike)


def _start(strike: Strike, nodes: Sequence[int]) -> None:
    brokers = [strike.system.cluster.brokers[node] for node in nodes]
    for broker in brokers:
        strike.system.on_the_ground(broker.launch)
    for broker in brokers:
        broker.wait_ready()


def _bad_network(
    strike: Strike, gates: Iterable[Gate], make_bad: Callable[[Gate], None], seconds: float
) -> None:
    chosen = list(gates)
    try:
        for gate in chosen:
            make_bad(gate)
        strike.hold(seconds)
    finally:
        for gate in chosen:
            gate.open()
    strike.felt_since(time.monotonic())


def _configure(strike: Strike, settings: Mapping[str, str | None]) -> None:
    """Set these of the changelog, or give them back their defaults."""
    inside = strike.system.inside
    entries = [
        ConfigEntry(
            name,
            value or "",
            incremental_operation=AlterConfigOpType.SET if value else AlterConfigOpType.DELETE,
        )
        for name, value in settings.items()
    ]
    topic = STATE.full_name(inside.topic_prefix)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)

    def is_done() -> bool:
        client = AdminClient({"bootstrap.servers": inside.brokers, "log_level": 0})
        (answer,) = client.incremental_alter_configs([resource], request_timeout=ASK_S).values()
        try:
            answer.result(2 * ASK_S)
        except (KafkaException, TimeoutError):
            return False
        return True

    strike.wait_until(is_done, f"{topic} is configured", timeout_s=WHOLE_S_MAX)
