"""A lint of a program file: what is refused in it, what is hardly meant, each with its line."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ops.programs.lint.findings import Finding
from ops.programs.lint.run import lint
from ops.programs.plan import Refused, plan
from schemas.errors import Rejected
from schemas.program_files import ProgramFile
from schemas.programs import ProgramSpec
from schemas.times import Micros


@dataclass(frozen=True)
class Place:
    """A finding and the line of the file it is about, from 1."""

    line: int
    finding: Finding

    def to_json(self) -> dict[str, Any]:
        """The finding with its line."""
        return {"line": self.line, **self.finding.to_json()}


def lint_file(found: ProgramFile, *, at: Micros, published: Iterable[ProgramSpec] = ()) -> list[Place]:
    """All findings by line; `published` are the versions the file will stand beside."""
    published = list(published)
    places = [Place(fault.line, _invalid(fault.reason)) for fault in found.faults]
    lines = {}
    fitting = []
    for step, line_of in zip(plan(found.programs, published, at), found.lines, strict=True):
        spec = step.spec
        lines[spec.program_id, spec.version] = line_of
        if isinstance(step, Refused):
            refusal = _contradicts(spec, step.reason)
            places.append(Place(line_of(refusal.path), refusal))
        else:
            fitting.append(spec)
    for each in lint(fitting, at=at, published=published):
        assert each.program_id is not None
        assert each.version is not None
        places.append(Place(lines[each.program_id, each.version](each.path), each))
    return sorted(places, key=lambda place: place.line)


def _invalid(reason: Rejected) -> Finding:
    return Finding("invalid", None, None, reason.field, reason.problem, reason.remedy)


def _contradicts(spec: ProgramSpec, reason: Rejected) -> Finding:
    return Finding(
        "contradicts-published", spec.program_id, spec.version, reason.field, reason.problem, reason.remedy
    )
