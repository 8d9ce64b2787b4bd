"""Reading bytes from outside: our record, or `Undecodable`, soon, and without a large amount of memory."""

import time
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from fastavro import schemaless_writer
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.codec import decode, encode
from schemas.errors import Undecodable
from schemas.registry import latest, locked_schemas
from tests.schemas.test_golden import GOLDEN, cases

GOLDEN_VALUES = [parameters.values[2] for parameters in cases()]
IDS = [schema.schema_id for schema in locked_schemas()]
SECONDS_MAX = 20.0  # about two alone, with every allocation traced


def head(record: str) -> bytes:
    return b"\0" + latest(record).schema_id.to_bytes(4, "big")


def zigzag(number: int) -> bytes:
    rest, out = (number << 1) ^ (number >> 63), bytearray()
    while rest > 127:
        out.append(rest & 127 | 128)
        rest >>= 7
    return bytes([*out, rest])


def string(text: str) -> bytes:
    return zigzag(len(text.encode())) + text.encode()


PROGRAM_UP_TO_MERCHANTS = head("Program") + string("p") + zigzag(1) + zigzag(0) + zigzag(0) + zigzag(1)
DECISION_UP_TO_DECISIONS = head("Decision") + zigzag(0) + string("") * 5

BOMBS: dict[str, Callable[[], bytes]] = {
    "a string that claims four exabytes": lambda: head("Transaction") + zigzag(2**62) + b"abc",
    "a string of negative length": lambda: head("Transaction") + zigzag(-1) + b"abc",
    "an array that claims 2^60 items": lambda: PROGRAM_UP_TO_MERCHANTS + zigzag(2**60) + b"\0" * 1000,
    "an array block of negative size": lambda: (
        PROGRAM_UP_TO_MERCHANTS + zigzag(-(2**63)) + zigzag(5) + b"\0" * 100
    ),
    "a number that never ends": lambda: head("Tick") + b"\xff" * 1_000_000,
    "as many empty array items as fit": lambda: PROGRAM_UP_TO_MERCHANTS + zigzag(10**6) + b"\0" * 10**6,
    "as many small records as fit": lambda: DECISION_UP_TO_DECISIONS + zigzag(200_000) + b"\0" * 10**6,
    "endless empty blocks": lambda: PROGRAM_UP_TO_MERCHANTS + (zigzag(-1) + zigzag(1) + b"\0") * 300_000,
    "more than a message may hold": lambda: b"\0" * (1024 * 1024 + 1),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_soon_and_in_bounded_memory(bomb: str) -> None:
    value = BOMBS[bomb]()
    started = time.monotonic()
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable):
            decode(value)
        assert tracemalloc.get_traced_memory()[1] < 200 * 1024 * 1024
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < SECONDS_MAX


@pytest.mark.parametrize("value", GOLDEN_VALUES[::3], ids=lambda value: value.hex()[:24])
def test_every_truncation_of_a_golden_record_is_undecodable(value: bytes) -> None:
    for length in range(len(value)):
        with pytest.raises(Undecodable):
            decode(value[:length])


@pytest.mark.parametrize("value", GOLDEN_VALUES[::3], ids=lambda value: value.hex()[:24])
def test_a_byte_too_many_is_undecodable(value: bytes) -> None:
    with pytest.raises(Undecodable, match="1 bytes after"):
        decode(value + b"\0")


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=300))
@example(b"")
def test_any_bytes_are_a_record_or_undecodable(value: bytes) -> None:
    decoded_or_refused(value)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(IDS), st.binary(max_size=300))
def test_any_bytes_under_a_known_id_are_a_record_or_undecodable(schema_id: int, body: bytes) -> None:
    decoded_or_refused(b"\0" + schema_id.to_bytes(4, "big") + body)


@settings(max_examples=1000, deadline=None)
@given(st.data())
def test_a_mutated_golden_record_is_a_record_or_undecodable(data: st.DataObject) -> None:
    value = bytearray(data.draw(st.sampled_from(GOLDEN_VALUES)))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(value) - 1))
        value[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=12))
        value = value or bytearray(b"\0")
    decoded_or_refused(bytes(value))


def decoded_or_refused(value: bytes) -> None:
    refusal = None
    try:
        record, datum = decode(value)
    except Undecodable as refused:
        refusal = refused
    if refusal:
        assert refusal.problem
        assert refusal.remedy
        assert len(str(refusal)) < 1_000
    else:
        assert record in {schema.record for schema in locked_schemas()}
        assert set(datum) == {field["name"] for field in latest(record).document()["fields"]}


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "shorter than the five bytes"),
        (b"\0\0\0\0", "shorter than the five bytes"),
        (b'{"partner_id": 1}', "first byte is 123, not 0"),
        (b"\0\xff\xff\xff\xff\0", "schema id 4294967295 is not known here"),
    ],
)
def test_what_is_not_framed_says_so(value: bytes | None, problem: str) -> None:
    with pytest.raises(Undecodable, match=problem):
        decode(value)


def test_an_older_version_is_read_as_the_newest() -> None:
    for schema in locked_schemas():
        newest = latest(schema.record).document()["fields"]
        path = GOLDEN / f"{schema.record}.{schema.version}.json"
        assert path.exists()
        out = BytesIO()
        out.write(b"\0" + schema.schema_id.to_bytes(4, "big"))
        datum = next(p.values[1] for p in cases() if p.values[0] == schema)
        schemaless_writer(out, schema.parsed(), datum)
        assert set(decode(out.getvalue())[1]) == {field["name"] for field in newest}


def test_times_are_plain_integers_of_microseconds() -> None:
    _, datum = decode(encode("Tick", {"emitted_at": 1_705_314_600_123_456}))
    assert datum == {"emitted_at": 1_705_314_600_123_456}
    assert type(datum["emitted_at"]) is int


@pytest.mark.parametrize(
    ("record", "datum", "error"),
    [
        ("Tick", {"emitted_at": "now"}, TypeError),
        ("Tick", {}, ValueError),
        ("Tick", {"emitted_at": 2**63}, (ValueError, OverflowError)),
        ("Nothing", {}, KeyError),
    ],
)
def test_a_datum_that_does_not_fit_is_a_fault_of_ours_and_never_bytes(
    record: str, datum: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        encode(record, datum)
