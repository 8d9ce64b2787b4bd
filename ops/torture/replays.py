"""Parts of the input log, to be appended once more."""

from random import Random
from typing import Any

from confluent_kafka import KafkaException, TopicPartition

from ops.settings import Settings
from ops.torture.load import Outgoing
from ops.torture.looking import ASK_S, reader
from ops.torture.poison import HEADER
from schemas.topics import INPUTS

_READ_S = 1.0


def records_of(settings: Settings, count: int, *, seed: str) -> list[Outgoing]:
    """About `count` records from a random place of each partition, as they were but for their clock."""
    rng, topic = Random(seed), INPUTS.full_name(settings.topic_prefix)
    consumer = reader(settings.brokers, "read_committed")
    taken: list[Outgoing] = []
    try:
        for partition in range(settings.partitions):
            wanted = count // settings.partitions
            _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ASK_S)
            start = rng.randint(0, max(0, end - wanted))
            consumer.assign([TopicPartition(topic, partition, start)])
            for message in consumer.consume(wanted, _READ_S):
                headers: Any = message.headers() or ()
                if message.error() is None and message.key() is not None:
                    kept = tuple((name, value) for name, value in headers if name == HEADER)
                    taken.append(Outgoing(message.key(), message.value(), kept, partition))
    except KafkaException:
        return taken
    finally:
        consumer.close()
    return taken
