"""A wall clock that is wrong, for one process: a small library preloaded into it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

_SOURCE = Path(__file__).with_name("skew.c")


class NoCompiler(Exception):
    """The library cannot be built here; the message says why."""


def skewed_by(seconds: int, directory: Path) -> Mapping[str, str]:
    """Environment of a process whose clock is off by so much; builds the library if it is not there yet.

    Raises `NoCompiler`.
    """
    library = directory / "skew.so"
    if not library.exists():
        compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if os.uname().sysname != "Linux" or compiler is None:
            raise NoCompiler("needs Linux and a C compiler (cc, gcc or clang)")
        unfinished = directory / "skew.unfinished.so"
        build = [compiler, "-shared", "-fPIC", "-O1", "-o", str(unfinished), str(_SOURCE), "-ldl"]
        done = subprocess.run(build, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise NoCompiler(f"{compiler} failed: {' '.join(done.stderr.split())[:300]}")
        unfinished.replace(library)
    return {"LD_PRELOAD": str(library), "SKEW_S": str(seconds)}
