"""The Avro records we speak, their versions, and the lock file that fixes their ids.

The lock file makes a schema registry unnecessary to start. Ids never change once written: bytes in Kafka refer to them.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

from fastavro import parse_schema
from fastavro.schema import fingerprint, to_parsing_canonical_form

NAMESPACE = "cashback"
LOCK_FILE = "schemas.lock.json"


@dataclass(frozen=True)
class LockedSchema:
    """One version of one record. `fingerprint` is SHA-256 of its parsing canonical form."""

    schema_id: int
    record: str
    version: int
    fingerprint: str

    @property
    def subject(self) -> str:
        """Record name strategy: one topic carries several records."""
        return f"{NAMESPACE}.{self.record}"

    def document(self) -> dict[str, Any]:
        """The schema as people read it: docs and logical types included."""
        return _document(self.record, self.version)

    def parsed(self) -> Any:
        """The schema as the codec uses it: times are plain microseconds, which spares a datetime each."""
        return parse_schema(_without_logical_types(self.document()))


@lru_cache(maxsize=1)
def locked_schemas() -> tuple[LockedSchema, ...]:
    """All locked schemas by id. Raises `SchemaLockBroken` when a file and its lock differ."""
    entries = json.loads(files("schemas").joinpath(LOCK_FILE).read_text())["schemas"]
    locked = tuple(LockedSchema(e["id"], e["record"], e["version"], e["fingerprint"]) for e in entries)
    for schema in locked:
        if schema_fingerprint(schema.document()) != schema.fingerprint:
            raise SchemaLockBroken(
                f"{schema.record}.{schema.version}.avsc differs from {LOCK_FILE}: a locked version never changes; "
                f"add {schema.record}.{schema.version + 1}.avsc and run `cashback schemas lock`"
            )
    return locked


def latest(record: str) -> LockedSchema:
    """The version we write. Raises `KeyError` for a record that is not locked."""
    versions = [schema for schema in locked_schemas() if schema.record == record]
    if not versions:
        raise KeyError(record)
    return max(versions, key=lambda schema: schema.version)


def schema_fingerprint(document: dict[str, Any]) -> str:
    """SHA-256 of the parsing canonical form, hex."""
    return fingerprint(to_parsing_canonical_form(document), "SHA-256")


class SchemaLockBroken(Exception):
    """A schema file, the lock file and the registry do not say the same."""


def _document(record: str, version: int) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files("schemas").joinpath("avro", f"{record}.{version}.avsc").read_text())
    return document


def _without_logical_types(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _without_logical_types(value) for key, value in node.items() if key != "logicalType"}
    if isinstance(node, list):
        return [_without_logical_types(item) for item in node]
    return node
