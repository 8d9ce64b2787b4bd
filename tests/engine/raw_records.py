"""Records no ordinary client writes: header keys that are not UTF-8."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import aiokafka
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

RawHeaders = Sequence[tuple[bytes, bytes]]
RawRecord = tuple[bytes | None, bytes | None, RawHeaders]
"""Key, value and headers with the bytes of their keys."""


class _Key(str):
    """A header key whose bytes are given."""

    def __new__(cls, content: bytes) -> _Key:
        key = super().__new__(cls, content.decode("utf-8", "replace"))
        key.content = content
        return key

    content: bytes

    def encode(self, *_: str) -> bytes:
        return self.content


def batch_builder(records: Sequence[RawRecord], *, compression: int = 0, producer: int = -1) -> object:
    """aiokafka's builder of one record batch, filled; `producer`: id of its transactional producer."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, int(producer >= 0), producer, -1, -1, 10**7)
    for at, (key, value, headers) in enumerate(records):
        builder.append(at, 1_000 + at, key, value, [(_Key(name), content) for name, content in headers])
    return builder


def append_raw(brokers: str, topic: str, partition: int, records: Sequence[RawRecord]) -> None:
    """Append the records to a topic in one batch."""

    async def append() -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=brokers) as producer:
            batch = producer.create_batch()
            batch._builder, batch._relative_offset = batch_builder(records), len(records)
            await (await producer.send_batch(batch, topic, partition=partition))

    asyncio.run(append())
