"""The least that any program must do with these records: consume, decode, encode one reward, produce.

No state, no rules, no exactly-once: fastavro and confluent-kafka, at least once, tuned as well as we know.
Run as `python -m ops.bench.bare OUTPUT_TOPIC` until SIGTERM.
"""

import signal
import sys
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from ops.bench import clients
from ops.settings import get_settings
from schemas.registry import latest
from schemas.times import DAY
from schemas.topics import INPUTS

GROUP = "bare"
COMMIT_EVERY_S = 0.5
LINGER_MS = 5
RECORDS_A_CALL = 2_000
_FRAME = 5


def main(output_topic: str) -> None:
    """Run until SIGTERM; raises KafkaException when a record cannot be delivered."""
    settings = get_settings()
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    consumer = clients.consumer(settings.brokers, settings.topic_prefix + GROUP)
    producer = clients.producer(settings.brokers, linger_ms=LINGER_MS)
    consumer.subscribe([INPUTS.full_name(settings.topic_prefix)])
    reward = rewarder()
    produce, committed_at, pending = producer.produce, time.monotonic(), False
    while not ended:
        messages = consumer.consume(RECORDS_A_CALL, 0.05)
        for message in messages:
            value = reward(message.value() or b"")
            if value is not None:
                produce(output_topic, value, message.key())
        producer.poll(0)
        pending = pending or bool(messages)
        if pending and (not messages or time.monotonic() - committed_at > COMMIT_EVERY_S):
            producer.flush()
            consumer.commit(asynchronous=False)
            committed_at, pending = time.monotonic(), False
    consumer.close()


def rewarder() -> Callable[[bytes], bytes | None]:
    """From a framed Transaction to a framed CashbackCreated of it; None for any other record."""
    transaction, created = latest("Transaction"), latest("CashbackCreated")
    read_schema, write_schema = transaction.parsed(), created.parsed()
    read_head, write_head = _head(transaction.schema_id), _head(created.schema_id)

    def reward(value: bytes) -> bytes | None:
        if value[:_FRAME] != read_head:
            return None
        body = BytesIO(value)
        body.seek(_FRAME)
        out = BytesIO()
        out.write(write_head)
        schemaless_writer(out, write_schema, cashback(schemaless_reader(body, read_schema, None)))
        return out.getvalue()

    return reward


def cashback(datum: Any) -> dict[str, Any]:
    """One percent of any transaction, with ids of the true length."""
    external_id = datum["external_id"]
    digits = (external_id * 24)[:24]
    return {
        "event_id": f"evt_{digits}",
        "timestamp": datum["occurred_at"],
        "cashback_transaction_id": f"cbtx_{digits}",
        "amount": (datum["amount_minor"] or 0) // 100,
        "currency": datum["currency"],
        "transaction_id": f"tx_{digits}",
        "transaction_ref": external_id,
        "source": {"type": "campaign", "campaign_id": "one-percent"},
        "partner_id": datum["partner_id"],
        "member_id": datum["member_id"],
        "merchant_id": datum["merchant_id"],
        "program_id": "one-percent",
        "program_version": 1,
        "sequence": 1,
        "livemode": datum["livemode"],
        "clear_at": datum["occurred_at"] + 14 * DAY,
        "basket_minor": datum["amount_minor"],
        "employee_id": datum["employee_id"],
        "receipt_id": datum["receipt_id"],
        "webhook_id": datum["webhook_id"],
    }


def _head(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


if __name__ == "__main__":
    main(sys.argv[1])
