"""Program files: a YAML file with a list of programs, or JSON Lines with one program a line."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from schemas.errors import Rejected
from schemas.programs import ProgramSpec, ProgramsRefused, parse_program


@dataclass(frozen=True)
class Fault:
    """One wrong thing in a program file; `line` counts from 1."""

    path: Path
    line: int
    reason: Rejected

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.reason}"


@dataclass
class ProgramFile:
    """The good programs of a file in their order, and what was wrong with the others."""

    programs: list[ProgramSpec] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_programs(path: Path) -> ProgramFile:
    """All programs of a `.yaml`/`.yml` or JSON Lines file. Raises `OSError` when it cannot be read."""
    text = path.read_text(encoding="utf-8")
    found = ProgramFile()
    forms = _yaml_forms if path.suffix in (".yaml", ".yml") else _json_forms
    for line, form in forms(text):
        try:
            if isinstance(form, Rejected):
                raise ProgramsRefused([form])
            spec = parse_program(form)
            others = [other for other in found.programs if other.program_id == spec.program_id]
            if faults := contradictions([*others, spec]):
                raise ProgramsRefused(faults)
            found.programs.append(spec)
        except ProgramsRefused as refused:
            found.faults += [Fault(path, line, fault) for fault in refused.faults]
    return found


def contradictions(programs: list[ProgramSpec]) -> list[Rejected]:
    """Versions that cannot stand together: one version with two contents, a change of currency or unit."""
    faults = []
    versions: dict[tuple[str, int], ProgramSpec] = {}
    assets: dict[str, ProgramSpec] = {}
    for program in programs:
        name = f"{program.program_id} version {program.version}"
        same = versions.setdefault((program.program_id, program.version), program)
        if same != program:
            faults.append(
                Rejected("version", f"{name} comes with two contents", "give the newer one a new version")
            )
        first = assets.setdefault(program.program_id, program)
        if (first.currency, first.reward.unit) != (program.currency, program.reward.unit):
            faults.append(
                Rejected(
                    "currency", f"{name} changes currency or unit", "use a new program_id for another asset"
                )
            )
    return faults


def _yaml_forms(text: str) -> list[tuple[int, Any]]:
    try:
        root = yaml.compose(text, Loader=PlainLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "not YAML"
        return [(mark.line + 1 if mark else 1, Rejected("file", problem, "correct the YAML"))]
    if root is None:
        return []
    nodes = root.value if isinstance(root, yaml.SequenceNode) else [root]
    build = PlainLoader("")
    return [(node.start_mark.line + 1, build.construct_document(node)) for node in nodes]


def _json_forms(text: str) -> list[tuple[int, Any]]:
    forms: list[tuple[int, Any]] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            forms.append((number, json.loads(line)))
        except ValueError as error:
            forms.append((number, Rejected("line", f"not JSON: {error}", "write one JSON object a line")))
    return forms


class PlainLoader(yaml.SafeLoader):
    """YAML as JSON would mean it: an unquoted 2024-01-01T00:00:00Z or 18:00 stays a string."""


PlainLoader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|", "~n\0"),
    ("bool", r"true|false", "tf"),
    ("int", r"-?\d+", "-0123456789"),
    ("float", r"-?\d+\.\d+", "-0123456789"),
):
    PlainLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})$"), [*_first, ""]
    )
