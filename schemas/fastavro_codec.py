"""The ordinary codec: fastavro, made as strict as the compiled one without reading everything twice.

By itself fastavro takes some bytes and data that it should not: branches and symbols counted from the end,
any byte but zero for true, numbers spelt too long or too large, blocks of a wrong size; on the way out a
boolean for a number, anything for a boolean. What one process refuses and another takes would make two
histories of one log, so:

- it reads with a schema in which branches, symbols and booleans are looked up in dicts, where nothing but
  what is there is found (`_reading`);
- ints, and all it writes but strings and enums, pass a check that hangs on a logical type (`_marked`);
- what could hide a number spelt too long is looked through once more, exactly (`check`), as is every record
  with arrays.
"""

import re
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any, NamedTuple

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.read import LOGICAL_READERS
from fastavro.write import LOGICAL_WRITERS

from schemas.compiled.layout import Layout, UnknownFeature, layout_of
from schemas.errors import Undecodable
from schemas.registry import LockedSchema

Datum = dict[str, Any]

SIZE_MAX = 1024 * 1024
"""Bytes of the largest message that is looked into."""

_HEAD = 5
_FRAMING = "use the Confluent wire format: a zero byte, the schema id in four, the Avro datum"


class FastavroCodec:
    """`encode` and `decode` of `schemas.codec`; also makes the refusals of the compiled codec."""

    def __init__(self, schemas: Iterable[LockedSchema]) -> None:
        by_version = sorted(schemas, key=lambda schema: schema.version)
        newest = {schema.record: schema for schema in by_version}
        self._writers = {record: (head(one.schema_id), _writing(one)) for record, one in newest.items()}
        self._fields = {
            record: tuple([field["name"] for field in one.parsed()["fields"]])
            for record, one in newest.items()
        }
        self._readers = {
            head(schema_id): _reader(schema, newest[schema.record])
            for schema in by_version
            for schema_id in (schema.schema_id, *schema.former_ids)
        }

    def encode(self, record: str, datum: Datum) -> bytes:
        """As `schemas.codec.encode`."""
        first, schema = self._writers[record]
        out = BytesIO()
        out.write(first)
        try:
            schemaless_writer(out, schema, datum, disable_tuple_notation=True)
        except (AttributeError, OverflowError) as error:
            raise ValueError(f"not a {record}: {error}") from error
        return out.getvalue()

    def decode(self, value: bytes | None) -> tuple[str, Datum]:
        """As `schemas.codec.decode`."""
        if value is None or len(value) < _HEAD:
            raise Undecodable("value", "shorter than the five bytes of the wire format", _FRAMING)
        if len(value) > SIZE_MAX:
            problem = f"{len(value)} bytes, more than {SIZE_MAX}"
            raise Undecodable("value", problem, "send one small record a message")
        reader = self._readers.get(value[:_HEAD])
        if reader is None:
            raise _unknown_head(value)
        body = BytesIO(value)
        body.seek(_HEAD)
        try:
            datum = schemaless_reader(body, reader.schema, reader.newest)
            if reader.checked and (reader.always or _suspect(value, _HEAD)):
                check(reader.checked, value, _HEAD)
        except (
            Exception
        ) as error:  # fastavro raises what it stumbles over: EOFError, IndexError, UnicodeDecodeError
            raise self.refusal(reader.record, error) from error
        if body.tell() != len(value):
            raise self.surplus(reader.record, len(value) - body.tell())
        return reader.record, datum  # type: ignore[return-value]

    def decode_fields(self, value: bytes | None) -> tuple[str, tuple[Any, ...], bool]:
        """As `schemas.codec.decode_fields`; calls nothing plain, so that everything gets the closer look."""
        record, datum = self.decode(value)
        return record, tuple([datum[name] for name in self._fields[record]]), False

    def refusal(self, record: str, error: Exception) -> Undecodable:
        """Bytes that are not the record their id says."""
        problem = f"not a {record}: {type(error).__name__} {error}".rstrip()
        return Undecodable("value", problem, "encode it with the schema of its id")

    def surplus(self, record: str, size: int) -> Undecodable:
        """`size` bytes too many."""
        return Undecodable("value", f"{size} bytes after the {record}", "send one record a message")


class Malformed(Exception):
    """Bytes that do not follow the layout."""


def head(schema_id: int) -> bytes:
    """The first five bytes of a value."""
    return b"\0" + schema_id.to_bytes(4, "big")


def known_layout(schema: LockedSchema) -> Layout | None:
    """The layout of a schema; None where fastavro must do alone."""
    try:
        return layout_of(schema.parsed())
    except UnknownFeature:
        return None


def _unknown_head(value: bytes) -> Undecodable:
    if value[0] != 0:
        return Undecodable("value", f"first byte is {value[0]}, not 0", _FRAMING)
    problem = f"schema id {int.from_bytes(value[1:_HEAD], 'big')} is not known here"
    return Undecodable("value", problem, "use an id that `cashback schemas` lists")


class _Reader(NamedTuple):
    record: str
    schema: Any
    newest: Any  # to resolve to; None where it is the same, which spares a resolution for nothing
    checked: Layout | None
    always: bool  # checked even where nothing is suspect


def _reader(schema: LockedSchema, newest: LockedSchema) -> _Reader:
    writer, layout = schema.parsed(), known_layout(schema)
    if writer != newest.parsed():
        return _Reader(schema.record, writer, newest.parsed(), layout, always=True)
    if layout is None:
        return _Reader(schema.record, writer, None, None, always=False)
    parsed = {**_reading(layout), "__fastavro_parsed": True, "__named_schemas": {}}
    return _Reader(schema.record, parsed, None, layout, always=layout.has_array())


# A number spelt too long ends in a zero byte after one with the high bit; one of more than 64 bits has nine
# of those before something other than 1. Text other than ASCII may look like that too: hence only suspect.
_suspect = re.compile(rb"[\x80-\xff](?:\x00|[\x80-\xff]{8}[^\x01])").search

_MARK = "cashback-strict"


class _Choices(dict[Any, Any]):
    """Branches or symbols by index; there are no others, and none counted from the end."""

    def __missing__(self, index: Any) -> Any:
        raise Malformed(f"there is no choice {index}")


def _reading(layout: Layout) -> Any:
    """A schema for fastavro's reader, in which nothing is found that is not there."""
    one: Any = layout.kind
    if layout.kind == "int":
        one = {"type": "int", "logicalType": _MARK}
    elif layout.kind == "boolean":
        # The byte 1 is the zigzag of -1.
        one = {"type": "enum", "symbols": _Choices({0: False, -1: True})}
    elif layout.kind == "enum":
        one = {"type": "enum", "symbols": _Choices(enumerate(layout.names))}
    elif layout.kind == "array":
        one = {"type": "array", "items": _reading(layout.parts[0])}
    elif layout.kind == "record":
        fields = zip(layout.names, layout.parts, strict=True)
        one = {"type": "record", "fields": [{"name": name, "type": _reading(part)} for name, part in fields]}
    return _Choices({"type": "union", 0: "null", 1: one}) if layout.nullable else one


def _read_int(number: int, *_: Any) -> int:
    if not -(2**31) <= number < 2**31:
        raise Malformed(f"{number} is no 32-bit number")
    return number


LOGICAL_READERS[f"int-{_MARK}"] = _read_int


def check(layout: Layout, value: bytes, at: int) -> int:
    """Looks through the bytes of one value from `at`; where it ends. Raises `Malformed`, `IndexError`."""
    if layout.nullable:
        branch, at = _number(value, at)
        if branch == 0:
            return at
        if branch != 1:
            raise Malformed(f"{layout.place}: there is no branch {branch}")
    if layout.kind == "record":
        for part in layout.parts:
            at = check(part, value, at)
        return at
    if layout.kind == "array":
        return _check_array(layout, value, at)
    if layout.kind == "boolean":
        if value[at] > 1:
            raise Malformed(f"{layout.place}: neither 0 nor 1 for a boolean")
        return at + 1
    number, at = _number(value, at)
    if layout.kind == "int":
        _read_int(number)
    if layout.kind == "enum" and not 0 <= number < len(layout.names):
        raise Malformed(f"{layout.place}: there is no symbol {number}")
    # Texts are left to fastavro, which has read them.
    return at + number if layout.kind == "string" else at


def _check_array(layout: Layout, value: bytes, at: int) -> int:
    while True:
        count, at = _number(value, at)
        if count == 0:
            return at
        end = None
        if count < 0:
            size, at = _number(value, at)
            if not 0 <= size <= len(value) - at or count == -(2**63):
                raise Malformed(f"{layout.place}: a block of {size} bytes, {count} items")
            count, end = -count, at + size
        if count > len(value) - at:
            raise Malformed(f"{layout.place}: {count} items in {len(value) - at} bytes")
        for _ in range(count):
            at = check(layout.parts[0], value, at)
        if end is not None and at != end:
            raise Malformed(f"{layout.place}: a block that is not as long as it says")


def _number(value: bytes, at: int) -> tuple[int, int]:
    bits = shift = 0
    while True:
        byte = value[at]
        at += 1
        if shift == 63 and byte > 1:
            raise Malformed("a number of more than 64 bits")
        bits |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
    if byte == 0 and shift:
        raise Malformed("a number that is longer than it needs to be")
    return (bits >> 1) ^ -(bits & 1), at


def _writing(schema: LockedSchema) -> Any:
    """A schema for fastavro's writer, marked where it is laxer than we are."""
    return parse_schema(_marked(schema.parsed())) if known_layout(schema) else schema.parsed()


def _marked(node: Any) -> Any:
    if isinstance(node, list):
        return [_marked(each) for each in node]
    if isinstance(node, str):
        return {"type": node, "logicalType": _MARK} if node in ("int", "long", "boolean") else node
    plain = {key: value for key, value in node.items() if not key.startswith("__")}
    if plain["type"] == "record":
        fields = [{**field, "type": _marked(field["type"])} for field in plain["fields"]]
        return {**plain, "fields": fields, "logicalType": _MARK}
    if plain["type"] == "array":
        return {**plain, "items": _marked(plain["items"]), "logicalType": _MARK}
    return plain if plain["type"] == "enum" else _marked(plain["type"])


def _whole(datum: Any, least: int, above: int) -> Any:
    if not isinstance(datum, int) or isinstance(datum, bool):
        raise TypeError(f"{type(datum).__name__} where an integer is expected")
    if not least <= datum < above:
        raise ValueError(f"{datum} does not fit")
    return datum


def _of(*kinds: type) -> Callable[[Any, Any], Any]:
    def checked(datum: Any, _: Any) -> Any:
        if not isinstance(datum, kinds):
            raise TypeError(f"{type(datum).__name__} where a {kinds[0].__name__} is expected")
        return datum

    return checked


def _record(datum: Any, _: Any) -> Any:
    if not isinstance(datum, dict):
        raise TypeError(f"{type(datum).__name__} where a dict is expected")
    if "-type" in datum:
        # fastavro takes this key for a hint; to us it is one that the schema does not know.
        return {key: value for key, value in datum.items() if key != "-type"}
    return datum


LOGICAL_WRITERS |= {
    f"long-{_MARK}": lambda datum, _: _whole(datum, -(2**63), 2**63),
    f"int-{_MARK}": lambda datum, _: _whole(datum, -(2**31), 2**31),
    f"boolean-{_MARK}": _of(bool),
    f"array-{_MARK}": _of(list, tuple),
    f"record-{_MARK}": _record,
}
