"""Confluent wire format: a zero byte, the schema's id in four bytes, the Avro datum."""

from io import BytesIO
from typing import Any

from fastavro import schemaless_reader, schemaless_writer

from schemas.errors import Undecodable
from schemas.registry import locked_schemas

Datum = dict[str, Any]

_HEAD = 5
_SIZE_MAX = 1024 * 1024

_locked = locked_schemas()
_newest = {schema.record: schema.parsed() for schema in sorted(_locked, key=lambda schema: schema.version)}
_readers = {
    b"\0" + schema.schema_id.to_bytes(4, "big"): (schema.record, schema.parsed(), _newest[schema.record])
    for schema in _locked
}
_writers = {
    schema.record: (b"\0" + schema.schema_id.to_bytes(4, "big"), _newest[schema.record])
    for schema in sorted(_locked, key=lambda schema: schema.version)
}
# A reader schema that equals the writer's costs a resolution for nothing.
_readers = {
    head: (record, writer, None if writer == newest else newest) for head, (record, writer, newest) in _readers.items()
}


def encode(record: str, datum: Datum) -> bytes:
    """Framed bytes of `datum` under the newest version of `record`; times are microseconds.

    Raises `KeyError` for an unknown record, `ValueError`/`TypeError` when the datum does not fit: a fault of ours.
    """
    head, schema = _writers[record]
    out = BytesIO()
    out.write(head)
    schemaless_writer(out, schema, datum)
    return out.getvalue()


def decode(value: bytes | None) -> tuple[str, Datum]:
    """Record name and datum, read as its newest version. Raises `Undecodable` and nothing else."""
    if value is None or len(value) < _HEAD:
        raise Undecodable("value", "shorter than the five bytes of the wire format", "frame it: 0, schema id, Avro")
    if len(value) > _SIZE_MAX:
        raise Undecodable("value", f"{len(value)} bytes, more than {_SIZE_MAX}", "send one small record a message")
    reader = _readers.get(value[:_HEAD])
    if reader is None:
        raise _unknown_head(value)
    record, writer_schema, reader_schema = reader
    body = BytesIO(value)
    body.seek(_HEAD)
    try:
        datum = schemaless_reader(body, writer_schema, reader_schema)  # type: ignore[call-arg]
    except Exception as error:  # fastavro raises what it stumbles over: EOFError, IndexError, UnicodeDecodeError …
        raise Undecodable(
            "value", f"not a {record}: {type(error).__name__} {error}".rstrip(), "encode it with the schema of its id"
        ) from error
    if body.tell() != len(value):
        raise Undecodable("value", f"{len(value) - body.tell()} bytes after the {record}", "send one record a message")
    return record, datum  # type: ignore[return-value]


def _unknown_head(value: bytes) -> Undecodable:
    if value[0] != 0:
        return Undecodable("value", f"first byte is {value[0]}, not 0", "use the Confluent wire format")
    schema_id = int.from_bytes(value[1:_HEAD], "big")
    return Undecodable("value", f"schema id {schema_id} is not known here", "use an id that `cashback schemas` lists")
