"""The brokers: their clients, and questions that are not about records: topics, log bounds, group handle."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, TopicMetadata

from streams.engine.settings import EngineSettings

_LOG = logging.getLogger("streams.engine.kafka")
_ASK_S = 10.0
_ASK_AGAIN_S = 3.0
_NEW_TOPIC_S = 3.0
_COORDINATOR_S = 30.0
_COORDINATOR_AWAY = frozenset(
    {
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError._TIMED_OUT,
    }
)
_LEADER_MOVED = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._TRANSPORT,
        KafkaError._TIMED_OUT,
    }
)
"""Answers while a partition changes brokers: to leave for them would only make the change longer."""


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
        self._client: dict[str, Any] = {
            "bootstrap.servers": settings.brokers,
            "log_level": 3,
            # The default grows to 10 s: a broker that is back would stay unknown for that long.
            "reconnect.backoff.max.ms": 1_000,
        }
        self._consumer = self.consumer(
            {
                "group.id": settings.app_id,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )

    def producer(self, config: dict[str, Any]) -> Producer:
        """A producer of these brokers. A simulation hands out its own here."""
        return Producer({**self._client, **config}, logger=_LOG)

    def consumer(self, config: dict[str, Any]) -> Consumer:
        """A consumer of these brokers, in no group."""
        return Consumer({**self._client, **config}, logger=_LOG)

    def bounds(self, topic: str, partition: int) -> Bounds:
        """Raises KafkaException."""
        place, consumer = TopicPartition(topic, partition), self._consumer
        deadline = monotonic() + _ASK_S
        while True:
            try:
                return Bounds(*consumer.get_watermark_offsets(place, timeout=_ASK_AGAIN_S))
            except KafkaException as error:
                if error.args[0].code() not in _LEADER_MOVED or monotonic() > deadline:
                    raise
            sleep(0.1)
            # One that knew the former leader may ask with its epoch for ever (librdkafka 2.16).
            consumer = self.consumer({"group.id": self._settings.app_id, "isolation.level": "read_committed"})

    def committed(self, partition: int) -> int:
        """The group's offset in a partition of the input; 0 when it has none. Raises KafkaException."""
        place = TopicPartition(self._settings.input_topic, partition)
        deadline = monotonic() + _COORDINATOR_S
        while True:
            try:
                (found,) = self._consumer.committed([place], timeout=_ASK_S)
                return max(0, found.offset)
            except KafkaException as error:
                # A coordinator that moves or loads says so; the client leaves it to us to ask again.
                if error.args[0].code() not in _COORDINATOR_AWAY or monotonic() > deadline:
                    raise
                sleep(0.1)

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
        admin = AdminClient(self._client, logger=_LOG)
        described = admin.describe_topics(TopicCollection([name]), request_timeout=_ASK_S)
        return str(described[name].result().topic_id)
