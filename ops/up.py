"""The whole system on one machine: servers, topics, tables, processes; started in order, stopped in reverse.

`cashback up`, the demo and the end-to-end tests all run this one.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr

from ops import topics
from ops.embedded.children import StartError, tail
from ops.embedded.jars import Say
from ops.embedded.kafka import Kafka
from ops.embedded.postgres import Postgres
from ops.running import Claim
from ops.settings import Settings
from ops.supervisor import Program, Supervisor

READY_TIMEOUT_S = 90
OUTSIDE_TIMEOUT_S = 15
REVIVALS_MAX = 3
REVIVALS_WITHIN_S = 60.0


@dataclass
class Stack:
    """A context manager around a running system.

    settings: what to run with; once started it holds the real `brokers` and `database_url`.
    data: directory of the embedded servers and of the logs. brokers, database: use these servers instead of
    embedded ones. durable: False gives up safety against power cuts (tests, demo). more: processes to run
    besides ours, started first.
    """

    settings: Settings
    data: Path
    brokers: str | None = None
    database: str | None = None
    workers: int = 1
    durable: bool = True
    more: Mapping[str, Program] = field(default_factory=dict)
    say: Say = lambda _: None
    kafka: Kafka | None = field(default=None, init=False)
    postgres: Postgres | None = field(default=None, init=False)
    _supervisor: Supervisor | None = field(default=None, init=False)
    _claim: Claim | None = field(default=None, init=False)
    _revivals_at_s: list[float] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        try:
            self.start_servers()
            self.start_processes()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def supervisor(self) -> Supervisor:
        """`worker-1` …, `ledger`, `webhooks`, `budgets`, `places`; by the broker's clock `ticker`."""
        assert self._supervisor is not None, "start_processes() first"
        return self._supervisor

    def start_servers(self) -> None:
        """Kafka and PostgreSQL up, topics and tables as they should be.

        Raises `AlreadyRunningError`, `StartError`, `TopicsDiffer`. Call it from a thread that lives on.
        """
        # The servers that we start have working directories of their own.
        self.data = self.data.resolve()
        self._claim = Claim(self.data)
        self._keep_clock()
        self._ask_outside_servers()
        brokers, database_url = self._launch_servers()
        self.settings = self.settings.model_copy(update={"brokers": brokers, "database_url": database_url})
        created = topics.ensure(self.settings)
        self.say(f"Topics: {f'{len(created)} created' if created else 'as they should be'}")
        from sinks.migrations import upgrade  # alembic: only when it is needed

        upgrade(self.settings.database_url)
        self.say("Tables: up to date")
        self._claim.publish(self.settings)

    def start_processes(self) -> None:
        """All processes up and ready. Raises `NotReadyInTimeError`."""
        self._supervisor = Supervisor(self.data / "logs", say=self.say)
        for name, program in {**self.more, **programs(self.settings, workers=self.workers)}.items():
            self._supervisor.start(name, program)
        self._supervisor.wait_ready(timeout_s=READY_TIMEOUT_S)

    def look_after_servers(self) -> None:
        """Start an embedded server again that ended; give up when that happens over and over."""
        for name, server in (("Kafka", self.kafka), ("PostgreSQL", self.postgres)):
            if server is None or not server.has_ended():
                continue
            now_s = time.monotonic()
            recent = [at_s for at_s in self._revivals_at_s if now_s - at_s < REVIVALS_WITHIN_S]
            self._revivals_at_s = [*recent, now_s]
            if len(recent) >= REVIVALS_MAX:
                raise StartError(
                    f"{name} ends again and again. Its log {server.log} ends:\n{tail(server.log)}"
                )
            self.say(f"{name} ended unexpectedly; starting it again (its log: {server.log})")
            server.start()

    def stop(self) -> None:
        """Processes first, then the servers. May be called at any time, and again."""
        if self._supervisor:
            self._supervisor.close()
            self._supervisor = None
        for server in (self.kafka, self.postgres):
            if server:
                server.stop()
        self.kafka = self.postgres = None
        if self._claim:
            self._claim.release()
            self._claim = None

    def _launch_servers(self) -> tuple[str, str]:
        # Both at once: each spends most of its start waiting.
        brokers, database_url = self.brokers or "", self.database or ""
        if not brokers:
            self.say("Starting Kafka")
            self.kafka = Kafka(self.data / "kafka", self.settings.home, self.say, port=9092)
            self.kafka.launch()
        if not database_url:
            self.say("Starting PostgreSQL")
            self.postgres = Postgres(self.data / "postgres", self.durable, self.say, port=5432)
            self.postgres.start()
            self.say(f"PostgreSQL: ready at {self.postgres.address}")
            database_url = self.postgres.url
        if self.kafka:
            self.kafka.wait_ready()
            self.say(f"Kafka: ready at {self.kafka.bootstrap}")
            brokers = self.kafka.bootstrap
        return brokers, database_url

    def _keep_clock(self) -> None:
        remembered = self.data / "clock"
        before = remembered.read_text() if remembered.exists() else self.settings.clock
        if before != self.settings.clock:
            raise StartError(
                f"--clock {self.settings.clock}: the data in {self.data} was made with clock={before}, "
                f"and one log has one clock. Use --clock {before}, or another directory with --data."
            )
        remembered.write_text(before)

    def _ask_outside_servers(self) -> None:
        if self.brokers:
            try:
                client = AdminClient({"bootstrap.servers": self.brokers, "log_level": 0})
                client.list_topics(timeout=OUTSIDE_TIMEOUT_S)
            except KafkaException as error:
                reason = error.args[0].str()
                raise StartError(f"--brokers: no Kafka answers at {self.brokers} ({reason})") from error
        if self.database:
            try:
                psycopg.connect(self.database, connect_timeout=OUTSIDE_TIMEOUT_S).close()
            except psycopg.Error as error:
                raise StartError(f"--database: no PostgreSQL answers there ({error})") from error


def programs(settings: Settings, *, workers: int) -> dict[str, Program]:
    """What runs beside the servers, by name."""
    environment = environment_of(settings)
    named = {
        f"worker-{number}": Program(
            "streams.worker", environment={**environment, "CASHBACK_INSTANCE_ID": f"worker-{number}"}
        )
        for number in range(1, workers + 1)
    }
    named["ledger"] = Program("sinks.ledger", environment=environment)
    named["webhooks"] = Program("sinks.webhooks", environment=environment)
    named["budgets"] = Program("connectors.budget_keeper", environment=environment)
    named["places"] = Program("sinks.places", environment=environment)
    if settings.clock == "broker":
        named["ticker"] = Program("connectors.ticker", environment=environment)
    return named


def environment_of(settings: Settings) -> dict[str, str]:
    """Every setting that is not a default, as the variables a child process reads."""
    chosen = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"CASHBACK_{name.upper()}": _text(value) for name, value in chosen.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, tuple | dict):
        return json.dumps(value)
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
