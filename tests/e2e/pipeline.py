"""The running system of a test: its processes, its topics, its ledger."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops import topics
from ops.embedded.children import tail
from ops.settings import Settings
from ops.supervisor import BackOff, Program, Supervisor
from ops.up import programs
from schemas.topics import Topic
from sinks.migrations import upgrade
from sinks.webhooks.endpoints import register
from tests.e2e.topic_reading import Record, read_all

READY_S = 60.0
WORKERS = ("worker-1", "worker-2")
WORKERS_MAX = 3
NOBODY = "http://127.0.0.1:9/"
"""Nothing listens there, and no dispatcher runs: webhooks are written, and stay."""


class Pipeline:
    """A context manager: nothing runs after it; on a failure it prints how every process ended.

    `settings` name a broker, a database and a prefix of this test alone.
    """

    def __init__(self, settings: Settings, directory: Path) -> None:
        self.settings = settings
        self.directory = directory
        self.said: list[str] = []
        # Killed over and over on purpose: the long delays for what never comes up are not the subject.
        self.supervisor = Supervisor(directory / "logs", back_off=BackOff(most_s=1.0), say=self.said.append)
        self._logs: set[str] = set()

    def __enter__(self) -> Self:
        topics.ensure(self.settings)
        upgrade(self.settings.database_url)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.supervisor.close()
        if error is not None:
            print("\n".join(self.said))
            for name in sorted(self._logs):
                print(f"--- the end of {name}.log\n{tail(self.supervisor.log(name), 30)}")

    def start(self, *names: str) -> None:
        """Run these and return when all are ready."""
        for name in names:
            self.begin(name)
        self.supervisor.wait_ready(*names, timeout_s=READY_S)

    def begin(self, name: str) -> None:
        """Run one with the settings as they are now, whether it becomes ready or not."""
        self._logs.add(name)
        self.supervisor.start(name, self._program(name))

    def register(self, *partners: str) -> None:
        """Let these partners want webhooks."""
        for partner in partners:
            register(
                self.settings.database_url,
                partner_id=partner,
                livemode=True,
                url=f"{NOBODY}{partner}",
                allow_loopback=True,
                actor="test",
                reason="it wants webhooks",
            )

    def read(self, topic: Topic) -> list[list[Record]]:
        """All committed records of a topic, a list for each partition."""
        partitions = topics.partitions_of(topic, self.settings)
        return read_all(self.settings.brokers, topic.full_name(self.settings.topic_prefix), partitions)

    def log_lines(self, name: str, event: str) -> list[dict[str, Any]]:
        """What a process logged under this name of an event."""
        log = self.supervisor.log(name)
        text = log.read_text() if log.exists() else ""
        lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        return [line for line in lines if line.get("event") == event]

    def _program(self, name: str) -> Program:
        return programs(self.settings, workers=WORKERS_MAX)[name]
