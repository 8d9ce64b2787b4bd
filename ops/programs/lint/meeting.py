"""Checks of programs that exclude each other: where they can meet on one purchase, and which of them wins."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import combinations

from ops.programs.lint.findings import Finding, finding
from ops.programs.lint.rivals import Meeting, Rival, meet

_NAMED = 5
"""So many others are named in a message; `others` has all."""

_SAID = {
    "overlap": (
        "it can meet others on one purchase",
        "nothing, if it is meant; else set priority, or stack one",
    ),
    "tie": ("nothing that was chosen decides", "give one of them a higher priority, or make one stackable"),
    "shadowed": (
        "one never rewards",
        "give that one a higher priority, make it stackable, or narrow the other",
    ),
}


def check(rivals: Iterable[Rival]) -> Iterator[Finding]:
    """All findings about programs that meet: one a version and code, however many it meets."""
    ordered = sorted(rivals, key=lambda rival: (rival.name, rival.span.begins))
    found: dict[tuple[str, str, int], list[Meeting]] = {}
    said: set[tuple[str, str, str]] = set()
    for one, other in combinations(ordered, 2):
        if one.name == other.name or not (one.is_ours or other.is_ours):
            continue
        for each in meet(one, other):
            # What a version before it met is not said of the next one too.
            if (key := (each.code, each.subject.name, each.said)) not in said:
                said.add(key)
                of_version = each.code, each.subject.name, each.subject.program.version
                found.setdefault(of_version, []).append(each)
    for meetings in found.values():
        yield _finding(meetings)


def _finding(meetings: list[Meeting]) -> Finding:
    first = meetings[0]
    what, remedy = _SAID[first.code]
    more = [f"and {len(meetings) - _NAMED} more"] if len(meetings) > _NAMED else []
    said = "; ".join([meeting.said for meeting in meetings[:_NAMED]] + more)
    path = "program_id" if first.code == "overlap" else "priority"
    others = tuple(dict.fromkeys(meeting.other.name for meeting in meetings))
    return replace(
        finding(first.code, first.subject.terms.spec, path, f"{what}: {said}", remedy), others=others
    )
