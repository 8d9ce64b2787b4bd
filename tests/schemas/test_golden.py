"""Bytes that lie in Kafka for ever: each locked version has some here, and they keep their meaning."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastavro import schemaless_writer

from schemas.codec import decode, encode
from schemas.registry import LockedSchema, latest, locked_schemas

GOLDEN = Path(__file__).parent / "golden"
LOCKED = {f"{schema.record}.{schema.version}": schema for schema in locked_schemas()}


def cases() -> list[Any]:
    return [
        pytest.param(
            LOCKED[path.stem], case["datum"], bytes.fromhex(case["hex"]), id=f"{path.stem} {case['says']}"
        )
        for path in sorted(GOLDEN.iterdir())
        for case in json.loads(path.read_text())
    ]


def body(schema: LockedSchema, datum: dict[str, Any]) -> bytes:
    out = BytesIO()
    schemaless_writer(out, schema.parsed(), datum)
    return out.getvalue()


def test_every_locked_version_has_golden_bytes_and_no_golden_file_is_orphaned() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == set(LOCKED)


def test_the_wire_format_is_what_confluent_and_avro_say() -> None:
    # Magic 0, id 4 in four bytes, then 1 000 000 as zigzag varint: 2 000 000 = 0b1111010_0001001_0000000
    assert encode("Tick", {"emitted_at": 1_000_000}) == bytes.fromhex("00 00000004 80897a")


@pytest.mark.parametrize(("schema", "datum", "value"), cases())
def test_golden_bytes_decode_to_what_was_written(
    schema: LockedSchema, datum: dict[str, Any], value: bytes
) -> None:
    record, decoded = decode(value)
    # A later version may lack or add fields; what both have is unchanged.
    assert record == schema.record
    assert _common(decoded, datum) == _common(datum, decoded)


def _common(one: Any, other: Any) -> Any:
    """What of `one` the other has too, down to the records in lists."""
    if isinstance(one, dict):
        return {name: _common(one[name], other[name]) for name in one if name in other}
    if isinstance(one, list):
        return [_common(item, its) for item, its in zip(one, other, strict=True)]
    return one


@pytest.mark.parametrize(("schema", "datum", "value"), cases())
def test_golden_data_encodes_to_the_same_bytes(
    schema: LockedSchema, datum: dict[str, Any], value: bytes
) -> None:
    assert value[0] == 0
    assert int.from_bytes(value[1:5], "big") in (schema.schema_id, *schema.former_ids)
    assert body(schema, datum) == value[5:]
    if latest(schema.record) == schema:
        assert encode(schema.record, datum)[5:] == value[5:]


@pytest.mark.parametrize("schema", LOCKED.values(), ids=LOCKED)
def test_golden_data_names_all_fields_and_leaves_each_nullable_one_out_once(
    schema: LockedSchema,
) -> None:
    text = (GOLDEN / f"{schema.record}.{schema.version}.json").read_text()
    data = [case["datum"] for case in json.loads(text)]
    fields = {field["name"] for field in schema.document()["fields"]}
    assert all(set(datum) == fields for datum in data)
    for field in schema.document()["fields"]:
        if isinstance(field["type"], list):
            assert any(datum[field["name"]] is None for datum in data), f"{field['name']} is never null"
