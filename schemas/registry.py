"""The Avro records we speak, their versions, and the lock file that fixes their ids.

The lock file makes a schema registry unnecessary to start. Ids never change once written: bytes in Kafka
refer to them.
"""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from fastavro import parse_schema

NAMESPACE = "cashback"
LOCK_FILE = "schemas.lock.json"


@dataclass(frozen=True)
class LockedSchema:
    """One version of one record.

    `schema_id` is what we write; `former_ids` were written before a registry's ids were taken over and are
    still read. `fingerprint` is that of `schema_fingerprint`.
    """

    schema_id: int
    record: str
    version: int
    fingerprint: str
    former_ids: tuple[int, ...] = ()
    directory: Traversable = field(default_factory=lambda: files("schemas"), repr=False, compare=False)

    @property
    def subject(self) -> str:
        """Record name strategy: one topic carries several records."""
        return f"{NAMESPACE}.{self.record}"

    @property
    def file_name(self) -> str:
        """Name of its file in the folder `avro`."""
        return f"{self.record}.{self.version}.avsc"

    def document(self) -> dict[str, Any]:
        """The schema as people read it: docs and logical types included."""
        document: dict[str, Any] = json.loads(self.directory.joinpath("avro", self.file_name).read_text())
        return document

    def parsed(self) -> Any:
        """The schema as the codec uses it: times are plain microseconds, which spares a datetime each."""
        return parse_schema(_without(("logicalType",), self.document()))


@lru_cache(maxsize=1)
def locked_schemas() -> tuple[LockedSchema, ...]:
    """All locked schemas by id. Raises `SchemaLockBroken` when a file and its lock differ."""
    locked = read_lock(files("schemas"))
    for schema in locked:
        if schema_fingerprint(schema.document()) != schema.fingerprint:
            raise SchemaLockBroken(
                f"{schema.file_name} differs from {LOCK_FILE}: a locked version never changes; "
                f"add {schema.record}.{schema.version + 1}.avsc and run `cashback schemas lock`"
            )
    return locked


def read_lock(directory: Traversable) -> tuple[LockedSchema, ...]:
    """The entries of the lock file in `directory`, not compared with the schema files.

    Raises `SchemaLockBroken` when one id means two schemas.
    """
    entries = json.loads(directory.joinpath(LOCK_FILE).read_text())["schemas"]
    locked = tuple(
        LockedSchema(
            e["id"], e["record"], e["version"], e["fingerprint"], tuple(e.get("former_ids", ())), directory
        )
        for e in entries
    )
    ids = [schema_id for schema in locked for schema_id in (schema.schema_id, *schema.former_ids)]
    names = [(schema.record, schema.version) for schema in locked]
    if len(set(ids)) < len(ids) or len(set(names)) < len(names):
        raise SchemaLockBroken(f"{LOCK_FILE} has an id or a version twice: restore the committed file")
    return locked


def latest(record: str) -> LockedSchema:
    """The version we write. Raises `KeyError` for a record that is not locked."""
    versions = [schema for schema in locked_schemas() if schema.record == record]
    if not versions:
        raise KeyError(record)
    return max(versions, key=lambda schema: schema.version)


def schema_fingerprint(document: dict[str, Any]) -> str:
    """SHA-256, hex, of all that decides how bytes are read and understood: everything but the docs.

    Avro's own parsing canonical form also leaves out defaults and logical types, which may not change either.
    Registries write schemas in their own way (full or short names, order of attributes); that makes no
    difference.
    """
    meaning = _without(("doc",), _plain(parse_schema(document)))
    return sha256(json.dumps(meaning, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class SchemaLockBroken(Exception):
    """A schema file, the lock file and the registry do not say the same."""


def _without(attributes: tuple[str, ...], node: Any) -> Any:
    """A schema less some attributes; what lies in a default is left alone."""
    if isinstance(node, dict):
        return {
            key: value if key == "default" else _without(attributes, value)
            for key, value in node.items()
            if key not in attributes
        }
    if isinstance(node, list):
        return [_without(attributes, item) for item in node]
    return node


def _plain(node: Any) -> Any:
    """A parsed schema without fastavro's own marks, and `{"type": "string"}` written `"string"`."""
    if isinstance(node, dict):
        if set(node) == {"type"}:
            return _plain(node["type"])
        return {key: _plain(value) for key, value in node.items() if not key.startswith("__")}
    if isinstance(node, list):
        return [_plain(item) for item in node]
    return node
