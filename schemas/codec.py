"""Confluent wire format: a zero byte, the schema's id in four bytes, the Avro datum."""

from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from schemas.errors import Undecodable
from schemas.registry import LockedSchema, locked_schemas

Datum = dict[str, Any]

_HEAD = 5
_SIZE_MAX = 1024 * 1024
_FRAMING = "use the Confluent wire format: a zero byte, the schema id in four, the Avro datum"


def _head(schema_id: int) -> bytes:
    return b"\0" + schema_id.to_bytes(4, "big")


_by_version = sorted(locked_schemas(), key=lambda schema: schema.version)
_newest = {schema.record: schema.parsed() for schema in _by_version}
_writers = {schema.record: (_head(schema.schema_id), _newest[schema.record]) for schema in _by_version}


def _reader(schema: LockedSchema) -> tuple[str, Any, Any]:
    writer, newest = schema.parsed(), _newest[schema.record]
    # A reader schema that equals the writer's costs a resolution for nothing.
    return schema.record, writer, None if writer == newest else newest


_readers = {
    _head(schema_id): _reader(schema)
    for schema in _by_version
    for schema_id in (schema.schema_id, *schema.former_ids)
}


def encode(record: str, datum: Datum) -> bytes:
    """Framed bytes of `datum` under the newest version of `record`; times are microseconds.

    Raises `KeyError` for an unknown record, `ValueError` or `TypeError` when the datum does not fit: a fault
    of ours.
    """
    head, schema = _writers[record]
    out = BytesIO()
    out.write(head)
    schemaless_writer(out, schema, datum)
    return out.getvalue()


def decode(value: bytes | None) -> tuple[str, Datum]:
    """Record name and datum, read as its newest version. Raises `Undecodable` and nothing else."""
    if value is None or len(value) < _HEAD:
        raise Undecodable("value", "shorter than the five bytes of the wire format", _FRAMING)
    if len(value) > _SIZE_MAX:
        problem = f"{len(value)} bytes, more than {_SIZE_MAX}"
        raise Undecodable("value", problem, "send one small record a message")
    reader = _readers.get(value[:_HEAD])
    if reader is None:
        raise _unknown_head(value)
    record, writer_schema, reader_schema = reader
    body = BytesIO(value)
    body.seek(_HEAD)
    try:
        datum = schemaless_reader(body, writer_schema, reader_schema)
    except (
        Exception
    ) as error:  # fastavro raises what it stumbles over: EOFError, IndexError, UnicodeDecodeError
        problem = f"not a {record}: {type(error).__name__} {error}".rstrip()
        raise Undecodable("value", problem, "encode it with the schema of its id") from error
    if body.tell() != len(value):
        surplus = len(value) - body.tell()
        raise Undecodable("value", f"{surplus} bytes after the {record}", "send one record a message")
    return record, datum  # type: ignore[return-value]


def _unknown_head(value: bytes) -> Undecodable:
    if value[0] != 0:
        return Undecodable("value", f"first byte is {value[0]}, not 0", _FRAMING)
    problem = f"schema id {int.from_bytes(value[1:_HEAD], 'big')} is not known here"
    return Undecodable("value", problem, "use an id that `cashback schemas` lists")
