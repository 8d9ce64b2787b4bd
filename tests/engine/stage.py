"""Topics, load, worker processes and the judgement, for tests that break workers."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections import defaultdict
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from streams.engine.position import POSITION_KEY
from tests.engine import worker
from tests.engine.worker import COUNT, TICK
from tests.eventually import eventually

PARTITIONS = 4


# Forks each worker off a process that has imported everything: a second of CPU saved every time.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pytest", "tests.engine.worker"])


class Worker:
    """One worker process; what it writes lands in a file."""

    def __init__(self, options: dict[str, Any], log: Path) -> None:
        self._log = log
        log.touch()
        self._process = _FORKS.Process(target=worker.run, args=(options, str(log)), daemon=True)
        self._process.start()

    @property
    def exit_code(self) -> int | None:
        return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def wait(self, timeout_s: float = 30) -> int:
        """Exit code; fails the test showing the log when it does not end."""
        self._process.join(timeout_s)
        code = self._process.exitcode
        assert code is not None, f"worker did not end within {timeout_s} s:\n{self._log.read_text()}"
        return code

    def lines(self) -> list[dict[str, Any]]:
        """What it logged through structlog."""
        return [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]

    def ended(self) -> bool:
        return self.exit_code is not None

    def runs(self) -> bool:
        """It has restored a partition."""
        return any(line["event"] == "restored" for line in self.lines())

    def last_words(self) -> dict[str, Any]:
        """The one line a failing worker logs."""
        words = [line for line in self.lines() if line["event"] == "worker leaves"]
        assert len(words) == 1, self._log.read_text()
        return words[0]


class Stage:
    """An input topic, an app over it, and everything that came out so far."""

    def __init__(self, brokers: str, prefix: str, directory: Path, state: str = "memory") -> None:
        self.brokers = brokers
        self.input_topic, self.output_topic = f"{prefix}input", f"{prefix}output"
        self.changelog_topic = f"{prefix}changelog"
        self._prefix = prefix
        self._directory = directory
        self.state_directory = directory / "state"
        self._state = state
        self.admin = AdminClient({"bootstrap.servers": brokers})
        self._started: list[Worker] = []
        self._sent: dict[bytes, list[bytes]] = defaultdict(list)
        self._got: dict[bytes, list[bytes]] = defaultdict(list)
        self.create_topics()
        self._producer = Producer({"bootstrap.servers": brokers, "linger.ms": 1, "enable.idempotence": True})
        self._outputs = self._reader(f"{prefix}judge")
        self._outputs.assign([TopicPartition(self.output_topic, p, 0) for p in range(PARTITIONS)])

    def create_topics(self) -> None:
        compacted = {"cleanup.policy": "compact"}
        topics = [
            NewTopic(self.input_topic, PARTITIONS, 1, config={"message.timestamp.type": "LogAppendTime"}),
            NewTopic(self.output_topic, PARTITIONS, 1),
            NewTopic(self.changelog_topic, PARTITIONS, 1, config=compacted),
        ]
        for created in self.admin.create_topics(topics).values():
            created.result()

    def recreate(self, topic: str) -> None:
        """Delete a topic and create an empty one of the same name; what was sent is forgotten."""
        self._sent.clear()
        self.empty(topic)

    def empty(self, topic: str) -> None:
        """Delete a topic and create an empty one of the same name."""
        self.admin.delete_topics([topic])[topic].result()
        eventually(lambda: topic not in self.admin.list_topics(timeout=10).topics)
        self.admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result()

    def forget_group(self) -> None:
        """Delete the group's offsets, as the brokers do when a group was away for a week."""
        group = f"{self._prefix}app"
        eventually(lambda: self.admin.delete_consumer_groups([group])[group].exception() is None)

    def commit_group(self, offset: int) -> None:
        """Set the group's offsets, as an operator may."""
        group = self._reader(f"{self._prefix}app")
        offsets = [TopicPartition(self.input_topic, partition, offset) for partition in range(PARTITIONS)]
        eventually(lambda: group.commit(offsets=offsets, asynchronous=False))
        group.close()

    def end_of_input(self, partition: int) -> int:
        """The offset after the last record."""
        reader = self._reader(f"{self._prefix}reader")
        _, end = reader.get_watermark_offsets(TopicPartition(self.input_topic, partition), timeout=10)
        reader.close()
        return end

    def compact_soon(self, topic: str) -> None:
        """Let the broker's cleaner take a topic up at once instead of within hours."""
        self._alter(ResourceType.TOPIC, topic, "segment.ms", "100")
        self._alter(ResourceType.TOPIC, topic, "min.cleanable.dirty.ratio", "0.01")
        for broker_id in self.admin.list_topics(timeout=10).brokers:
            self._alter(ResourceType.BROKER, str(broker_id), "log.cleaner.backoff.ms", "100")

    def _alter(self, kind: ResourceType, name: str, setting: str, value: str) -> None:
        entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
        resource = ConfigResource(kind, name, incremental_configs=[entry])
        self.admin.incremental_alter_configs([resource])[resource].result()

    def topic_id(self, topic: str) -> str:
        return str(self.admin.describe_topics(TopicCollection([topic]))[topic].result().topic_id)

    def options(self, **changed: Any) -> dict[str, Any]:
        return {
            "brokers": self.brokers,
            "app_id": f"{self._prefix}app",
            "input_topic": self.input_topic,
            "changelog_topic": self.changelog_topic,
            "output_topic": self.output_topic,
            "partitions": PARTITIONS,
            "state": self._state,
            "state_directory": str(self.state_directory),
            **changed,
        }

    def send(self, count: int, *, keys: int = 50, value: bytes | None = None) -> None:
        """Append records with values nobody else has, or one given value."""
        producer = self._producer
        first = self._total()
        for number in range(first, first + count):
            key = b"key-%d" % (number % keys)
            sent = value or b"value-%d" % number
            if not number % 10_000:
                producer.flush(30)
            producer.produce(self.input_topic, sent, key)
            self._sent[key].append(sent)
        producer.flush(30)

    def tick(self) -> None:
        """One record that changes nothing into every partition."""
        for partition in range(PARTITIONS):
            self._producer.produce(self.input_topic, TICK, b"ticker", partition)
        self._producer.flush(10)

    def group_lag(self) -> int:
        """Records between the group's offsets and the end of the input."""
        group = self._reader(f"{self._prefix}app")
        partitions = [TopicPartition(self.input_topic, partition) for partition in range(PARTITIONS)]
        committed = {found.partition: found.offset for found in group.committed(partitions, timeout=10)}
        ends = {p.partition: group.get_watermark_offsets(p, timeout=10)[1] for p in partitions}
        group.close()
        return sum(end - max(0, committed[partition]) for partition, end in ends.items())

    def start(self, **changed: Any) -> Worker:
        log = self._directory / f"worker-{len(self._started)}.log"
        self._started.append(Worker(self.options(**changed), log))
        return self._started[-1]

    def close(self) -> None:
        for started in self._started:
            if started.exit_code is None:
                started.kill()
        self._outputs.close()

    def seen(self) -> int:
        """How many committed outputs there are by now."""
        while messages := self._outputs.consume(10_000, 0.1):
            for message in messages:
                if message.error() is None:
                    self._got[message.key() or b""].append(message.value() or b"")
        return sum(map(len, self._got.values()))

    def outputs(self, key: bytes) -> list[bytes]:
        """Committed outputs of a key so far."""
        return self._got[key]

    def sees(self, count: int, timeout_s: float = 40) -> None:
        """Wait for that many outputs."""
        eventually(lambda: self.seen() >= count, timeout_s=timeout_s)

    def judge(self) -> None:
        """Every record is out exactly once, in order, and the changelog holds the last count of each key.

        As a supervisor would, it starts a worker when none is left.
        """
        eventually(self._all_arrived, timeout_s=60)
        expected = {
            key: [COUNT.pack(count) + value for count, value in enumerate(values, 1)]
            for key, values in self._sent.items()
        }
        got = {key: values for key, values in self._got.items() if key in expected}
        wrong = [key for key in expected if got.get(key) != expected[key]]
        assert not wrong, {key: (len(got.get(key, [])), len(expected[key])) for key in wrong}
        assert self.rows() == {key: COUNT.pack(len(values)) for key, values in self._sent.items()}

    def _total(self) -> int:
        return sum(map(len, self._sent.values()))

    def _all_arrived(self) -> bool:
        self.seen()
        if all(worker.ended() for worker in self._started):
            self.start()
        arrived = sum(len(values) for key, values in self._got.items() if key in self._sent)
        assert arrived >= self._total(), f"{arrived} of {self._total()} arrived\n" + "\n".join(
            f"worker {number}, exit code {worker.exit_code}: {worker.lines()[-3:]}"
            for number, worker in enumerate(self._started)
        )
        return True

    def rows(self) -> dict[bytes, bytes | None]:
        """The rows in the changelog."""
        rows = {key: value for key, value in self.read(self.changelog_topic) if key != POSITION_KEY}
        return {key: value for key, value in rows.items() if value is not None and key != b"fired"}

    def read(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        """All committed records of a topic."""
        consumer = self._reader(f"{self._prefix}reader")
        consumer.assign([TopicPartition(topic, p, 0) for p in range(PARTITIONS)])
        records: list[tuple[bytes, bytes | None]] = []
        ended: set[int | None] = set()
        while len(ended) < PARTITIONS:
            for message in consumer.consume(100_000, 0.1):
                if (error := message.error()) is None:
                    records.append((message.key() or b"", message.value()))
                elif error.code() == KafkaError._PARTITION_EOF:
                    ended.add(message.partition())
        consumer.close()
        return records

    def _reader(self, group: str) -> Consumer:
        return Consumer(
            {
                "bootstrap.servers": self.brokers,
                "group.id": group,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "fetch.wait.max.ms": 20,
            }
        )
