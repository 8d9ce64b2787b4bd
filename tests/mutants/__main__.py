"""`python -m tests.mutants [NAME…]`: let known bugs loose on a copy of the tree; each must be caught."""

from __future__ import annotations

import argparse
import json
import sys

from tests.mutants.diffs import mutants
from tests.mutants.trial import Tried, Verdict, copied_tree


def main() -> int:
    """Exit code 0 when all are caught, 1 when one is not, 2 on wrong use."""
    parser = argparse.ArgumentParser(prog="mutants", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to try; all when none is given")
    parser.add_argument("--list", action="store_true", help="name them with what they are, try none")
    parser.add_argument("--json", action="store_true", help="end with one JSON object")
    given = parser.parse_args()
    known = {mutant.name: mutant for mutant in mutants()}
    if unknown := [name for name in given.names if name not in known]:
        parser.error(f"unknown: {', '.join(unknown)}; --list names them")
    chosen = [known[name] for name in given.names] or list(known.values())
    if given.list:
        for mutant in chosen:
            _say(f"{mutant.name:<32} {mutant.bug}\n{'':<32} {mutant.caught_by}")
        return 0
    tried = []
    with copied_tree() as copy:
        if failing := copy.failures(mutant.caught_by for mutant in chosen):
            _say(f"nothing can be shown, these fail without any mutant: {failing}")
            return 1
        for each in copy.try_all(chosen):
            tried.append(each)
            _say(_row(each))
    caught = sum(each.verdict is Verdict.CAUGHT for each in tried)
    _say(f"{caught} of {len(tried)} caught")
    if given.json:
        print(json.dumps({"caught": caught, "tried": [_as_json(each) for each in tried]}))
    return 0 if caught == len(tried) else 1


def _row(tried: Tried) -> str:
    test = tried.mutant.caught_by.rpartition("::")[2]
    row = f"{tried.mutant.name:<32} {tried.verdict:<9} {tried.seconds:6.1f} s  {test}"
    return row if tried.verdict is Verdict.CAUGHT else f"{row}\n{'':<32} {tried.detail}"


def _as_json(tried: Tried) -> dict[str, object]:
    return {
        "name": tried.mutant.name,
        "bug": tried.mutant.bug,
        "verdict": tried.verdict.value.lower(),
        "caught_by": tried.mutant.caught_by,
        "seconds": round(tried.seconds, 1),
        "detail": tried.detail,
    }


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
