"""What is tortured: three brokers, PostgreSQL, workers, sinks and a receiver, with gates between them."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from ops import topics
from ops.embedded.cluster import Cluster
from ops.embedded.jars import Say
from ops.embedded.ports import LOOPBACK, lasting_ports
from ops.embedded.postgres import Postgres
from ops.settings import Settings
from ops.supervisor import BackOff, Program, Supervisor
from ops.torture.disk import CannotMount, SmallDisk
from ops.torture.load import PARTNERS
from ops.torture.proxy import Gate, Network
from ops.torture.waiting import wait_until
from ops.up import environment_of

Answer = TypeVar("Answer")

NODES = (1, 2, 3)
SMALL_DISK_NODE = 3
PARTITIONS = 12
WORKERS = ("worker-1", "worker-2")
GUEST = "guest"
"""A worker that comes and goes, without a name in the group."""
LEDGER, RIVAL, WEBHOOKS, RECEIVER = "ledger", "ledger-rival", "webhooks", "receiver"
PROCESSES = (*WORKERS, LEDGER, WEBHOOKS)
READY_S = 120.0
SINK_STALE_MS = 5_000


@dataclass(frozen=True)
class Layout:
    """Where everything listens; kept for a run that goes on."""

    kafka_gates: tuple[int, int, int]
    ledger_gate: int
    webhooks_gate: int
    postgres: int
    receiver: int
    brokers: tuple[int, ...]


class System:
    """A context manager: nothing of it runs afterwards; its data stays in `directory`.

    inside: settings that reach the servers past the gates, for whoever looks on. outside: what the processes
    and the client are told.
    """

    def __init__(self, directory: Path, settings: Settings, *, say: Say, small_disk: bool = True) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.say = say
        self.layout = self._layout()
        self.disk, self.disk_missing = self._small_disk() if small_disk else (None, "not asked for")
        self._ground = ThreadPoolExecutor(1, thread_name_prefix="ground")
        """The thread that starts servers: they end with it."""
        self.network = Network()
        self.kafka: dict[int, Gate] = {}
        self.cluster = Cluster(
            directory / "kafka",
            settings.home,
            chosen=self.layout.brokers,
            advertise=lambda node, _: self.layout.kafka_gates[node - 1],
            directories={SMALL_DISK_NODE: self.disk.place / "broker"} if self.disk else {},
        )
        self.postgres = Postgres(directory / "postgres", port=self.layout.postgres)
        self._base = settings.model_copy(
            update={
                "partitions": PARTITIONS,
                "replication_factor": len(NODES),
                "clock": "event",
                "webhook_allow_loopback": True,
                "webhook_retry_delays_s": (0.5,) * 60,
                "webhook_circuit_pause_s": 2.0,
                "webhook_timeout_s": 3.0,
                "sink_stale_ms": SINK_STALE_MS,
                "due_slice": 500,
                # Three brokers on one machine: most of what they do is to end transactions.
                "commit_interval_ms": 400,
            }
        )
        self.received = directory / "received"

    def __enter__(self) -> Self:
        self.network.__enter__()
        try:
            self._start_servers()
            self.supervisor = Supervisor(
                self.directory / "logs", back_off=BackOff(most_s=1.0), say=self._note_process
            )
        except BaseException:
            self._stop_servers()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.supervisor.close()
        finally:
            self._stop_servers()
        if kind is not None and self.disk is not None:
            self.say(f"{self.disk.place} stays mounted for --resume; unmount it to give the run up")

    @property
    def inside(self) -> Settings:
        return self._base.model_copy(
            update={"brokers": self.cluster.bootstrap, "database_url": self.postgres.url}
        )

    @property
    def outside(self) -> Settings:
        return self._outside(self.layout.ledger_gate)

    @property
    def ledger_gate(self) -> Gate:
        return self._database_gates[0]

    @property
    def webhooks_gate(self) -> Gate:
        return self._database_gates[1]

    @property
    def database_gates(self) -> tuple[Gate, Gate]:
        return self._database_gates

    def on_the_ground(self, work: Callable[[], Answer]) -> Answer:
        """Do something that starts a server."""
        return self._ground.submit(work).result()

    def start_processes(self) -> None:
        """The receiver, registered for every partner, and all of ours; returns when all are ready."""
        self.begin(RECEIVER)
        self.supervisor.wait_ready(RECEIVER, timeout_s=READY_S)
        for name in PROCESSES:
            self.begin(name)
        self.supervisor.wait_ready(*PROCESSES, timeout_s=READY_S)

    def begin(self, name: str, **more: str) -> None:
        """Start one, or let it be started with these variables the next time."""
        self.supervisor.start(name, self.program(name, **more))

    def program(self, name: str, **more: str) -> Program:
        """What runs under a name; `more`: environment variables besides the settings."""
        if name == RECEIVER:
            places = (str(self.layout.receiver), str(self.directory / "secret"), str(self.received))
            return Program("ops.torture.receiver", places)
        if name in (LEDGER, RIVAL):
            return Program("sinks.ledger", environment=environment_of(self.outside) | more)
        if name == WEBHOOKS:
            return Program(
                "sinks.webhooks", environment=environment_of(self._outside(self.layout.webhooks_gate)) | more
            )
        instance = {} if name == GUEST else {"CASHBACK_INSTANCE_ID": name}
        return Program("streams.worker", environment=environment_of(self.outside) | instance | more)

    def _outside(self, database_gate: int) -> Settings:
        url = self.postgres.url.replace(f":{self.layout.postgres}/", f":{database_gate}/")
        brokers = ",".join(f"{LOOPBACK}:{port}" for port in self.layout.kafka_gates)
        return self._base.model_copy(update={"brokers": brokers, "database_url": url})

    def _start_servers(self) -> None:
        from sinks.migrations import upgrade  # alembic: only when it is needed
        from sinks.webhooks.endpoints import register
        from sinks.webhooks.signing import new_secret
        from sinks.webhooks.terms import EndpointRefused

        self.say("Starting three brokers and PostgreSQL")
        self.on_the_ground(self.cluster.start)
        self.on_the_ground(self.postgres.start)
        for node in NODES:
            ports = self.cluster.ports[node]
            self.kafka[node] = self.network.gate(self.layout.kafka_gates[node - 1], ports.client)
        ledger, webhooks = (
            self.network.gate(port, self.layout.postgres, speaks_postgres=True)
            for port in (self.layout.ledger_gate, self.layout.webhooks_gate)
        )
        self._database_gates = (ledger, webhooks)
        wait_until(self._has_topics, "every broker knows the topics", timeout_s=READY_S, every_s=0.5)
        upgrade(self.postgres.url)
        secret = self.directory / "secret"
        if not secret.exists():
            secret.write_text(new_secret())
        for partner in PARTNERS:
            try:
                register(
                    self.postgres.url,
                    partner_id=partner,
                    livemode=True,
                    url=f"http://{LOOPBACK}:{self.layout.receiver}/{partner}",
                    secret=secret.read_text(),
                    allow_loopback=True,
                    actor="torture",
                    reason="its receiver",
                )
            except EndpointRefused:  # a run that goes on has them
                continue

    def _has_topics(self) -> bool:
        try:
            topics.ensure(self.inside)
        except topics.TopicsDiffer:  # one broker created them, another one does not know yet
            return False
        return True

    def _stop_servers(self) -> None:
        self.network.__exit__(None, None, None)
        for stop in (self.cluster.stop, self.postgres.stop):
            self.on_the_ground(stop)
        self._ground.shutdown()

    def _layout(self) -> Layout:
        remembered = self.directory / "layout.json"
        if not remembered.exists():
            remembered.write_text(json.dumps(lasting_ports(7 + 3 * len(NODES))))
        one, two, three, ledger, webhooks, postgres, receiver, *brokers = json.loads(remembered.read_text())
        return Layout((one, two, three), ledger, webhooks, postgres, receiver, tuple(brokers))

    def _small_disk(self) -> tuple[SmallDisk | None, str]:
        try:
            return SmallDisk(self.directory / "small-disk"), ""
        except CannotMount as error:
            return None, str(error)

    def _note_process(self, sentence: str) -> None:
        with (self.directory / "processes.log").open("a") as log:
            log.write(sentence + "\n")
