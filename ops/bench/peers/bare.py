"""The reference step as a bare loop: confluent-kafka, at least once, tuned as well as we know.

State in a dict and in a changelog, coalesced between commits, as the engine's is. What it does not do:
restore, rebalance, exactly once, fail safely. `… compiled` or `… fastavro` names the codec.
"""

import signal
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer

from ops.bench.peers.step import Place, step_with

RECORDS_A_CALL = 2_000


def main() -> None:
    """Run until SIGTERM; raises KafkaException when a record cannot be delivered."""
    place, (codec,) = Place.of_command_line()
    step = step_with(codec)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    consumer, producer = _consumer(place), _producer(place)
    consumer.subscribe([place.input_topic])
    produce, output, changelog = producer.produce, place.output_topic, place.changelog_topic
    rows: dict[bytes, bytes] = {}
    dirty: dict[bytes, bytes] = {}
    committed_at, interval_s = time.monotonic(), place.commit_interval_ms / 1_000
    while not ended:
        for message in consumer.consume(RECORDS_A_CALL, 0.05):
            key = message.key() or b""
            row, reward = step(message.value() or b"", rows.get(key))
            rows[key] = dirty[key] = row
            produce(output, reward, key)
        producer.poll(0)
        if dirty and time.monotonic() - committed_at > interval_s:
            for key, row in dirty.items():
                produce(changelog, row, key)
            dirty.clear()
            producer.flush()
            consumer.commit(asynchronous=False)
            committed_at = time.monotonic()
    consumer.close()


def _consumer(place: Place) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": place.brokers,
            "group.id": place.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.max.messages.kbytes": 65_536,
        }
    )


def _producer(place: Place) -> Producer:
    return Producer(
        {
            "bootstrap.servers": place.brokers,
            "enable.idempotence": True,
            "partitioner": "murmur2_random",
            "linger.ms": 50,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 1_000_000,
            "delivery.report.only.error": True,
            "on_delivery": _raise_failure,
        }
    )


def _raise_failure(error: KafkaError | None, _: Message) -> None:
    if error is not None:
        raise KafkaException(error)


if __name__ == "__main__":
    main()
