"""Known bugs as unified diffs: what they are, which test must catch them, and how they are applied.

A diff begins with two lines that say so:

    # Bug: the hold is forgotten
    # Caught by: tests/simulation/test_simulation.py::test_a_thousand_histories_hold_every_rule

Hunks are found by their text, not by their line numbers, so that code may move around them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


class DoesNotApply(Exception):
    """The code that a diff changes is not there, or is there twice."""


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines of one file as they are and as the bug has them."""

    path: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug by name."""

    name: str
    bug: str
    caught_by: str
    hunks: tuple[Hunk, ...]

    def applied(self, root: Path) -> dict[Path, str]:
        """The changed files under `root`, with their new content. Raises DoesNotApply."""
        texts: dict[Path, str] = {}
        for hunk in self.hunks:
            path = root / hunk.path
            text = texts.get(path) or path.read_text(encoding="utf-8")
            if (times := text.count(hunk.before)) != 1:
                raise DoesNotApply(f"{self.name}: {hunk.path} has these lines {times} times:\n{hunk.before}")
            texts[path] = text.replace(hunk.before, hunk.after)
        return texts


def mutants() -> list[Mutant]:
    """All of them, by name."""
    return [read(path) for path in sorted(HERE.glob("*.diff"))]


def read(path: Path) -> Mutant:
    """The mutant in a file. Raises ValueError when its head is missing."""
    lines = path.read_text(encoding="utf-8").splitlines()
    said = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    if said.keys() != {"Bug", "Caught by"}:
        raise ValueError(f"{path.name}: begin with '# Bug: …' and '# Caught by: …'")
    return Mutant(path.stem, said["Bug"], said["Caught by"], tuple(_hunks(lines)))


def _hunks(lines: list[str]) -> list[Hunk]:
    hunks: list[Hunk] = []
    path, before, after = "", "", ""
    for line in [*lines, "@@"]:
        if line.startswith("--- "):
            continue
        if line.startswith(("@@", "+++ ")):
            if before or after:
                hunks.append(Hunk(path, before, after))
            before = after = ""
            path = line[4:].removeprefix("b/") if line.startswith("+++ ") else path
        elif line.startswith("#") and not path:
            continue
        else:
            mark, text = line[:1], line[1:] + "\n"
            before += text if mark in (" ", "-", "") else ""
            after += text if mark in (" ", "+", "") else ""
    return hunks
