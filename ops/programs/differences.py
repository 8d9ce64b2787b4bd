"""Two versions of a program held against each other, field by field."""

from collections.abc import Iterator
from typing import Any

from schemas.programs import ProgramSpec

_OF_EVERY_VERSION = ("program_id", "version", "effective_from")
"""Said in the heading of a comparison, and never the same."""


def differences(old: ProgramSpec | None, new: ProgramSpec) -> list[str]:
    """Lines `-path: value` and `+path: value` in the order of the form; of None everything is new.

    Items of a list that means a set stand alone; brackets are told by their place.
    """
    before = list(_fields(old.to_json())) if old else []
    after = list(_fields(new.to_json()))
    lines = []
    for path in _paths(before, after):
        lines += [f"-{path}: {value}" for at, value in before if at == path and (at, value) not in after]
        lines += [f"+{path}: {value}" for at, value in after if at == path and (at, value) not in before]
    return lines


def _paths(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> list[str]:
    """All paths of both, once; what only one has stands where its form has it."""
    merged = list(dict.fromkeys(path for path, _ in after))
    place = 0
    for path in dict.fromkeys(path for path, _ in before):
        if path in merged:
            place = merged.index(path) + 1
        else:
            merged.insert(place, path)
            place += 1
    return merged


def _fields(form: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for name, value in form.items():
        if path or name not in _OF_EVERY_VERSION:
            yield from _values(value, f"{path}.{name}" if path else name)


def _values(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from _fields(value, path)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, item in enumerate(value):
            yield from _fields(item, f"{path}.{number}")
    elif isinstance(value, list):
        for item in value:
            yield path, _written(item)
    else:
        yield path, _written(value)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
