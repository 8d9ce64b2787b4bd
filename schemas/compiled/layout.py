"""How the bytes of a record lie: its Avro schema, resolved, with only what a codec needs."""

from typing import Any, Final, NamedTuple

DEPTH_MAX = 16
"""Records and arrays within each other. Reading recurses this deep at most, whatever the bytes say."""

NO_DEFAULT: Final = object()

_SCALARS = ("string", "long", "int", "boolean")


class Layout(NamedTuple):
    """One value: what it is, and what it is made of.

    `kind` is Avro's own name: string, long, int, boolean, enum, array or record. `nullable` says that it is
    the second branch of a union with null. `names` are symbols of an enum or fields of a record, `parts` the
    layouts of the fields or of an array's items, `defaults` one a field or `NO_DEFAULT`. `place` is its path
    in the record, for messages.
    """

    kind: str
    place: str
    nullable: bool = False
    names: tuple[str, ...] = ()
    parts: tuple["Layout", ...] = ()
    defaults: tuple[Any, ...] = ()

    def has_array(self) -> bool:
        """Whether it is or contains an array."""
        return self.kind == "array" or any(part.has_array() for part in self.parts)


class UnknownFeature(Exception):
    """The schema has something that layouts do not know: fastavro reads and writes it."""


def layout_of(parsed: Any) -> Layout:
    """The layout of a schema that fastavro has parsed. Raises `UnknownFeature`."""
    return _layout(parsed, parsed["__named_schemas"], "", 0)


def _layout(node: Any, named: dict[str, Any], place: str, depth: int) -> Layout:
    if depth > DEPTH_MAX:
        raise UnknownFeature(f"{place}: deeper than {DEPTH_MAX}, or without end")
    if isinstance(node, list):
        return _nullable(node, named, place, depth)
    if isinstance(node, str):
        return Layout(node, place) if node in _SCALARS else _named(node, named, place, depth)
    kind = node["type"]
    if "logicalType" in node:
        raise UnknownFeature(f"{place}: logical type {node['logicalType']}")
    if kind == "enum":
        return Layout("enum", place, names=tuple(node["symbols"]))
    if kind == "array":
        item = _layout(node["items"], named, f"{place}[]", depth + 1)
        return Layout("array", place, parts=(item,))
    if kind == "record":
        return _record(node, named, place, depth)
    if set(node) == {"type"}:
        return _layout(kind, named, place, depth + 1)
    raise UnknownFeature(f"{place}: {kind}")


def _named(name: str, named: dict[str, Any], place: str, depth: int) -> Layout:
    if name not in named:
        raise UnknownFeature(f"{place}: {name}")
    return _layout(named[name], named, place, depth + 1)


def _nullable(branches: list[Any], named: dict[str, Any], place: str, depth: int) -> Layout:
    if len(branches) != 2 or branches[0] != "null" or isinstance(branches[1], list):
        raise UnknownFeature(f"{place}: a union that is not null and one other, in this order")
    return _layout(branches[1], named, place, depth + 1)._replace(nullable=True)


def _record(node: Any, named: dict[str, Any], place: str, depth: int) -> Layout:
    fields = node["fields"]
    if not fields:
        # Every value takes a byte at least: that bounds what an array may claim by the bytes left.
        raise UnknownFeature(f"{place}: a record without fields")
    parts = [
        _layout(field["type"], named, f"{place}.{field['name']}" if place else field["name"], depth + 1)
        for field in fields
    ]
    defaults = [
        # As fastavro: what can be null may be missing, with or without a default.
        field.get("default", None if part.nullable else NO_DEFAULT)
        for field, part in zip(fields, parts, strict=True)
    ]
    names = tuple(field["name"] for field in fields)
    return Layout("record", place, names=names, parts=tuple(parts), defaults=tuple(defaults))
