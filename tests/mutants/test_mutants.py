"""The known bugs still apply to the code as it is, and those that are caught at once are caught."""

from __future__ import annotations

import pytest

from tests.mutants.diffs import ROOT, DoesNotApply, Hunk, Mutant, mutants
from tests.mutants.trial import Verdict, copied_tree

MUTANTS = mutants()
QUICK = ("dedup-by-id-only", "fence-after-restore", "lower-offsets-taken", "refund-by-todays-rule")
"""Tried in every run of the tests; `make mutants` tries all."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_every_mutant_applies_and_compiles(mutant: Mutant) -> None:
    for path, text in mutant.applied(ROOT).items():
        compile(text, str(path), "exec")


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_test_that_must_catch_a_mutant_exists(mutant: Mutant) -> None:
    path, _, name = mutant.caught_by.partition("::")
    assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_some_mutants_are_caught_in_every_run() -> None:
    chosen = [mutant for mutant in MUTANTS if mutant.name in QUICK]
    harmless = Mutant("harmless", "none", chosen[0].caught_by, ())
    senseless = Mutant("senseless", "no such name", chosen[0].caught_by, (_import_of_nothing(),))
    with copied_tree() as copy:
        tried = {each.mutant.name: each.verdict for each in copy.try_all([*chosen, harmless, senseless])}
    assert tried.pop("harmless") is Verdict.SURVIVED
    assert tried.pop("senseless") is Verdict.BROKEN
    assert tried == dict.fromkeys(QUICK, Verdict.CAUGHT)


def test_a_diff_that_no_longer_fits_says_so() -> None:
    gone = Mutant("gone", "", "", (Hunk("streams/fold.py", "no such line\n", ""),))
    with pytest.raises(DoesNotApply, match=r"gone: streams/fold.py has these lines 0 times"):
        gone.applied(ROOT)


def _import_of_nothing() -> Hunk:
    lines = (ROOT / "streams/fold.py").read_text(encoding="utf-8").splitlines(keepends=True)
    first = next(line for line in lines if line.startswith("from "))
    return Hunk("streams/fold.py", first, f"import nothing_of_this_name\n{first}")
