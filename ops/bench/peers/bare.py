"""The reference step as a bare loop: confluent-kafka, at least once, tuned as well as we know.

State in a dict and in a changelog, coalesced between commits, as the engine's is. What it does not do:
restore, rebalance, exactly once, fail safely. `… compiled` or `… fastavro` names the codec.
"""

import signal
import time

from ops.bench import clients
from ops.bench.peers.step import Place, step_with

RECORDS_A_CALL = 2_000
LINGER_MS = 50
"""As the other programs of the comparison have it."""


def main() -> None:
    """Run until SIGTERM; raises KafkaException when a record cannot be delivered."""
    place, (codec,) = Place.of_command_line()
    step = step_with(codec)
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    consumer = clients.consumer(place.brokers, place.group)
    producer = clients.producer(place.brokers, linger_ms=LINGER_MS)
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


if __name__ == "__main__":
    main()
