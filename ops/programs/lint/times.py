"""Checks of when versions are in force: late, over, never, with gaps between them, or out of order."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ops.programs.lint.findings import Finding, finding
from ops.programs.timeline import Span, takes_force_by
from schemas.programs import ProgramSpec
from schemas.times import Micros, to_iso


def check(spans: Sequence[Span], ours: set[int], at: Micros) -> Iterator[Finding]:
    """All findings about the versions of one program; `ours`: the versions that are asked about."""
    for span in spans:
        if span.spec.version in ours:
            yield from _alone(span, at)
    rewarding = [span for span in spans if not span.is_empty]
    for before, after in pairwise(rewarding):
        if {before.spec.version, after.spec.version} & ours and after.begins > at:
            yield from _gap(before, after, after.spec if after.spec.version in ours else before.spec)
    for older, newer in pairwise(span.spec for span in spans):
        if {older.version, newer.version} & ours and newer.version < older.version:
            yield _falls_back(older, newer, newer if newer.version in ours else older)


def _alone(span: Span, at: Micros) -> Iterator[Finding]:
    spec = span.spec
    if span.is_empty:
        yield _never(span)
    elif spec.valid_to is not None and spec.valid_to <= at:
        message = f"its validity ended at {to_iso(spec.valid_to)}: it rewards nothing from now on"
        yield finding("already-over", spec, "valid_to", message, "set a later valid_to, or leave it out")
    elif spec.effective_from < at:
        yield finding(
            "late-effective-from",
            spec,
            takes_force_by(spec),
            f"{to_iso(spec.effective_from)} is past: purchases judged since then stay as they were judged",
            "set effective_from to a coming time and publish before it",
        )


def _never(span: Span) -> Finding:
    spec, successor = span.spec, span.successor
    if spec.valid_to is not None and spec.valid_to <= spec.effective_from:
        path, message = (
            takes_force_by(spec),
            f"it takes force when its validity is over, at {to_iso(spec.valid_to)}",
        )
    else:
        assert successor is not None
        path = "version"
        message = (
            f"version {successor.version} takes its place at {to_iso(successor.effective_from)}, "
            "before it rewards anything"
        )
    return finding("never-in-force", spec, path, message, "remove it, or set another effective_from")


def _gap(before: Span, after: Span, subject: ProgramSpec) -> Iterator[Finding]:
    if before.ends is not None and before.ends < after.begins:
        message = (
            f"from {to_iso(before.ends)} to {to_iso(after.begins)} it rewards nothing: version "
            f"{before.spec.version} has ended and version {after.spec.version} has not begun"
        )
        path = "valid_from" if after.begins > after.spec.effective_from else takes_force_by(after.spec)
        remedy = "let one end when the other begins, unless the pause is meant"
        yield finding("gap-between-versions", subject, path, message, remedy)


def _falls_back(before: ProgramSpec, after: ProgramSpec, subject: ProgramSpec) -> Finding:
    return finding(
        "falls-back",
        subject,
        takes_force_by(subject),
        f"at {to_iso(after.effective_from)} version {after.version} takes the place of the newer version "
        f"{before.version}",
        "number versions in the order in which they take force",
    )
