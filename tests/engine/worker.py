"""A worker over a toy fold, run as a process: `python -m tests.engine.worker '<settings as JSON>'`.

The fold counts records a key and sends one output a record: the key's running count and the record's value.
A record lost or applied twice shows in the outputs, in the counts, and in the changelog.
"""

from __future__ import annotations

import json
import struct
import sys

import structlog

from streams.engine import Engine, EngineSettings, InputRecord, Send, Store

COUNT = struct.Struct(">q")


class Counting:
    def __init__(self, partition: int, store: Store, send: Send, output_topic: str) -> None:
        self._store = store
        self._send = send
        self._output_topic = output_topic

    def restored(self) -> None:
        pass

    def advance(self, record: InputRecord) -> bool:
        return False

    def apply(self, record: InputRecord) -> None:
        key, value = record.key or b"", record.value or b""
        row = self._store.get(key)
        count = COUNT.pack(1 if row is None else COUNT.unpack(row)[0] + 1)
        self._store.put(key, count)
        self._send(self._output_topic, key, count + value)

    def before_commit(self) -> None:
        pass


def main() -> None:
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    options = json.loads(sys.argv[1])
    output_topic = options.pop("output_topic")
    settings = EngineSettings(**options)
    engine = Engine(
        settings, fold=lambda partition, store, send: Counting(partition, store, send, output_topic)
    )

    @engine.app.agent(engine.input)
    async def count(stream):  # type: ignore[no-untyped-def]
        async for batch in engine.batches(stream):
            await engine.take(batch)

    engine.run()


if __name__ == "__main__":
    main()
