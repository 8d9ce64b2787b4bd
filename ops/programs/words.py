"""Plans and versions in words and as JSON."""

from collections.abc import Iterator, Sequence
from typing import Any, assert_never

from ops.programs.differences import differences
from ops.programs.plan import Added, Refused, Step, Unchanged
from ops.programs.timeline import Span, State
from schemas.programs import ProgramSpec
from schemas.times import Micros, to_iso


def number(count: int, noun: str) -> str:
    """`1 version`, `2 versions`."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def late(spec: ProgramSpec) -> str:
    """What publishing a version after its time means."""
    return (
        f"{spec.program_id} version {spec.version} is in force since {to_iso(spec.effective_from)}, which is "
        "past: purchases judged since then stay as they were judged"
    )


def span(span: Span, at: Micros) -> str:
    """When a version rewards, seen from `at`."""
    state = span.state(at)
    if state is State.NEVER:
        return "never rewards"
    until = "" if span.ends is None else f" until {to_iso(span.ends)}"
    return f"{state}, rewards from {to_iso(span.begins)}{until}"


def summary(steps: Sequence[Step], partitions: int, *, written: bool) -> str:
    """The last line of an apply."""
    added = sum(isinstance(step, Added) for step in steps)
    refused = sum(isinstance(step, Refused) for step in steps)
    if written:
        said = [f"{number(added, 'version')} applied to {number(partitions, 'partition')} and the catalogue"]
    else:
        said = [f"{number(added, 'version')} to apply"]
    said += [f"{len(steps) - added - refused} unchanged"]
    return ", ".join(said + ([f"{refused} refused"] if refused else []))


def changed(step: Step) -> list[str]:
    """The lines in which a version differs from the one it replaces, or from itself as published."""
    match step:
        case Added(spec, old):
            return differences(old, spec)
        case Refused(spec, _, published):
            return differences(published, spec) if published else []
        case Unchanged():
            return []
        case _:
            assert_never(step)


def comparison(step: Step, place: str) -> Iterator[str]:
    """A version against what it replaces, as a unified difference; nothing for one that is unchanged."""
    name = f"{step.spec.program_id} version {step.spec.version}"
    match step:
        case Unchanged():
            return
        case Added(spec, old, until, is_late):
            yield "--- not published" if old is None else f"--- {old.program_id} version {old.version}"
            end = "" if until is None else f" until {to_iso(until)}"
            yield f"+++ {name} ({place}), in force from {to_iso(spec.effective_from)}{end}"
            if is_late:
                yield f"@@ late: {late(spec)}"
        case Refused(_, reason, published):
            yield f"--- {name} as published" if published else "--- not published"
            yield f"+++ {name} ({place}), refused"
            yield f"@@ {reason}"
        case _:
            assert_never(step)
    lines = changed(step)
    yield from lines
    if not lines:
        yield " nothing but the version and its time"


def step_json(step: Step, line: int) -> dict[str, Any]:
    """What becomes of a program of a file that stands in `line`."""
    said: dict[str, Any] = {
        "program_id": step.spec.program_id,
        "version": step.spec.version,
        "line": line,
        "effective_from": to_iso(step.spec.effective_from),
    }
    match step:
        case Added(_, old, until, is_late):
            said |= {"outcome": "added", "replaces": None if old is None else old.version, "late": is_late}
            said["until"] = None if until is None else to_iso(until)
        case Unchanged():
            said["outcome"] = "unchanged"
        case Refused(_, reason):
            said |= {"outcome": "refused", "path": reason.field, "problem": reason.problem}
            said["remedy"] = reason.remedy
        case _:
            assert_never(step)
    return said


def span_json(span: Span, at: Micros) -> dict[str, Any]:
    """A version with its state at `at`, its time, and its form."""
    return {
        "program_id": span.spec.program_id,
        "version": span.spec.version,
        "state": span.state(at),
        "rewards_from": None if span.is_empty else to_iso(span.begins),
        "until": None if span.is_empty or span.ends is None else to_iso(span.ends),
        "program": span.spec.to_json(),
    }
