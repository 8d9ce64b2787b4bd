"""Tries mutants on a copy of the tree: the named test must fail there, by an assertion of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic
from xml.etree import ElementTree

from tests.mutants.diffs import ROOT, DoesNotApply, Mutant

_NOT_COPIED = (".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules")
_TRIAL_S_MAX = 600
"""For one test."""
_ASSERTIONS = ("AssertionError", "assert", "Failed: DID NOT RAISE")


class Verdict(StrEnum):
    CAUGHT = "caught"
    SURVIVED = "SURVIVED"
    """The test passed on it."""
    BROKEN = "BROKEN"
    """It does not apply, import or run: nothing was shown."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of letting a mutant loose; `detail` says why it is so."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    detail: str


class Copy:
    """The tree in a scratch directory, where mutants may be let loose."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def try_all(self, mutants: Iterable[Mutant]) -> Iterator[Tried]:
        """Each in turn; the copy is restored after each."""
        for mutant in mutants:
            started = monotonic()
            verdict, detail = self._try(mutant)
            yield Tried(mutant, verdict, monotonic() - started, detail)

    def failures(self, tests: Iterable[str]) -> list[str]:
        """Which of these tests fail on the copy as it is: they would prove nothing."""
        wanted = sorted(set(tests))
        passed, detail = self._passed(wanted)
        return [] if passed else [detail]

    def _try(self, mutant: Mutant) -> tuple[Verdict, str]:
        try:
            changed = mutant.applied(self.root)
            for path, text in changed.items():
                compile(text, str(path), "exec")
        except (DoesNotApply, SyntaxError, OSError) as error:
            return Verdict.BROKEN, str(error)
        kept = {path: path.read_text(encoding="utf-8") for path in changed}
        try:
            for path, text in changed.items():
                path.write_text(text, encoding="utf-8")
            return self._judge(mutant.caught_by)
        finally:
            for path, text in kept.items():
                path.write_text(text, encoding="utf-8")

    def _judge(self, test: str) -> tuple[Verdict, str]:
        with self._report([test]) as cases:
            for case in cases:
                if (failure := case.find("failure")) is not None:
                    message = failure.get("message") or ""
                    if message.startswith(_ASSERTIONS):
                        return Verdict.CAUGHT, message.partition("\n")[0]
                    return Verdict.BROKEN, f"it failed by no assertion: {message}"
                if (error := case.find("error")) is not None:
                    return Verdict.BROKEN, error.get("message") or "error"
                if case.find("skipped") is not None:
                    return Verdict.BROKEN, "the test was skipped"
            return (Verdict.SURVIVED, "the test passed") if cases else (Verdict.BROKEN, "no test ended")

    def _passed(self, tests: list[str]) -> tuple[bool, str]:
        with self._report(tests) as cases:
            wrong = [
                f"{case.get('classname')}::{case.get('name')}"
                for case in cases
                if any(case.find(kind) is not None for kind in ("failure", "error", "skipped"))
            ]
        return bool(cases) and not wrong, f"of the tests as they are: {wrong or 'none ended'}"

    @contextmanager
    def _report(self, tests: list[str]) -> Iterator[list[ElementTree.Element]]:
        report = self.root / "report.xml"
        report.unlink(missing_ok=True)
        command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        command += ["-o", f"timeout={_TRIAL_S_MAX}"]
        with suppress(subprocess.TimeoutExpired):  # there is no report then
            subprocess.run(
                [*command, f"--junitxml={report}", *tests],
                cwd=self.root,
                env={**os.environ, "PYTHONPATH": str(self.root), "PYTHONDONTWRITEBYTECODE": "1"},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_TRIAL_S_MAX * len(tests),
                check=False,
            )
        yield [*ElementTree.parse(report).iter("testcase")] if report.exists() else []


@contextmanager
def copied_tree() -> Iterator[Copy]:
    """A copy of the working tree, with what was compiled, without what was installed; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cashback-mutants-") as directory:
        root = Path(directory) / "tree"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*_NOT_COPIED))
        yield Copy(root)
