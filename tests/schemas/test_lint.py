"""What every schema of ours must be like, whatever its version."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fastavro import parse_schema, validate

from schemas import topics
from schemas.compatibility import full_transitive_breaks
from schemas.lock import problems, unlocked_versions
from schemas.registry import LockedSchema, locked_schemas
from schemas.transactions import FIELDS, Transaction

each_schema = pytest.mark.parametrize(
    "schema", locked_schemas(), ids=lambda schema: f"{schema.record}.{schema.version}"
)
OUTPUT_RECORDS = {record for topic in topics.TOPICS if topic.owner == "streams" for record in topic.records}


def parts(node: Any) -> Iterator[dict[str, Any]]:
    """Every object of a schema: records, fields, enums, arrays."""
    if isinstance(node, list):
        for item in node:
            yield from parts(item)
    elif isinstance(node, dict):
        yield node
        for key, value in node.items():
            if key != "default":
                yield from parts(value)


def named_types(schema: LockedSchema) -> list[dict[str, Any]]:
    return [part for part in parts(schema.document()) if part.get("type") in ("record", "enum", "fixed")]


def fields(schema: LockedSchema) -> list[dict[str, Any]]:
    return [field for each in named_types(schema) for field in each.get("fields", [])]


@each_schema
def test_every_field_and_every_named_type_has_a_doc(schema: LockedSchema) -> None:
    undocumented = [
        part["name"] for part in [*named_types(schema), *fields(schema)] if not part.get("doc", "").strip()
    ]
    assert undocumented == []


@each_schema
def test_every_enum_of_an_output_has_a_default_symbol(schema: LockedSchema) -> None:
    if schema.record in OUTPUT_RECORDS:
        enums = [each for each in named_types(schema) if each["type"] == "enum"]
        assert [each["name"] for each in enums if each.get("default") not in each["symbols"]] == []


def test_outputs_with_enums_exist_so_that_the_rule_about_them_means_something() -> None:
    assert {"CashbackCreated", "CashbackReverted", "Decision", "ReversalCase"} <= OUTPUT_RECORDS


@each_schema
def test_every_default_fits_its_type(schema: LockedSchema) -> None:
    parsed = {field["name"]: field for field in parts(parse_schema(schema.document())) if "default" in field}
    assert [name for name, field in parsed.items() if "symbols" not in field and not fits(field)] == []


def fits(field: dict[str, Any]) -> bool:
    # Avro reads the default of a union as its first branch.
    first = field["type"][0] if isinstance(field["type"], list) else field["type"]
    return bool(validate(field["default"], first, raise_errors=False))


@each_schema
def test_no_record_contains_itself_so_that_no_bytes_nest_deeper_than_the_schema(schema: LockedSchema) -> None:
    def descend(node: Any, above: tuple[str, ...]) -> None:
        if isinstance(node, str):
            assert node.rpartition(".")[2] not in above
        elif isinstance(node, list):
            for item in node:
                descend(item, above)
        elif node["type"] == "record":
            for field in node["fields"]:
                descend(field["type"], (*above, node["name"]))
        else:
            descend(node.get("items", "null"), above)

    descend(schema.document(), ())


@each_schema
def test_items_of_arrays_take_at_least_a_byte_so_that_no_few_bytes_claim_a_million_items(
    schema: LockedSchema,
) -> None:
    arrays = [part for part in parts(schema.document()) if part.get("type") == "array"]
    assert [
        part
        for part in arrays
        if part["items"] == "null" or (isinstance(part["items"], dict) and part["items"].get("fields") == [])
    ] == []


@each_schema
def test_every_time_is_in_microseconds_and_named_so_that_it_shows(schema: LockedSchema) -> None:
    for field in fields(schema):
        is_time = "timestamp-micros" in json.dumps(_own_type(field["type"]))
        named = field["name"].endswith("_at") or field["name"] in {
            "timestamp",
            "effective_from",
            "valid_from",
            "valid_to",
        }
        assert is_time == named, field["name"]


def _own_type(kind: Any) -> Any:
    """A field's type without what lies in records inside it."""
    if isinstance(kind, list):
        return [_own_type(each) for each in kind]
    return "record" if isinstance(kind, dict) and kind["type"] in ("record", "array") else kind


def test_all_versions_of_a_record_read_each_other() -> None:
    for record in {schema.record for schema in locked_schemas()}:
        versions = [schema.document() for schema in locked_schemas() if schema.record == record]
        assert full_transitive_breaks(versions) == [], record


def test_the_lock_agrees_with_the_files_and_nothing_waits_to_be_locked() -> None:
    assert problems() == []
    assert unlocked_versions() == []


def test_the_transaction_struct_has_the_fields_and_defaults_of_the_newest_schema() -> None:
    schema = max((s for s in locked_schemas() if s.record == "Transaction"), key=lambda s: s.version)
    documented = schema.document()["fields"]
    assert set(FIELDS) == {field["name"] for field in documented}
    required = {field["name"] for field in documented if "default" not in field}
    plain = Transaction(**dict.fromkeys(required, "x"))  # type: ignore[arg-type]
    assert {field["name"]: getattr(plain, field["name"]) for field in documented if "default" in field} == {
        field["name"]: field["default"] for field in documented if "default" in field
    }
