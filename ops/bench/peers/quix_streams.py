"""The reference step on Quix Streams, exactly once. Runs in its own environment and imports nothing of ours.

Consumer and producer are given the larger batches that the other programs have.
"""

import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from quixstreams import Application
from quixstreams.state import State

AVRO = Path(__file__).with_name("avro")
HEAD_BYTES = 5
REWARD_HEAD = b"\0" + (2).to_bytes(HEAD_BYTES - 1, "big")


def schema(name: str) -> Any:
    """A schema of the reference step."""
    return parse_schema(json.loads((AVRO / f"{name}.1.avsc").read_text()))


def main() -> None:
    """Run until SIGTERM."""
    brokers, group, input_topic, output_topic, _, directory, commit_interval_ms = sys.argv[1:8]
    app = Application(
        broker_address=brokers,
        consumer_group=group,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        state_dir=directory,
        commit_interval=int(commit_interval_ms) / 1_000,
        loglevel="WARNING",
        producer_extra_config={
            "linger.ms": 50,
            "batch.size": 262_144,
            "queue.buffering.max.messages": 1_000_000,
            "retry.backoff.ms": 5,
        },
    )
    inputs = app.topic(input_topic, key_deserializer="bytes", value_deserializer="bytes")
    outputs = app.topic(output_topic, key_serializer="bytes", value_serializer="bytes")
    reader, writer = schema("Payment"), schema("Reward")

    def reward(value: bytes, state: State) -> bytes:
        body = BytesIO(value)
        body.seek(HEAD_BYTES)
        payment: Any = schemaless_reader(body, reader, None)
        count, total_minor = state.get("spend", (0, 0))
        count, total_minor = count + 1, total_minor + payment["amount_minor"]
        state.set("spend", (count, total_minor))
        out = BytesIO()
        out.write(REWARD_HEAD)
        made = {
            "payment_id": payment["payment_id"],
            "member_id": payment["member_id"],
            "amount_minor": payment["amount_minor"],
            "reward_minor": payment["amount_minor"] // 100,
            "total_minor": total_minor,
            "count": count,
            "paid_at": payment["paid_at"],
        }
        schemaless_writer(out, writer, made)
        return out.getvalue()

    app.dataframe(inputs).apply(reward, stateful=True).to_topic(outputs)
    app.run()


if __name__ == "__main__":
    main()
