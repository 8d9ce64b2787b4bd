"""Several brokers as one cluster, each of them broker and controller: for what one broker cannot show.

Besides the listener over which the brokers talk there is one for clients, `CLIENT`, whose advertised address
may be somebody in between (a proxy that cuts or slows the network).
"""

import json
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ops.embedded.jars import Say
from ops.embedded.kafka import Kafka, Node
from ops.embedded.ports import LOOPBACK, lasting_ports

REPLICAS = 3
START_TIMEOUT_S = 180.0
"""Three at once, and each waits for the others."""

# A broker that died is given up within two seconds instead of nine; leaders move back soon after it is up.
# Client quotas, groups and transactions as in production, their logs small.
IN_A_CLUSTER = {
    "min.insync.replicas": "2",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "400",
    "replica.lag.time.max.ms": "5000",
    "leader.imbalance.check.interval.seconds": "10",
    "offsets.topic.num.partitions": "6",
    "transaction.state.log.num.partitions": "6",
    "log.cleaner.backoff.ms": "2000",
    "controlled.shutdown.enable": "true",
}


@dataclass(frozen=True)
class Ports:
    """Where one broker listens: for the others, for clients, for the quorum of controllers."""

    broker: int
    client: int
    controller: int


@dataclass
class Cluster:
    """Three embedded brokers, ids 1 to 3; started again on the same directory they go on with their data.

    chosen: the ports to use, three a broker; none: free ones. advertise: from the id of a broker and its
    client port to the port that clients are told.
    directories: other places than `directory` for the data of some brokers.
    """

    directory: Path
    home: Path
    say: Say = lambda _: None
    chosen: tuple[int, ...] = ()
    advertise: Callable[[int, int], int] = lambda _node, port: port
    directories: Mapping[int, Path] = field(default_factory=dict)
    overrides: Mapping[str, str] = field(default_factory=dict)
    brokers: dict[int, Kafka] = field(default_factory=dict, init=False)
    ports: dict[int, Ports] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self._cluster_id, self.ports = self._layout()
        voters = tuple(f"{node}@{LOOPBACK}:{ports.controller}" for node, ports in self.ports.items())
        for node, ports in self.ports.items():
            self.brokers[node] = Kafka(
                self.directories.get(node, self.directory / f"broker-{node}"),
                self.home,
                port=ports.broker,
                node=Node(node, ports.controller, voters, self._cluster_id, REPLICAS),
                overrides={**IN_A_CLUSTER, **self._listeners(node, ports), **self.overrides},
                start_timeout_s=START_TIMEOUT_S,
            )

    @property
    def bootstrap(self) -> str:
        """All brokers, past whatever stands between them and clients."""
        return ",".join(f"{LOOPBACK}:{ports.broker}" for ports in self.ports.values())

    def start(self) -> None:
        """All brokers up. Raises `StartError`. Call it from a thread that lives as long as they do."""
        first = next(iter(self.brokers.values()))
        first.prepare()  # alone: it may have to download
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Kafka.prepare, self.brokers.values()))
        for broker in self.brokers.values():
            broker.launch()
        for broker in self.brokers.values():
            broker.wait_ready()

    def stop(self) -> None:
        """All brokers down, at once: one alone would wait for the others to take over."""
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Kafka.stop, self.brokers.values()))

    def _layout(self) -> tuple[str, dict[int, Ports]]:
        remembered = self.directory / "cluster.json"
        if not remembered.exists():
            free = self.chosen or lasting_ports(3 * REPLICAS)
            layout = {str(node): free[3 * (node - 1) : 3 * node] for node in range(1, REPLICAS + 1)}
            remembered.write_text(json.dumps({"cluster_id": str(uuid.uuid4()), "ports": layout}))
        known = json.loads(remembered.read_text())
        return known["cluster_id"], {int(node): Ports(*ports) for node, ports in known["ports"].items()}

    def _listeners(self, node: int, ports: Ports) -> dict[str, str]:
        broker, controller = f"{LOOPBACK}:{ports.broker}", f"{LOOPBACK}:{ports.controller}"
        client = f"{LOOPBACK}:{ports.client}"
        told = f"{LOOPBACK}:{self.advertise(node, ports.client)}"
        return {
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"BROKER://{broker},CLIENT://{client},CONTROLLER://{controller}",
            "advertised.listeners": f"BROKER://{broker},CLIENT://{told}",
        }
