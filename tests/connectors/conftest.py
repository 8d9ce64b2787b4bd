"""Topics of one test on the shared broker, and a way to read them whole."""

from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from ops import topics
from ops.partitions.reading import Partition
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
        admin = AdminClient({"bootstrap.servers": settings.brokers, "log_level": 0})
        found: list[Message] = []
        for number in sorted(admin.list_topics(topic, timeout=10).topics[topic].partitions):
            with closing(Partition(settings.brokers, topic, number)) as partition:
                found += partition.read(*partition.bounds())
        return found

    return read
