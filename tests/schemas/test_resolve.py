"""Schemas in a registry: registered, compared at start, and done without when it is away."""

import json
import os
import random
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ops.embedded.ports import free_port
from schemas.lock import lock_new_versions, take_over_ids
from schemas.registry import LOCK_FILE, LockedSchema, SchemaLockBroken, locked_schemas, read_lock
from schemas.resolve import (
    Agreed,
    Away,
    Registry,
    RegistryAway,
    RegistryRefused,
    agree,
    register,
    registry_ids,
)
from tests.schemas.registry_double import Contents, served

REAL_REGISTRY = os.environ.get("CASHBACK_TEST_REGISTRY_URL")


@pytest.fixture
def contents() -> Contents:
    return Contents()


@pytest.fixture
def double(contents: Contents) -> Iterator[str]:
    with served(contents) as url:
        yield url


@pytest.fixture
def registry_url(double: str) -> str:
    """Any registry, perhaps one in use: tests that take this one use names of their own."""
    return REAL_REGISTRY or double


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Schemas nobody else has, two records, locked with the ids 1 and 2."""
    (tmp_path / "avro").mkdir()
    (tmp_path / LOCK_FILE).write_text('{"schemas": []}')
    for _ in range(2):
        add(tmp_path, "".join(random.choices(string.ascii_lowercase, k=12)).capitalize(), 1)
    lock_new_versions(tmp_path)
    return tmp_path


def add(directory: Path, record: str, version: int, *more: Any) -> None:
    fields = [{"name": "x", "type": "string"}, *more]
    document = {"type": "record", "name": record, "namespace": "cashback", "fields": fields}
    (directory / "avro" / f"{record}.{version}.avsc").write_text(json.dumps(document))


def with_ids_of(url: str, directory: Path) -> tuple[LockedSchema, ...]:
    """The schemas of `directory`, registered, with the ids the registry gave."""
    with Registry(url) as registry:
        take_over_ids(register(registry, read_lock(directory)), unused=True, directory=directory)
    return read_lock(directory)


def test_an_empty_registry_gives_exactly_the_locked_ids(double: str, contents: Contents) -> None:
    with Registry(double) as registry:
        given = register(registry, locked_schemas())
    assert given == {(schema.record, schema.version): schema.schema_id for schema in locked_schemas()}
    assert agree(double) == Agreed(len(locked_schemas()))
    assert set(contents.levels.values()) == {"FULL_TRANSITIVE"}


def test_registering_twice_changes_nothing(registry_url: str, directory: Path) -> None:
    locked = with_ids_of(registry_url, directory)
    with Registry(registry_url) as registry:
        assert register(registry, locked) == registry_ids(registry, locked)
        assert [len(registry.versions(schema.subject)) for schema in locked] == [1, 1]


def test_a_start_with_the_ids_the_registry_gave_is_agreed(registry_url: str, directory: Path) -> None:
    assert agree(registry_url, schemas=with_ids_of(registry_url, directory)) == Agreed(2)


def test_a_schema_that_is_not_registered_refuses_the_start_and_says_how_to_register(
    registry_url: str, directory: Path
) -> None:
    with pytest.raises(SchemaLockBroken) as broken:
        agree(registry_url, schemas=read_lock(directory))
    assert str(broken.value).count("is not registered under cashback.") == 2
    assert "cashback schemas register" in str(broken.value)


def test_another_id_refuses_the_start_and_says_how_to_take_it_over(
    registry_url: str, directory: Path
) -> None:
    locked = with_ids_of(registry_url, directory)
    elsewhere = {(schema.record, schema.version): schema.schema_id + 1000 for schema in locked}
    take_over_ids(elsewhere, unused=True, directory=directory)
    with pytest.raises(SchemaLockBroken, match=r"in the lock and .* in the registry: take its ids over"):
        agree(registry_url, schemas=read_lock(directory))


def test_another_content_under_our_subject_and_id_refuses_the_start(
    registry_url: str, directory: Path
) -> None:
    locked = with_ids_of(registry_url, directory)
    (directory / LOCK_FILE).write_text('{"schemas": []}')
    for schema in locked:
        add(directory, schema.record, 1, {"name": "y", "type": "int", "default": 0})
    lock_new_versions(directory)
    ids = {(schema.record, schema.version): schema.schema_id for schema in locked}
    take_over_ids(ids, unused=True, directory=directory)
    with pytest.raises(SchemaLockBroken, match="is another schema in the registry"):
        agree(registry_url, schemas=read_lock(directory))


def test_a_later_version_is_registered_and_found_under_the_same_subject(
    registry_url: str, directory: Path
) -> None:
    first = with_ids_of(registry_url, directory)[0]
    add(directory, first.record, 2, {"name": "y", "type": "int", "default": 0})
    lock_new_versions(directory)
    assert agree(registry_url, schemas=with_ids_of(registry_url, directory)) == Agreed(3)
    with Registry(registry_url) as registry:
        assert len(registry.versions(first.subject)) == 2


def test_the_registry_refuses_a_version_that_is_not_fully_compatible(
    registry_url: str, directory: Path
) -> None:
    first = with_ids_of(registry_url, directory)[0]
    add(directory, first.record, 2, {"name": "y", "type": "int"})
    broken = LockedSchema(99, first.record, 2, "", (), directory)
    with Registry(registry_url) as registry, pytest.raises(RegistryRefused, match="409"):
        registry.register(broken)


def test_the_ids_of_a_registry_that_lacks_a_schema_cannot_be_taken_over(
    registry_url: str, directory: Path
) -> None:
    with Registry(registry_url) as registry, pytest.raises(SchemaLockBroken, match="is not registered"):
        registry_ids(registry, read_lock(directory))


def test_a_registry_that_is_away_stops_nobody() -> None:
    outcome = agree(f"http://127.0.0.1:{free_port()}")
    assert isinstance(outcome, Away)
    assert "ConnectionError" in outcome.reason


def test_a_registry_that_fails_stops_nobody(double: str, contents: Contents) -> None:
    contents.failing = True
    assert agree(double) == Away(f"schema registry {double} answered 500")
    with Registry(double) as registry, pytest.raises(RegistryAway):
        register(registry, locked_schemas())


def test_a_registry_that_may_not_be_asked_is_said_so_and_its_password_is_not(
    double: str, contents: Contents
) -> None:
    contents.credentials = "Basic dXNlcjpzZWNyZXQ="  # user:secret
    wrong = double.replace("://", "://user:guessed@")
    with pytest.raises(RegistryRefused, match=r"answered 401 .* check its address, credentials") as refused:
        agree(wrong)
    assert "guessed" not in str(refused.value)
    right = double.replace("://", "://user:secret@")
    with Registry(right) as registry:
        register(registry, locked_schemas())
    assert agree(right) == Agreed(len(locked_schemas()))
