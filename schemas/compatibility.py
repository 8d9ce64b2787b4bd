"""What one version of a schema can do with data of another: Avro's schema resolution, decided without data.

FULL_TRANSITIVE, which partners may rely on, holds when every version reads every other one. Stricter than
Avro in three ways: full names must be equal (we use no aliases); a logical type may not change, because the
same number would mean another time; bytes are not read as string, because not all bytes are text.
Source: Apache Avro 1.12 specification, "Schema Resolution".
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

from fastavro import parse_schema

Schema = Any
"""A schema, or a part of one, as JSON says it: a name, a union's list or an object."""

_PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
_NAMED = frozenset({"record", "enum", "fixed"})
_PROMOTIONS = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
    "string": frozenset({"bytes"}),
}


def full_transitive_breaks(versions: Iterable[Schema]) -> list[str]:
    """Why some version cannot read some other one, oldest pair first; empty when all can."""
    return [problem for older, newer in combinations(versions, 2) for problem in full_breaks(older, newer)]


def full_breaks(older: Schema, newer: Schema) -> list[str]:
    """Why `newer` may not follow `older`: what either cannot read of the other; empty when nothing."""
    backward = [f"old data, new reader: {problem}" for problem in unreadable(older, newer)]
    forward = [f"new data, old reader: {problem}" for problem in unreadable(newer, older)]
    return backward + forward


def unreadable(writer: Schema, reader: Schema) -> list[str]:
    """What of the data written with `writer` cannot be read as `reader`, each problem with its place."""
    written, read = parse_schema(writer), parse_schema(reader)
    return list(_Resolution(_named_types(written), _named_types(read)).problems(written, read, ""))


@dataclass
class _Resolution:
    written_types: dict[str, Schema]
    read_types: dict[str, Schema]
    # Recursive types: a pair that is being compared higher up is taken to match.
    compared: set[tuple[str, str]] = field(default_factory=set)

    def problems(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        if isinstance(writer, list):
            for branch in writer:
                yield from self.problems(branch, reader, place)
        elif isinstance(reader, list):
            if all(any(self.problems(writer, branch, place)) for branch in reader):
                yield f"{_at(place)}{_name(writer)} is no branch of {[_name(each) for each in reader]}"
        else:
            written = self.written_types.get(_key(writer), writer)
            read = self.read_types.get(_key(reader), reader)
            yield from self._single(written, read, place)

    def _single(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        written, read = _kind(writer), _kind(reader)
        if _logical(writer) != _logical(reader):
            yield f"{_at(place)}logical type {_logical(writer)} is read as {_logical(reader)}"
        if read in _PROMOTIONS.get(written, ()):
            return
        if written != read:
            yield f"{_at(place)}{_name(writer)} cannot be read as {_name(reader)}"
        elif written in _NAMED:
            yield from self._named(writer, reader, place)
        elif written == "array":
            yield from self.problems(writer["items"], reader["items"], f"{place}[]")
        elif written == "map":
            yield from self.problems(writer["values"], reader["values"], f"{place}{{}}")

    def _named(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        pair = (writer["name"], reader["name"])
        if pair in self.compared:
            return
        self.compared.add(pair)
        if writer["name"] != reader["name"]:
            yield f"{_at(place)}{writer['name']} is not {reader['name']}"
        elif writer["type"] == "record":
            yield from self._record(writer, reader, place)
        elif writer["type"] == "enum":
            unknown = [symbol for symbol in writer["symbols"] if symbol not in reader["symbols"]]
            if unknown and "default" not in reader:
                yield f"{_at(place)}symbols {unknown} are unknown to an enum without default"
        elif writer["size"] != reader["size"]:
            yield f"{_at(place)}{writer['size']} bytes are not {reader['size']}"

    def _record(self, writer: Schema, reader: Schema, place: str) -> Iterator[str]:
        written = {each["name"]: each["type"] for each in writer["fields"]}
        for each in reader["fields"]:
            inner = f"{place}.{each['name']}" if place else each["name"]
            if each["name"] in written:
                yield from self.problems(written[each["name"]], each["type"], inner)
            elif "default" not in each:
                yield f"{_at(inner)}missing in the data and without default"


def _named_types(schema: Schema) -> dict[str, Schema]:
    if isinstance(schema, list):
        return {name: each for branch in schema for name, each in _named_types(branch).items()}
    if not isinstance(schema, dict):
        return {}
    own = {schema["name"]: schema} if "name" in schema else {}
    inner = [each["type"] for each in schema.get("fields", ())]
    inner += [schema[part] for part in ("items", "values") if part in schema]
    return own | {name: each for part in inner for name, each in _named_types(part).items()}


def _kind(schema: Schema) -> str:
    kind = schema["type"] if isinstance(schema, dict) else schema
    return kind if isinstance(kind, str) else _kind(kind)


def _logical(schema: Schema) -> str | None:
    return schema.get("logicalType") if isinstance(schema, dict) else None


def _key(schema: Schema) -> str:
    """What a reference to a named type looks like; anything else finds nothing."""
    return schema if isinstance(schema, str) and schema not in _PRIMITIVES else ""


def _name(schema: Schema) -> str:
    return str(schema.get("name", _kind(schema))) if isinstance(schema, dict) else str(schema)


def _at(place: str) -> str:
    return f"{place}: " if place else ""
