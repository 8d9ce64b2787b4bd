"""Writing the lock file: adding new versions, and taking over the ids of a registry.

The rules that keep bytes in Kafka readable for ever: a locked version never changes and never leaves,
versions count up from 1 without gap, each version is fully compatible with all others of its record, and an
id that was ever written keeps its meaning.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fastavro.schema import SchemaParseException

from schemas.compatibility import full_breaks
from schemas.registry import (
    LOCK_FILE,
    NAMESPACE,
    LockedSchema,
    SchemaLockBroken,
    read_lock,
    schema_fingerprint,
)

SCHEMAS = Path(__file__).parent
"""Where the lock file and the folder `avro` lie in a checkout."""

_FILE_NAME = re.compile(r"([A-Z][A-Za-z]*)\.([1-9][0-9]*)\.avsc")


def problems(directory: Path = SCHEMAS) -> list[str]:
    """What is wrong with the schema files and their lock; empty when new versions could be locked."""
    locked = read_lock(directory)
    found = _changed(locked)
    if found:
        return found
    unlocked = _unlocked(directory, locked)
    return _misnamed(directory) + _gaps((*locked, *unlocked)) + _incompatible((*locked, *unlocked))


def unlocked_versions(directory: Path = SCHEMAS) -> list[LockedSchema]:
    """Schema files that are not in the lock yet, each with the id it would get, in the order of locking."""
    return _unlocked(directory, read_lock(directory))


def lock_new_versions(directory: Path = SCHEMAS) -> list[LockedSchema]:
    """Add every new version to the lock file and return them. Raises `SchemaLockBroken` and writes nothing
    when a locked version changed or a new one is incompatible."""
    found = problems(directory)
    if found:
        raise SchemaLockBroken("; ".join(found))
    added = unlocked_versions(directory)
    if added:
        _write(directory, (*read_lock(directory), *added))
    return added


def take_over_ids(
    registry_ids: Mapping[tuple[str, int], int], *, unused: bool, directory: Path = SCHEMAS
) -> list[LockedSchema]:
    """Write a registry's ids, by record and version, into the lock; returns the schemas whose id changed.

    What was written so far stays readable: the id until now becomes a former id. Raises `SchemaLockBroken`
    when a registry's id already means another schema in our bytes. `unused` says that no byte was ever
    written with the ids so far: then they are forgotten, and any id will do.
    """
    locked = read_lock(directory)
    taken = tuple(_with_id(schema, registry_ids, unused=unused) for schema in locked)
    owners = {former: schema for schema in locked for former in (schema.schema_id, *schema.former_ids)}
    for schema in taken:
        owner = owners.get(schema.schema_id, schema)
        if not unused and (owner.record, owner.version) != (schema.record, schema.version):
            raise SchemaLockBroken(
                f"the registry calls {schema.file_name} {schema.schema_id}, which in bytes written until "
                f"now is {owner.file_name}: use an empty registry, which gives the locked ids, or, if "
                "nothing was ever written, run `cashback schemas lock --unused` with this registry"
            )
    _write(directory, taken)
    return [new for new, old in zip(taken, locked, strict=True) if new.schema_id != old.schema_id]


def _with_id(
    schema: LockedSchema, registry_ids: Mapping[tuple[str, int], int], *, unused: bool
) -> LockedSchema:
    schema_id = registry_ids[schema.record, schema.version]
    ids = dict.fromkeys((schema.schema_id, *schema.former_ids))
    former_ids = () if unused else tuple(each for each in ids if each != schema_id)
    return replace(schema, schema_id=schema_id, former_ids=former_ids)


def _unlocked(directory: Path, locked: tuple[LockedSchema, ...]) -> list[LockedSchema]:
    known = {(schema.record, schema.version) for schema in locked}
    next_id = 1 + max(
        (each for schema in locked for each in (schema.schema_id, *schema.former_ids)), default=0
    )
    new = sorted(set(_versions(directory)) - known)
    return [
        LockedSchema(schema_id, record, version, _fingerprint(directory, record, version), (), directory)
        for schema_id, (record, version) in enumerate(new, next_id)
    ]


def _versions(directory: Path) -> list[tuple[str, int]]:
    names = (_FILE_NAME.fullmatch(path.name) for path in directory.joinpath("avro").iterdir())
    return [(name[1], int(name[2])) for name in names if name]


def _fingerprint(directory: Path, record: str, version: int) -> str:
    schema = LockedSchema(0, record, version, "", (), directory)
    try:
        document = schema.document()
        fingerprint = schema_fingerprint(document)
    except (ValueError, SchemaParseException) as error:
        raise SchemaLockBroken(f"{schema.file_name} is not an Avro schema: {error}") from error
    if (document.get("namespace"), document.get("name")) != (NAMESPACE, record):
        raise SchemaLockBroken(f"{schema.file_name} must define the record {NAMESPACE}.{record}")
    return fingerprint


def _changed(locked: tuple[LockedSchema, ...]) -> list[str]:
    remedy = f"restore it; a change goes into the next version's file, then into {LOCK_FILE}"
    return [
        f"{schema.file_name} differs from its lock: {remedy}"
        for schema in locked
        if not schema.directory.joinpath("avro", schema.file_name).is_file()
        or schema_fingerprint(schema.document()) != schema.fingerprint
    ]


def _misnamed(directory: Path) -> list[str]:
    return [
        f"{path.name} is not named Record.version.avsc: rename it"
        for path in sorted(directory.joinpath("avro").iterdir())
        if not _FILE_NAME.fullmatch(path.name)
    ]


def _gaps(schemas: tuple[LockedSchema, ...]) -> list[str]:
    versions = {(schema.record, schema.version) for schema in schemas}
    return [
        f"{record}.{version}.avsc has no version {version - 1} before it: number it on without gap"
        for record, version in sorted(versions)
        if version > 1 and (record, version - 1) not in versions
    ]


def _incompatible(schemas: tuple[LockedSchema, ...]) -> list[str]:
    ordered = sorted(schemas, key=lambda schema: (schema.record, schema.version))
    return [
        f"{newer.file_name} is not fully compatible with {older.file_name}: {problem}"
        for older in ordered
        for newer in ordered
        if older.record == newer.record and older.version < newer.version
        for problem in full_breaks(older.document(), newer.document())
    ]


def _write(directory: Path, schemas: tuple[LockedSchema, ...]) -> None:
    entries = [
        {"id": schema.schema_id, "record": schema.record, "version": schema.version}
        | ({"former_ids": list(schema.former_ids)} if schema.former_ids else {})
        | {"fingerprint": schema.fingerprint}
        for schema in schemas
    ]
    beside = directory / f"{LOCK_FILE}.new"
    beside.write_text(json.dumps({"schemas": entries}, indent=2) + "\n")
    # Moved there whole, so that an interrupted run leaves the old lock.
    beside.replace(directory / LOCK_FILE)
