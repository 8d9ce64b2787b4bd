"""What is wrong with a program, in words: which field, what is the matter with it, and what to do."""

import reprlib
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from schemas.errors import Rejected

_REMEDIES = {
    "extra_forbidden": "remove it, or correct its name",
    "missing": "add it",
    "string_type": "put it in quotes",
    "too_short": "name at least one, or leave the field out",
    "union_tag_invalid": "use one of the types named",
    "union_tag_not_found": "add a type",
}
_REWARD_TYPES = frozenset({"flat", "percent", "tiered"})
_NO_FIELDS = frozenset({"model_type", "model_attributes_type", "dict_type"})


def fault_of(detail: Any, names: Iterable[str]) -> Rejected:
    """What pydantic found, with its path and what to do; `names` are the fields of a program."""
    path = _path(detail["loc"]) or "program"
    cause = detail.get("ctx", {}).get("error")
    if isinstance(cause, Rejected):
        return Rejected(path, cause.problem, cause.remedy)
    if isinstance(cause, ValueError):
        problem, _, remedy = str(cause).partition("; ")
        return Rejected(path, problem, remedy or "correct it")
    given, kind = detail["input"], detail["type"]
    if kind in _NO_FIELDS:
        # Short in any case: a few lines of YAML can spell a list of a billion items.
        return Rejected(path, f"{reprlib.repr(given)} has no fields", "write them as name: value")
    if kind == "extra_forbidden" and (meant := _meant(detail["loc"], names)):
        return Rejected(path, _problem(detail, given), f"did you mean {meant}?")
    return Rejected(path, _problem(detail, given), _REMEDIES.get(kind, "correct the value"))


def _meant(place: tuple[str | int, ...], names: Iterable[str]) -> str | None:
    """The field of a program whose name is close to one that does not exist."""
    if len(place) != 1:
        return None
    return next(iter(get_close_matches(str(place[0]), names, n=1, cutoff=0.75)), None)


def _path(places: tuple[str | int, ...]) -> str:
    """Where a fault lies in the file. pydantic names the type of a reward on the way to its fields, too."""
    return ".".join(
        str(place)
        for before, place in zip(("", *places), places, strict=False)
        if not (before == "reward" and place in _REWARD_TYPES)
    )


def _problem(detail: Any, given: object) -> str:
    match detail["type"]:
        case "too_short":
            return "the list is empty"
        case "union_tag_invalid":
            return f"type {detail['ctx']['tag']!r} is none of {detail['ctx']['expected_tags']}"
        case "union_tag_not_found":
            return "has no type"
        case "missing" | "extra_forbidden":
            return _small(detail["msg"])
        case _:
            value = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
            return _small(detail["msg"]) + value


def _small(message: str) -> str:
    return message[0].lower() + message[1:]
