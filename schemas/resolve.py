"""The schemas as a Confluent-compatible registry knows them: compared at start, registered by a command.

The lock file stays the truth a process starts with, so a registry that is away stops nobody. With a registry:

- `cashback schemas register` registers every locked version, in the order of ids and with FULL_TRANSITIVE
  compatibility. An empty registry counts from 1 and so gives exactly the locked ids.
- A registry in use gives other ids. `cashback schemas lock --registry` takes them over for what is written
  from then on; the ids until now stay readable (`schemas.lock`).
- At start every locked schema is looked up under its subject (record name strategy); a missing one, another
  content or another id refuses the start: consumers that trust the registry would misread our bytes.

Plain HTTP through requests: five calls of a stable API. The client of confluent-kafka would bring a dozen
packages for them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import requests

from schemas.registry import LockedSchema, SchemaLockBroken, locked_schemas, schema_fingerprint

TIMEOUT_S = 5.0
COMPATIBILITY = "FULL_TRANSITIVE"

_JSON = "application/vnd.schemaregistry.v1+json"


@dataclass(frozen=True)
class Agreed:
    """The registry has every locked schema, under our ids."""

    schemas: int


@dataclass(frozen=True)
class Away:
    """The registry did not answer; the locked ids serve."""

    reason: str


@dataclass(frozen=True)
class Registered:
    """One version of a subject as the registry has it."""

    subject: str
    schema_id: int
    fingerprint: str


class RegistryRefused(Exception):
    """The registry answered, and will not do what it was asked."""


class RegistryAway(Exception):
    """The registry did not answer in time, or failed."""


class Registry:
    """A registry at `url` (user and password may be part of it); every call is bounded by `timeout_s`."""

    def __init__(self, url: str, *, timeout_s: float = TIMEOUT_S) -> None:
        self._url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._session = requests.Session()
        self._session.headers.update({"Accept": f"{_JSON}, application/json", "Content-Type": _JSON})

    def __enter__(self) -> "Registry":
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def versions(self, subject: str) -> list[Registered]:
        """All versions of `subject`, oldest first; none for a subject it does not know."""
        place = f"/subjects/{quote(subject, safe='')}/versions"
        numbers = self._ask("GET", place, unknown=[])
        found = [self._ask("GET", f"{place}/{number}") for number in numbers]
        return [
            Registered(subject, each["id"], schema_fingerprint(json.loads(each["schema"]))) for each in found
        ]

    def register(self, schema: LockedSchema) -> int:
        """Register `schema` under its subject, or find it there; returns the registry's id."""
        place = f"/subjects/{quote(schema.subject, safe='')}/versions"
        answer = self._ask("POST", place, {"schema": json.dumps(schema.document())})
        return int(answer["id"])

    def keep_compatible(self, subject: str) -> None:
        """Have the registry refuse versions of `subject` that are not FULL_TRANSITIVE."""
        self._ask("PUT", f"/config/{quote(subject, safe='')}", {"compatibility": COMPATIBILITY})

    def _ask(self, method: str, place: str, body: Any = None, *, unknown: Any = None) -> Any:
        try:
            answer = self._session.request(method, self._url + place, json=body, timeout=self._timeout_s)
        except requests.RequestException as error:
            raise RegistryAway(f"schema registry {self._shown}: {type(error).__name__}") from error
        if answer.status_code == 404 and unknown is not None:
            return unknown
        if answer.status_code >= 500:
            raise RegistryAway(f"schema registry {self._shown} answered {answer.status_code}")
        if not answer.ok:
            raise RegistryRefused(
                f"schema registry {self._shown} answered {answer.status_code} to {method} {place}: "
                f"{answer.text[:300]}; check its address, credentials and rights"
            )
        return answer.json()

    @property
    def _shown(self) -> str:
        """Its address without user and password."""
        scheme, separator, rest = self._url.partition("://")
        return scheme + separator + rest.rpartition("@")[2]


def agree(registry_url: str, *, schemas: Sequence[LockedSchema] | None = None) -> Agreed | Away:
    """Compare the locked schemas with the registry, as every process does once at start.

    Raises `SchemaLockBroken` naming all that differs, `RegistryRefused` when it may not be asked.
    """
    locked = locked_schemas() if schemas is None else schemas
    try:
        with Registry(registry_url) as registry:
            differences = list(_differences(registry, locked))
    except RegistryAway as away:
        return Away(str(away))
    if differences:
        raise SchemaLockBroken("; ".join(differences))
    return Agreed(len(locked))


def register(registry: Registry, schemas: Sequence[LockedSchema]) -> dict[tuple[str, int], int]:
    """Register `schemas` in the order of their ids; returns the registry's ids by record and version.

    Raises `RegistryAway`, `RegistryRefused` (also for a version that is incompatible with what it has).
    """
    ids: dict[tuple[str, int], int] = {}
    subjects: set[str] = set()
    for schema in sorted(schemas, key=lambda schema: schema.schema_id):
        ids[schema.record, schema.version] = registry.register(schema)
        if schema.subject not in subjects:
            # Only now: some registries have no settings for a subject without versions.
            registry.keep_compatible(schema.subject)
            subjects.add(schema.subject)
    return ids


def registry_ids(registry: Registry, schemas: Sequence[LockedSchema]) -> dict[tuple[str, int], int]:
    """The registry's ids of `schemas` by record and version.

    Raises `SchemaLockBroken` when it lacks one, `RegistryAway`, `RegistryRefused`.
    """
    ids: dict[tuple[str, int], int] = {}
    for schema in schemas:
        same = _same(registry.versions(schema.subject), schema)
        if same is None:
            raise SchemaLockBroken(_missing(schema))
        ids[schema.record, schema.version] = same.schema_id
    return ids


def _differences(registry: Registry, locked: Sequence[LockedSchema]) -> Iterator[str]:
    known = {
        subject: registry.versions(subject) for subject in dict.fromkeys(each.subject for each in locked)
    }
    for schema in locked:
        versions = known[schema.subject]
        same = _same(versions, schema)
        if same is None:
            taken = any(version.schema_id == schema.schema_id for version in versions)
            yield _other_content(schema) if taken else _missing(schema)
        elif same.schema_id != schema.schema_id:
            yield (
                f"{schema.file_name} has id {schema.schema_id} in the lock and {same.schema_id} in the "
                "registry: take its ids over with `cashback schemas lock --registry URL`"
            )


def _same(versions: Sequence[Registered], schema: LockedSchema) -> Registered | None:
    """The version with the content of `schema`, the one with its id where there are several."""
    same = [version for version in versions if version.fingerprint == schema.fingerprint]
    return next(
        (version for version in same if version.schema_id == schema.schema_id), same[0] if same else None
    )


def _missing(schema: LockedSchema) -> str:
    return (
        f"{schema.file_name} is not registered under {schema.subject}: "
        "run `cashback schemas register --registry URL`, or fix registry_url"
    )


def _other_content(schema: LockedSchema) -> str:
    return (
        f"id {schema.schema_id} is another schema in the registry than {schema.file_name}: it is not the "
        "registry of this lock; fix registry_url, or run `cashback schemas lock --registry URL`"
    )
