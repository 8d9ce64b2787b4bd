"""A real Apache Kafka broker (KRaft, broker and controller in one process) as a child of ours.

Its files live in one directory: `server.properties`, `ports.json`, `log/`, `kafka.log`, `kafka.pid`.
Starting again on the same directory goes on with the same data and, where they are free, the same ports.
"""

import json
import subprocess
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from ops.embedded.children import StartError, end_leftover, start_tethered, stop, tail
from ops.embedded.jars import Say, classpath
from ops.embedded.java import find_java
from ops.embedded.ports import LOOPBACK, free_port

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 15
HEAP = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")

# One machine, one user: no replicas to wait for, small internal topics, and memory sized for a 256 MB heap.
# A transaction whose owner died is aborted within its timeout, not within ten seconds of it.
ONE_MACHINE = {
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    "group.initial.rebalance.delay.ms": "0",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "log.cleaner.dedupe.buffer.size": "16777216",
    "log.index.size.max.bytes": "1048576",
}


@dataclass(frozen=True)
class Node:
    """Place of one broker in a cluster. A single one votes for itself.

    `controller_port` is fixed because the others must know it. `voters` are ``id@host:port`` of every
    controller; `cluster_id` is shared by all nodes.
    """

    node_id: int = 1
    controller_port: int | None = None
    voters: tuple[str, ...] = ()
    cluster_id: str | None = None
    replicas: int = 1


@dataclass
class Kafka:
    """An embedded broker; `bootstrap` is valid once `start` returned.

    directory: where its data lives. home: cache of the downloaded jars. overrides: broker settings that
    replace ours. say: where progress goes, one plain sentence a call. port: taken if it is free.
    """

    directory: Path
    home: Path
    say: Say = lambda _: None
    port: int | None = None
    node: Node = Node()
    overrides: Mapping[str, str] = field(default_factory=dict)
    start_timeout_s: float = START_TIMEOUT_S
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _port: int = field(default=0, init=False)

    @property
    def bootstrap(self) -> str:
        """``host:port`` for clients."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        assert self._child is not None, "start() first"
        return self._child.pid

    @property
    def log(self) -> Path:
        """The broker's own log."""
        return self.directory / "kafka.log"

    def start(self) -> None:
        """`launch` and `wait_ready`."""
        self.launch()
        self.wait_ready()

    def launch(self) -> None:
        """Download what is missing, format the directory if it is new, start the broker.

        Raises `StartError`. Call it from a thread that lives as long as the broker.
        """
        self.prepare()
        self._child = start_tethered(
            [*self._java(), "kafka.Kafka", str(self._properties)], log=self.log, pid_file=self._pid_file
        )

    def prepare(self) -> None:
        """What `launch` does before the broker runs; from any thread. Raises `StartError`."""
        self.directory.mkdir(parents=True, exist_ok=True)
        end_leftover(self._pid_file)
        self._write_properties()
        self._format()

    def wait_ready(self) -> None:
        """Return when a client was answered. Raises `StartError` with the end of the broker's log."""
        deadline = time.monotonic() + self.start_timeout_s
        quiet: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap,
            "log_level": 0,
            "reconnect.backoff.max.ms": 100,
        }
        client, own = AdminClient(quiet), self._cluster_id()
        while time.monotonic() < deadline:
            if self.has_ended():
                raise StartError(f"Kafka ended while starting. The end of {self.log}:\n{tail(self.log)}")
            try:
                answer = client.list_topics(timeout=0.5)
            except KafkaException:
                continue
            if (answer.cluster_id or own) != own:
                self.stop()
                raise StartError(f"another Kafka took {self.bootstrap} in the same moment: start again")
            if answer.brokers:
                return
        self.stop()
        raise StartError(
            f"Kafka did not answer in {self.start_timeout_s:.0f} s. The end of its log:\n{tail(self.log)}"
        )

    def stop(self) -> None:
        """A clean shutdown: logs are flushed, the next start needs no recovery."""
        if self._child is not None:
            stop(self._child, timeout_s=STOP_TIMEOUT_S)
            self._pid_file.unlink(missing_ok=True)
            self._child = None

    def kill(self) -> None:
        """SIGKILL, as an accident would: gone when this returns, its data as it lay there."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def has_ended(self) -> bool:
        """Whether the broker was started and is gone."""
        return self._child is not None and self._child.poll() is not None

    @property
    def _pid_file(self) -> Path:
        return self.directory / "kafka.pid"

    @property
    def _properties(self) -> Path:
        return self.directory / "server.properties"

    def _java(self) -> list[str]:
        java = [str(find_java()), *HEAP, f"-Dlog4j2.configurationFile={_LOG_CONFIG}"]
        return [*java, "-cp", ":".join(str(jar) for jar in classpath(self.home, self.say))]

    def _write_properties(self) -> None:
        self._port, controller_port = self._ports()
        voters = self.node.voters or (f"{self.node.node_id}@{LOOPBACK}:{controller_port}",)
        settings = {
            "process.roles": "broker,controller",
            "node.id": str(self.node.node_id),
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "BROKER",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "listeners": f"BROKER://{self.bootstrap},CONTROLLER://{LOOPBACK}:{controller_port}",
            "advertised.listeners": f"BROKER://{self.bootstrap}",
            "log.dirs": str(self.directory / "log"),
            "default.replication.factor": str(self.node.replicas),
            "offsets.topic.replication.factor": str(self.node.replicas),
            "transaction.state.log.replication.factor": str(self.node.replicas),
            "transaction.state.log.min.isr": str(max(1, self.node.replicas - 1)),
            **ONE_MACHINE,
            **self.overrides,
        }
        self._properties.write_text("".join(f"{name}={value}\n" for name, value in settings.items()))

    def _ports(self) -> tuple[int, int]:
        remembered = self.directory / "ports.json"
        before = json.loads(remembered.read_text()) if remembered.exists() else {}
        port = free_port(before.get("broker") or self.port)
        controller_port = free_port(before.get("controller") or self.node.controller_port)
        remembered.write_text(json.dumps({"broker": port, "controller": controller_port}))
        return port, controller_port

    def _cluster_id(self) -> str:
        """What this broker's own directory was formatted for."""
        lines = self._meta.read_text(encoding="utf-8").splitlines()
        return next(line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id="))

    @property
    def _meta(self) -> Path:
        return self.directory / "log" / "meta.properties"

    def _format(self) -> None:
        if self._meta.exists():
            return
        cluster_id = self.node.cluster_id or str(uuid.uuid4())
        tool = [*self._java(), "kafka.tools.StorageTool", "format"]
        format_it = [*tool, "-t", cluster_id, "-c", str(self._properties)]
        formatted = subprocess.run(format_it, capture_output=True, text=True, timeout=self.start_timeout_s)
        if formatted.returncode != 0:
            raise StartError(f"Kafka cannot prepare {self.directory}: {formatted.stdout}{formatted.stderr}")


_LOG_CONFIG = Path(__file__).with_name("log4j2.properties")
