"""Topics of one test on the shared broker, and a way to read them whole."""

from collections.abc import Callable

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, TopicPartition

from ops import topics
from ops.settings import Settings

ReadAll = Callable[[str], list[Message]]


@pytest.fixture
def settings(broker: str, topic_prefix: str) -> Settings:
    """Settings of a broker whose topics are there, with three partitions and history's clock."""
    made = Settings(brokers=broker, topic_prefix=topic_prefix, partitions=3, clock="event")
    topics.ensure(made)
    return made


@pytest.fixture
def read_all(settings: Settings) -> ReadAll:
    """All records of a topic, partition after partition."""

    def read(name: str) -> list[Message]:
        topic = settings.topic_prefix + name
        consumer = Consumer({"bootstrap.servers": settings.brokers, "group.id": "reads-all", "log_level": 0})
        found: list[Message] = []
        for partition in consumer.list_topics(topic, timeout=10).topics[topic].partitions:
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
            consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING)])
            found += consumer.consume(end, timeout=10) if end else []
        consumer.close()
        return found

    return read
