"""Skipping for want of a service is for laptops; in CI it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NEEDY = """
import pytest
from tests.plugins.services import missing_service

@pytest.fixture
def service():
    missing_service("Kafka: no network")

def test_needs_it(service): ...

@pytest.mark.skip(reason="by choice")
def test_by_choice(): ...
"""


@pytest.mark.parametrize(
    ("ci", "closing"), [("", "2 skipped"), ("true", "1 skipped, 1 error")], ids=["laptop", "CI"]
)
def test_a_missing_service_skips_on_a_laptop_and_fails_in_ci(tmp_path: Path, ci: str, closing: str) -> None:
    (tmp_path / "test_needy.py").write_text(NEEDY)
    run = [sys.executable, "-m", "pytest", "-ra", "-p", "tests.plugins.services", "-p", "no:cacheprovider"]
    answer = subprocess.run(
        [*run, "--rootdir", str(tmp_path), str(tmp_path)],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert closing in answer.stdout.splitlines()[-1]
    assert "Kafka: no network" in answer.stdout
