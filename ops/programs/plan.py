"""What applying programs would do: each compared with the published ones, nothing written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from ops.programs.timeline import in_order, predecessor
from schemas.codec import encode
from schemas.errors import Rejected
from schemas.program_files import contradictions
from schemas.programs import ProgramSpec, to_datum
from schemas.times import Micros

PROGRAM_BYTES_MAX = 900_000
"""Of its record: a producer and a topic take a megabyte, with key, headers and frame."""


@dataclass(frozen=True)
class Added:
    """A version not published yet.

    `replaces`: the version in force before it; `until`: when the next one takes its place; `is_late`: it is
    in force since before now, and purchases judged since then stay as they were judged.
    """

    spec: ProgramSpec
    replaces: ProgramSpec | None
    until: Micros | None
    is_late: bool


@dataclass(frozen=True)
class Unchanged:
    """Published already, with this content."""

    spec: ProgramSpec


@dataclass(frozen=True)
class Refused:
    """It contradicts what is published, or no topic takes it. `published`: the same version as it stands
    there, if that is why.
    """

    spec: ProgramSpec
    reason: Rejected
    published: ProgramSpec | None


Step: TypeAlias = Added | Unchanged | Refused


def plan(programs: Iterable[ProgramSpec], published: Iterable[ProgramSpec], now: Micros) -> list[Step]:
    """One step a program of `programs`, in their order; all of them are to be applied together."""
    versions: dict[str, list[ProgramSpec]] = {}
    for spec in published:
        versions.setdefault(spec.program_id, []).append(spec)
    steps: list[Step] = []
    for spec in programs:
        known = versions.setdefault(spec.program_id, [])
        if spec in known:
            steps.append(Unchanged(spec))
        elif faults := contradictions([*known, spec]):
            same = next((each for each in known if each.version == spec.version), None)
            steps.append(Refused(spec, faults[0], same))
        elif (fault := _too_large(spec)) is not None:
            steps.append(Refused(spec, fault, None))
        else:
            known.append(spec)
            steps.append(Added(spec, None, None, is_late=spec.effective_from < now))
    # Only now all versions are known that may come before or after.
    return [
        _placed(step, versions[step.spec.program_id]) if isinstance(step, Added) else step for step in steps
    ]


def _too_large(spec: ProgramSpec) -> Rejected | None:
    """Found before anything is written: the brokers would refuse it amidst the others."""
    datum = to_datum(spec)
    size = len(encode("Program", datum))
    if size <= PROGRAM_BYTES_MAX:
        return None
    field = max(datum, key=lambda name: len(datum[name]) if isinstance(datum[name], list) else 0)
    problem = f"makes the program {size} bytes long, above {PROGRAM_BYTES_MAX}"
    return Rejected(field, problem, "spread it over several programs")


def _placed(step: Added, versions: list[ProgramSpec]) -> Added:
    later = [each for each in in_order(versions) if each.effective_from > step.spec.effective_from]
    return Added(
        step.spec,
        predecessor(step.spec, versions),
        later[0].effective_from if later else None,
        step.is_late,
    )
