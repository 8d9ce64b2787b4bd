"""A process whose clock is wrong is wrong about the time, and about nothing else."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ops.torture.clocks import NoCompiler, skewed_by
from tests.plugins.services import missing_service

SAY = """
import threading, time
began_s, rest = time.monotonic(), threading.Condition()
with rest:
    rest.wait(0.1)
threading.Lock().acquire(timeout=0.1)
print(time.time(), time.monotonic() - began_s)
"""


@pytest.mark.parametrize("seconds", [3_600, -3_600])
def test_an_hour_off_it_still_waits_as_long_as_it_should(seconds: int, tmp_path: Path) -> None:
    try:
        skewed = skewed_by(seconds, tmp_path)
    except NoCompiler as error:
        missing_service(f"clock skew: {error}")
    said = subprocess.run(
        [sys.executable, "-c", SAY],
        env={**os.environ, **skewed},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.split()
    assert abs(float(said[0]) - time.time() - seconds) < 60
    assert 0.1 <= float(said[1]) < 20
