"""The brokers: their clients, and questions that are not about records: topics, log bounds, group handle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata

from streams.engine.settings import EngineSettings

_LOG = logging.getLogger("streams.engine.kafka")
_ASK_S = 10.0
_NEW_TOPIC_S = 3.0


class TopicsUnfit(Exception):
    """A topic is missing or does not have the shape the engine was told."""


class BrokersAway(Exception):
    """No broker answered in time."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Offsets of the first record kept and after the last stable one."""

    low: int
    high: int


class Brokers:
    """Safe to use from several threads. The consumer inside never joins the group nor fetches."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._consumer = self.consumer(
            {
                "group.id": settings.app_id,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        self.group_metadata = self._consumer.consumer_group_metadata()

    def producer(self, config: dict[str, Any]) -> Producer:
        """A producer of these brokers. A simulation hands out its own here."""
        return Producer({"bootstrap.servers": self._settings.brokers, "log_level": 3, **config}, logger=_LOG)

    def consumer(self, config: dict[str, Any]) -> Consumer:
        """A consumer of these brokers, in no group."""
        return Consumer({"bootstrap.servers": self._settings.brokers, "log_level": 3, **config}, logger=_LOG)

    def bounds(self, topic: str, partition: int) -> Bounds:
        """Raises KafkaException."""
        low, high = self._consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_ASK_S)
        return Bounds(low, high)

    def committed(self, partition: int) -> int:
        """The group's offset in a partition of the input; 0 when it has none. Raises KafkaException."""
        (found,) = self._consumer.committed(
            [TopicPartition(self._settings.input_topic, partition)], timeout=_ASK_S
        )
        return max(0, found.offset)

    def verify_topics(self) -> str:
        """Check input and changelog; returns the id of the input topic. Raises TopicsUnfit, BrokersAway."""
        settings = self._settings
        started = monotonic()
        deadline = started + settings.startup_timeout_ms / 1_000
        while True:
            try:
                topics = self._consumer.list_topics(
                    timeout=min(_ASK_S, max(0.1, deadline - monotonic()))
                ).topics
                self._require_shape(topics)
                return self.topic_id(settings.input_topic)
            except TopicsUnfit:
                # Brokers tell each other of a new topic with some delay.
                if monotonic() > min(deadline, started + _NEW_TOPIC_S):
                    raise
                sleep(0.1)
            except KafkaException as error:
                if monotonic() > deadline:
                    raise BrokersAway(
                        f"brokers {settings.brokers!r}: no answer for {settings.startup_timeout_ms} ms "
                        f"({error}). Check the address and that they run."
                    ) from error

    def _require_shape(self, topics: Mapping[str, TopicMetadata]) -> None:
        wanted = self._settings.partitions
        for field in ("input_topic", "changelog_topic"):
            name = getattr(self._settings, field)
            found = len(topics[name].partitions) if name in topics else 0
            if found != wanted:
                raise TopicsUnfit(
                    f"{field} {name!r}: has {found} partitions, settings say {wanted}. "
                    "Create it so, or correct the setting; the number is fixed at birth."
                )

    def topic_id(self, name: str) -> str:
        """The id of a topic, which one created anew under its name does not have. Raises KafkaException."""
        admin = AdminClient({"bootstrap.servers": self._settings.brokers, "log_level": 3}, logger=_LOG)
        described = admin.describe_topics(TopicCollection([name]), request_timeout=_ASK_S)
        return str(described[name].result().topic_id)
