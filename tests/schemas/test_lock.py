"""The lock file: what may be added to it, what never changes, and whose ids it carries."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from schemas.lock import SCHEMAS, lock_new_versions, problems, take_over_ids, unlocked_versions
from schemas.registry import LOCK_FILE, LockedSchema, SchemaLockBroken, latest, read_lock, schema_fingerprint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of our schemas and their lock."""
    shutil.copytree(SCHEMAS / "avro", tmp_path / "avro")
    shutil.copy(SCHEMAS / LOCK_FILE, tmp_path)
    return tmp_path


def write(directory: Path, name: str, document: Any) -> None:
    (directory / "avro" / name).write_text(json.dumps(document))


def tick(**more: Any) -> dict[str, Any]:
    document = latest("Tick").document()
    return document | {"fields": [*document["fields"], {"name": "source", "doc": "Which ticker.", **more}]}


def ids(directory: Path) -> dict[tuple[str, int], int]:
    return {(schema.record, schema.version): schema.schema_id for schema in read_lock(directory)}


def test_a_compatible_new_version_gets_the_next_id_and_the_others_keep_theirs(directory: Path) -> None:
    before = ids(directory)
    write(directory, "Tick.2.avsc", tick(type="string", default=""))
    assert [schema.file_name for schema in unlocked_versions(directory)] == ["Tick.2.avsc"]
    lock_new_versions(directory)
    assert ids(directory) == before | {("Tick", 2): max(before.values()) + 1}
    assert problems(directory) == []
    assert lock_new_versions(directory) == []


def test_locking_twice_writes_nothing_new(directory: Path) -> None:
    before = (directory / LOCK_FILE).read_bytes()
    assert lock_new_versions(directory) == []
    assert (directory / LOCK_FILE).read_bytes() == before


def test_an_incompatible_new_version_is_refused_with_its_field_and_nothing_is_written(
    directory: Path,
) -> None:
    before = (directory / LOCK_FILE).read_bytes()
    write(directory, "Tick.2.avsc", tick(type="string"))
    with pytest.raises(
        SchemaLockBroken, match=r"Tick\.2\.avsc is not fully compatible with Tick\.1\.avsc: .*source"
    ):
        lock_new_versions(directory)
    assert (directory / LOCK_FILE).read_bytes() == before


def test_a_third_version_must_fit_the_first_too(directory: Path) -> None:
    write(directory, "Tick.2.avsc", tick(type="string", default=""))
    lock_new_versions(directory)
    fields = [field for field in tick(type="string", default="")["fields"] if field["name"] == "source"]
    write(directory, "Tick.3.avsc", latest("Tick").document() | {"fields": fields})
    with pytest.raises(SchemaLockBroken, match=r"Tick\.3\.avsc is not fully compatible with Tick\.1\.avsc"):
        lock_new_versions(directory)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a default", {"default": False}),
        ("a name", {"name": "live"}),
        ("a type", {"type": "string", "default": "true"}),
    ],
)
def test_a_locked_version_that_changed_is_refused(directory: Path, what: str, change: dict[str, Any]) -> None:
    document = latest("Entitlement").document()
    assert document["fields"][-1]["name"] == "livemode"
    document["fields"][-1] |= change
    write(directory, "Entitlement.1.avsc", document)
    with pytest.raises(SchemaLockBroken, match=r"Entitlement\.1\.avsc differs from its lock: restore it"):
        lock_new_versions(directory)


def test_a_logical_type_is_part_of_what_is_locked(directory: Path) -> None:
    document = latest("Tick").document()
    document["fields"][0]["type"]["logicalType"] = "timestamp-millis"
    write(directory, "Tick.1.avsc", document)
    assert any("Tick.1.avsc differs" in problem for problem in problems(directory))


def test_a_doc_may_be_reworded(directory: Path) -> None:
    write(directory, "Tick.1.avsc", latest("Tick").document() | {"doc": "Time passes."})
    assert problems(directory) == []


def test_a_locked_version_that_is_gone_is_missed(directory: Path) -> None:
    (directory / "avro" / "Tick.1.avsc").unlink()
    assert any("Tick.1.avsc differs" in problem for problem in problems(directory))


@pytest.mark.parametrize(
    ("name", "document", "problem"),
    [
        ("Tick.3.avsc", tick(type="string", default=""), r"Tick\.3\.avsc has no version 2 before it"),
        ("Tock.1.avsc", latest("Tick").document(), r"must define the record cashback\.Tock"),
        ("tick.avsc", latest("Tick").document(), r"tick\.avsc is not named Record\.version\.avsc"),
        ("Tick.2.avsc", tick(type="text", default=""), r"Tick\.2\.avsc is not an Avro schema"),
        ("Tick.2.avsc", tick(type="string", default=5), r"Tick\.2\.avsc is not an Avro schema"),
    ],
)
def test_a_file_that_cannot_be_locked_says_why(
    directory: Path, name: str, document: dict[str, Any], problem: str
) -> None:
    write(directory, name, document)
    with pytest.raises(SchemaLockBroken, match=problem):
        lock_new_versions(directory)


def test_an_id_that_means_two_schemas_is_refused(directory: Path) -> None:
    content = json.loads((directory / LOCK_FILE).read_text())
    content["schemas"][0]["former_ids"] = [content["schemas"][1]["id"]]
    (directory / LOCK_FILE).write_text(json.dumps(content))
    with pytest.raises(SchemaLockBroken, match="twice"):
        read_lock(directory)


def test_taken_over_ids_are_written_and_those_until_now_stay_readable(directory: Path) -> None:
    before = ids(directory)
    given = {name: schema_id + 100 for name, schema_id in before.items()}
    assert len(take_over_ids(given, unused=False, directory=directory)) == len(before)
    assert ids(directory) == given
    assert {s.former_ids for s in read_lock(directory)} == {(schema_id,) for schema_id in before.values()}
    assert take_over_ids(given, unused=False, directory=directory) == []
    write(directory, "Tick.2.avsc", tick(type="string", default=""))
    assert lock_new_versions(directory)[0].schema_id == max(given.values()) + 1


def test_going_back_to_a_former_id_is_no_conflict(directory: Path) -> None:
    before = ids(directory)
    take_over_ids({name: 100 + each for name, each in before.items()}, unused=False, directory=directory)
    take_over_ids(before, unused=False, directory=directory)
    assert ids(directory) == before


def test_an_id_that_already_means_another_schema_in_our_bytes_is_not_taken_over(directory: Path) -> None:
    before = ids(directory)
    turned = dict(zip(before, reversed(before.values()), strict=True))
    with pytest.raises(SchemaLockBroken, match="if nothing was ever written"):
        take_over_ids(turned, unused=False, directory=directory)
    assert ids(directory) == before


def test_where_nothing_was_written_any_ids_are_taken_over_and_the_old_ones_forgotten(directory: Path) -> None:
    before = ids(directory)
    turned = dict(zip(before, reversed(before.values()), strict=True))
    take_over_ids(turned, unused=True, directory=directory)
    assert ids(directory) == turned
    assert all(schema.former_ids == () for schema in read_lock(directory))


def test_the_fingerprint_does_not_depend_on_how_a_registry_writes_a_schema() -> None:
    ours = latest("Program").document()
    theirs = json.loads(json.dumps(ours, sort_keys=True))
    theirs["name"] = "cashback.Program"
    del theirs["namespace"]
    theirs["fields"][0]["type"] = {"type": "string"}
    assert schema_fingerprint(theirs) == schema_fingerprint(ours)


def test_the_shipped_lock_is_in_the_order_of_ids() -> None:
    shipped: list[LockedSchema] = list(read_lock(SCHEMAS))
    assert shipped == sorted(shipped, key=lambda schema: schema.schema_id)
