"""Which changes of a schema are allowed; every verdict is checked against data that fastavro really reads."""

from io import BytesIO
from typing import Any

import pytest
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.utils import generate_many
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.compatibility import full_breaks, full_transitive_breaks, unreadable


def record(*fields: Any, name: str = "Thing") -> dict[str, Any]:
    return {"type": "record", "name": name, "namespace": "cashback", "fields": list(fields)}


def field(kind: Any, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Kind", "symbols": list(symbols), **more}


TIME = {"type": "long", "logicalType": "timestamp-micros"}
KEPT = field("string", "kept")

ALLOWED = {
    "nothing changes": (record(KEPT), record(KEPT)),
    "a doc is reworded": (record(KEPT), record(KEPT | {"doc": "Otherwise."})),
    "a field with a default is added": (
        record(KEPT), record(KEPT, field(["null", "long"], default=None)),
    ),
    "a field with a default is removed": (record(KEPT, field("long", default=0)), record(KEPT)),
    "fields change places": (record(KEPT, field("long")), record(field("long"), KEPT)),
    "an enum with a default gains a symbol": (
        record(field(enum("A", "B", default="A"))), record(field(enum("A", "B", "C", default="A"))),
    ),
    "an enum changes the order of its symbols": (
        record(field(enum("A", "B"))), record(field(enum("B", "A"))),
    ),
    "a union changes its order": (record(field(["null", "string"])), record(field(["string", "null"]))),
    "a default changes": (record(field("long", default=1)), record(field("long", default=2))),
    "an inner record gains a field with a default": (
        record(field({"type": "array", "items": record(KEPT, name="Item")})),
        record(field({"type": "array", "items": record(KEPT, field("int", default=7), name="Item")})),
    ),
    "a named type is used a second time": (
        record(field(enum("A", default="A"))),
        record(field(enum("A", default="A")), field("cashback.Kind", "y", default="A")),
    ),
}  # fmt: skip

# Old schema, new schema, and whose data cannot be read: backward, the old; forward, the new.
BREAKING: dict[str, tuple[Any, Any, str]] = {
    "a field without default is added": (record(KEPT), record(KEPT, field("long")), "backward"),
    "a field without default is removed": (record(KEPT, field("long")), record(KEPT), "forward"),
    "a field is renamed": (record(field("long")), record(field("long", "y")), "backward"),
    "a field changes its type": (record(field("string")), record(field("long")), "backward"),
    "long becomes int": (record(field("long")), record(field("int")), "backward"),
    "int becomes long, which the old reader cannot hold": (
        record(field("int")), record(field("long")), "forward",
    ),
    "string becomes bytes": (record(field("string")), record(field("bytes")), "forward"),
    "a field becomes nullable": (record(field("long")), record(field(["null", "long"])), "forward"),
    "a field stops being nullable": (record(field(["null", "long"])), record(field("long")), "backward"),
    "a union gains a branch": (
        record(field(["null", "long"])), record(field(["null", "long", "string"])), "forward",
    ),
    "an enum without default gains a symbol": (
        record(field(enum("A"))), record(field(enum("A", "B"))), "forward",
    ),
    "an enum without default loses a symbol": (
        record(field(enum("A", "B"))), record(field(enum("A"))), "backward",
    ),
    "an enum is renamed": (
        record(field(enum("A"))), record(field(enum("A") | {"name": "Other"})), "backward",
    ),
    "a record is renamed": (record(KEPT), record(KEPT, name="Other"), "backward"),
    "items of an array change their type": (
        record(field({"type": "array", "items": "string"})), record(field({"type": "array", "items": "int"})),
        "backward",
    ),
    "values of a map change their type": (
        record(field({"type": "map", "values": "string"})), record(field({"type": "map", "values": "int"})),
        "backward",
    ),
    "a fixed changes its size": (
        record(field({"type": "fixed", "name": "F", "size": 4})),
        record(field({"type": "fixed", "name": "F", "size": 5})), "backward",
    ),
    "an inner record gains a field without default": (
        record(field(["null", record(KEPT, name="Item")])),
        record(field(["null", record(KEPT, field("int", "y"), name="Item")])), "backward",
    ),
}  # fmt: skip

# Avro would read these, but the reader would take the data for something else.
MISLEADING = {
    "micros become millis": (
        record(field(TIME)), record(field(TIME | {"logicalType": "timestamp-millis"})),
    ),
    "a number becomes a time": (record(field("long")), record(field(TIME))),
    "a namespace changes": (record(KEPT), record(KEPT) | {"namespace": "elsewhere"}),
}  # fmt: skip


def read_as(reader: Any, writer: Any, datum: Any) -> Any:
    out = BytesIO()
    schemaless_writer(out, parse_schema(writer), datum)
    out.seek(0)
    return schemaless_reader(out, parse_schema(writer), parse_schema(reader))


def read_all(reader: Any, writer: Any) -> None:
    for datum in data_of(writer, 200):
        read_as(reader, writer, datum)


def data_of(schema: Any, count: int = 20) -> list[Any]:
    return list(generate_many(parse_schema(schema), count))


@pytest.mark.parametrize("change", ALLOWED)
def test_an_allowed_change_breaks_nothing_and_fastavro_reads_the_data_both_ways(change: str) -> None:
    old, new = ALLOWED[change]
    assert full_breaks(old, new) == []
    read_all(new, old)
    read_all(old, new)


@pytest.mark.parametrize("change", BREAKING)
def test_a_breaking_change_is_found_in_the_direction_in_which_fastavro_fails(change: str) -> None:
    old, new, direction = BREAKING[change]
    writer, reader = (old, new) if direction == "backward" else (new, old)
    assert unreadable(writer, reader) != []
    assert full_breaks(old, new) != []
    if change in {"long becomes int", "int becomes long, which the old reader cannot hold"}:
        return  # both are the same varint to fastavro; another reader refuses or cuts it
    with pytest.raises(Exception, match=r".*"):
        read_all(reader, writer)


@pytest.mark.parametrize("change", MISLEADING)
def test_a_change_that_reads_but_means_something_else_is_refused_too(change: str) -> None:
    assert full_breaks(*MISLEADING[change]) != []


def test_a_problem_names_its_place_and_its_direction() -> None:
    old, new, _ = BREAKING["an inner record gains a field without default"]
    assert full_breaks(old, new) == [
        "old data, new reader: x: cashback.Item is no branch of ['null', 'cashback.Item']"
    ]
    deep_new = record(field({"type": "array", "items": record(field("string"), name="Item")}))
    deep_old = record(field({"type": "array", "items": record(field("long"), name="Item")}))
    assert full_breaks(deep_old, deep_new)[0] == "old data, new reader: x[].x: long cannot be read as string"


def test_transitive_means_every_pair_and_not_only_neighbours() -> None:
    first = record(KEPT)
    second = record(KEPT, field("long", default=0))
    third = record(KEPT, field("string", default=""))
    assert full_breaks(first, second) == full_breaks(first, third) == []
    assert full_transitive_breaks([first, third]) == []
    assert full_transitive_breaks([second, first, third]) == [
        "old data, new reader: x: long cannot be read as string",
        "new data, old reader: x: string cannot be read as long",
    ]


def test_a_record_that_contains_itself_is_compared_to_the_end() -> None:
    tree = record(field(["null", "cashback.Thing"], "next", default=None))
    assert full_breaks(tree, record(*tree["fields"], field("int", default=0))) == []
    assert full_breaks(tree, record(*tree["fields"], field("int"))) != []


PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "string", "bytes"])
SYMBOLS = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)


@st.composite
def enums(draw: st.DrawFn) -> dict[str, Any]:
    symbols = draw(SYMBOLS)
    return enum(*symbols, **({"default": symbols[0]} if draw(st.booleans()) else {}))


@st.composite
def types(draw: st.DrawFn) -> Any:
    kind = draw(st.sampled_from(["plain", "plain", "union", "array", "map", "enum"]))
    if kind == "union":
        return draw(st.lists(PRIMITIVES, min_size=1, max_size=3, unique=True))
    if kind in ("array", "map"):
        return {"type": kind, "items" if kind == "array" else "values": draw(PRIMITIVES)}
    return draw(enums()) if kind == "enum" else draw(PRIMITIVES)


@st.composite
def records(draw: st.DrawFn) -> Any:
    names = draw(st.lists(st.sampled_from("xyz"), min_size=1, max_size=3, unique=True))
    fields = []
    for place, name in enumerate(names):
        kind = draw(types())
        if isinstance(kind, dict) and kind["type"] == "enum":
            kind = kind | {"name": f"Kind_{name}"}
        nullable = kind == "null" or (isinstance(kind, list) and kind[0] == "null")
        fields.append(field(kind, name, **({"default": None} if nullable and place % 2 else {})))
    return record(*fields)


@settings(max_examples=300, deadline=None)
@given(writer=records(), reader=records())
def test_what_we_call_readable_is_read_by_fastavro(writer: Any, reader: Any) -> None:
    if unreadable(writer, reader) == []:
        for datum in data_of(writer, 5):
            read_as(reader, writer, datum)


@settings(max_examples=200, deadline=None)
@given(schema=records())
def test_every_schema_reads_itself(schema: Any) -> None:
    assert unreadable(schema, schema) == []
