"""All checks of some programs, in one list."""

from collections.abc import Iterable
from itertools import chain

from ops.programs.lint import fields, limits, meeting, rewards, times
from ops.programs.lint.findings import Finding
from ops.programs.lint.rivals import Rival
from ops.programs.lint.terms import Terms
from ops.programs.timeline import by_program
from schemas.programs import ProgramSpec
from schemas.times import Micros


def lint(
    programs: Iterable[ProgramSpec], *, at: Micros, published: Iterable[ProgramSpec] = ()
) -> list[Finding]:
    """What is to be said of `programs` at the time `at`, in their order.

    `published`: other versions they will stand beside; nothing is said of those alone, nor of a program that
    is published just as it is.
    """
    known = {(spec.program_id, spec.version): spec for spec in published}
    asked = {(spec.program_id, spec.version): spec for spec in programs}
    asked = {name: spec for name, spec in asked.items() if known.get(name) != spec}
    timelines = by_program((known | asked).values())
    found: list[Finding] = []
    rivals = []
    for name, spans in timelines.items():
        ours = {version for program_id, version in asked if program_id == name}
        found += times.check(spans, ours, at)
        rivals += [
            Rival(span, terms, is_ours=span.spec.version in ours)
            for span in spans
            if (terms := Terms(span.spec)).program.is_rival
            and not span.is_empty
            and not _is_over(span.ends, at)
        ]
    for spec in asked.values():
        terms = Terms(spec)
        found += chain(rewards.check(terms), limits.check(terms), fields.check(spec))
    found += meeting.check(rivals)
    order = {name: place for place, name in enumerate(asked)}
    return sorted(found, key=lambda each: order.get((each.program_id or "", each.version or 0), 0))


def _is_over(ends: Micros | None, at: Micros) -> bool:
    return ends is not None and ends <= at
