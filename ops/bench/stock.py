"""Stock Faust on the same records, as its documentation shows it: decode, count in a table, send.

Default settings, but for the web server (off: its port may be taken) and the directory of its files.
Run as `python -m ops.bench.stock OUTPUT_TOPIC` until SIGTERM.
"""

import sys
import tempfile
from typing import Any

import faust
from faust.serializers.codecs import Codec

from ops.bench.bare import cashback
from ops.settings import get_settings
from schemas.codec import decode, encode
from schemas.topics import INPUTS

GROUP = "stock"


class Avro(Codec):
    """Our wire format as a Faust codec."""

    def _loads(self, value: bytes) -> Any:
        return decode(value)[1]

    def _dumps(self, datum: Any) -> bytes:
        return encode("CashbackCreated", datum)


def build(output_topic: str, directory: str) -> faust.App:
    """The app: one agent, one table, one output."""
    settings = get_settings()
    app = faust.App(
        settings.topic_prefix + GROUP,
        broker=f"kafka://{settings.brokers}",
        topic_partitions=settings.partitions,
        web_enabled=False,
        datadir=directory,
    )
    inputs = app.topic(INPUTS.full_name(settings.topic_prefix), key_serializer="raw", value_serializer=Avro())
    outputs = app.topic(output_topic, key_serializer="raw", value_serializer=Avro())
    rewards = app.Table("rewards", default=int)

    @app.agent(inputs)
    async def reward(stream: Any) -> None:
        async for datum in stream:
            if "external_id" in datum and "amount_minor" in datum:
                event = cashback(datum)
                rewards[event["member_id"]] += event["amount"]
                await outputs.send(key=event["member_id"].encode(), value=event)

    return app


def main(output_topic: str) -> None:
    """Run until SIGTERM."""
    with tempfile.TemporaryDirectory() as directory:
        worker = faust.Worker(build(output_topic, directory), loglevel="warn")
        worker.execute_from_commandline()


if __name__ == "__main__":
    main(sys.argv[1])
