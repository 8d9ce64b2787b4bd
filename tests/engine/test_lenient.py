"""Header keys that are not UTF-8: whatever aiokafka thinks of them, no record is lost or read twice."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import TopicPartition

from streams.engine.lenient import FetchedBytes, LenientPartitionRecords
from tests.engine.raw_records import append_raw, batch_builder
from tests.engine.stage import PARTITIONS, Stage
from tests.engine.worker import COUNT

GZIP = 1
BAD = b"\xffkey"


@pytest.fixture
def state() -> str:
    """The store plays no part here."""
    return "memory"


def batch(base: int, names: list[bytes], compression: int = 0, producer: int = -1) -> bytes:
    """A record batch as it lies in a log: one record a name, its only header."""
    records = [(b"k%d" % (base + at), b"value", [(name, b"content")]) for at, name in enumerate(names)]
    builder: Any = batch_builder(records, compression=compression, producer=producer)
    found = bytearray(builder.build())
    found[:8] = base.to_bytes(8, "big")
    return bytes(found)


def read(fetched: bytes, start: int, aborted: list[tuple[int, int]] | None = None) -> list[Any]:
    records = LenientPartitionRecords(
        TopicPartition("t", 0), FetchedBytes(fetched), aborted, start, None, None, False, 1
    )
    taken = records.take()
    assert records.next_fetch_offset > taken[-1].offset
    return taken


@pytest.mark.parametrize("compression", [0, GZIP])
@pytest.mark.parametrize("bad_at", [0, 3, 5, 7])
def test_every_record_comes_once_and_the_bad_key_is_told_apart(bad_at: int, compression: int) -> None:
    names = [BAD if at == bad_at else f"clé-{at}".encode() for at in range(8)]
    fetched = batch(0, names[:3], compression) + batch(3, names[3:6], compression) + batch(6, names[6:])
    records = read(fetched, start=0)
    assert [record.offset for record in records] == list(range(8))
    assert [record.key for record in records] == [b"k%d" % at for at in range(8)]
    assert [record.timestamp - 1_000 for record in records] == [0, 1, 2, 0, 1, 2, 0, 1]
    expected = ["\udcffkey" if at == bad_at else f"clé-{at}" for at in range(8)]
    assert [record.headers for record in records] == [[(name, b"content")] for name in expected]


def test_a_fetch_that_begins_in_mid_batch_stays_so() -> None:
    assert [record.offset for record in read(batch(0, [b"a", b"b", BAD, b"c"]), start=1)] == [1, 2, 3]


def test_records_of_an_aborted_transaction_stay_unseen_when_the_fetch_is_parsed_again() -> None:
    fetched = batch(0, [b"a"], producer=7) + batch(1, [b"b", BAD], producer=8) + batch(3, [b"c"], producer=7)
    assert [record.offset for record in read(fetched, start=0, aborted=[(7, 0)])] == [1, 2]


def test_a_worker_reads_on_past_header_keys_that_are_not_utf8(stage: Stage) -> None:
    stage.send(100)
    for partition in range(PARTITIONS):
        bad = (b"stranger-%d" % partition, b"value", [(b"fine", b"1"), (b"\xff\xfe", b"2")])
        append_raw(stage.brokers, stage.input_topic, partition, [bad, bad])
    stage.send(100)
    stage.start()
    stage.sees(200 + 2 * PARTITIONS)
    for partition in range(PARTITIONS):
        key = b"stranger-%d" % partition
        assert stage.outputs(key) == [COUNT.pack(count) + b"value" for count in (1, 2)]
    stage.send(50)
    stage.sees(250 + 2 * PARTITIONS)
