"""Program files: a YAML file with a list of programs, or JSON Lines with one program a line."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
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


LineOf = Callable[[str], int]
"""The line of a field by its path (`reward.brackets.0`); of what is not written there, where it belongs."""


@dataclass
class ProgramFile:
    """The good programs of a file in their order, and what was wrong with the others.

    `lines` says of each of `programs` where its fields stand.
    """

    programs: list[ProgramSpec] = field(default_factory=list)
    lines: list[LineOf] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)


def read_programs(path: Path) -> ProgramFile:
    """All programs of a `.yaml`/`.yml` or JSON Lines file. Raises `OSError` when it cannot be read."""
    found = ProgramFile()
    forms = _yaml_forms if path.suffix in (".yaml", ".yml") else _json_forms
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        not_text = Rejected("file", f"byte {error.start} is not UTF-8", "save it as UTF-8")
        found.faults.append(Fault(path, 1, not_text))
        return found
    for form, line_of in forms(text):
        try:
            program = _checked(form, found.programs)
        except ProgramsRefused as refused:
            found.faults += [Fault(path, line_of(fault.field), fault) for fault in refused.faults]
        else:
            found.programs.append(program)
            found.lines.append(line_of)
    return found


def _checked(form: object, earlier: list[ProgramSpec]) -> ProgramSpec:
    if isinstance(form, Rejected):
        raise ProgramsRefused([form])
    program = parse_program(form)
    versions = [each for each in earlier if each.program_id == program.program_id]
    if faults := contradictions([*versions, program]):
        raise ProgramsRefused(faults)
    return program


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


def to_yaml(programs: Iterable[ProgramSpec]) -> str:
    """The file form of programs as YAML: `read_programs` of it gives the same programs."""
    forms = [program.to_json() for program in programs]
    return yaml.dump(
        forms, Dumper=_PlainDumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )


def _yaml_forms(text: str) -> Iterator[tuple[Any, LineOf]]:
    try:
        root = yaml.compose(text, Loader=PlainLoader)
    except (yaml.YAMLError, RecursionError) as error:
        yield _not_yaml(error), _always(_line_of(error))
        return
    if root is None:
        return
    for node in root.value if isinstance(root, yaml.SequenceNode) else [root]:
        try:
            yield PlainLoader("").construct_document(node), _Lines(node)
        except (yaml.YAMLError, ValueError, LookupError) as error:
            yield _not_yaml(error), _always(_line_of(error, node.start_mark.line + 1))


def _not_yaml(error: Exception) -> Rejected:
    return Rejected("file", getattr(error, "problem", None) or f"not YAML: {error}", "correct the YAML")


def _line_of(error: Exception, otherwise: int = 1) -> int:
    mark = getattr(error, "problem_mark", None)
    return mark.line + 1 if mark else otherwise


class _Lines:
    """Finds the line of a field in the YAML it was written in."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node

    def __call__(self, path: str) -> int:
        node = at = self._node
        for part in path.split("."):
            if isinstance(node, yaml.MappingNode):
                found = next(((key, value) for key, value in node.value if key.value == part), None)
                if found is None:
                    break
                at, node = found
            elif isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value):
                at = node = node.value[int(part)]
            else:
                break
        return int(at.start_mark.line) + 1


def _json_forms(text: str) -> Iterator[tuple[Any, LineOf]]:
    # Not splitlines: a text may hold one of the other characters it takes for the end of a line.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            yield json.loads(line, object_pairs_hook=_each_key_once), _always(number)
        except (ValueError, RecursionError) as error:
            yield (
                Rejected("line", f"not JSON: {error}", "write one JSON object a line"),
                _always(number),
            )


def _always(line: int) -> LineOf:
    return lambda path: line


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Of two amounts, JSON and YAML would silently take the last.
    form = dict(pairs)
    if len(form) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice} is given twice")
    return form


class PlainLoader(yaml.SafeLoader):
    """YAML as JSON would mean it: an unquoted 2024-01-01T00:00:00Z, 18:00 or 0100 stays a string."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a list or mapping stands where a name should"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if key.value in names:
                problem = f"{key.value} is given twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            names.add(key.value)
        return super().construct_mapping(node, deep)


class _PlainDumper(yaml.SafeDumper):
    """Quotes what `PlainLoader` would not read as the string it is, and nothing else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _decimal(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    return int(str(loader.construct_scalar(node)))


PlainLoader.yaml_constructors = {
    tag: constructor
    for tag, constructor in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.rpartition(":")[2] in ("null", "bool", "int", "float", "str", "seq", "map")
}
# PyYAML's own reads 0100 as 64.
PlainLoader.add_constructor("tag:yaml.org,2002:int", _decimal)

_PLAIN_TYPES = (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"-?(?:0|[1-9]\d{0,18})", list("-0123456789")),
    ("float", r"-?\d+\.\d+", list("-0123456789")),
)
for _class in (PlainLoader, _PlainDumper):
    _class.yaml_implicit_resolvers = {}
    for _tag, _pattern, _first in _PLAIN_TYPES:
        _class.add_implicit_resolver(
            f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z", re.ASCII), _first
        )
