"""Kafka's clients as the bare loops use them: at least once, tuned as well as we know."""

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer


def consumer(brokers: str, group: str) -> Consumer:
    """From the beginning of the log; whoever has it commits."""
    return Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 65_536,
        }
    )


def producer(brokers: str, *, linger_ms: int) -> Producer:
    """Its poll and flush raise KafkaException when a record could not be delivered."""
    return Producer(
        {
            "bootstrap.servers": brokers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": linger_ms,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "on_delivery": _raise_failure,
        }
    )


def _raise_failure(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        raise KafkaException(error)
