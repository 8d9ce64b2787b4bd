"""The environment that Quix Streams runs in: it pins an older confluent-kafka than ours."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from ops.bench.peers.step import Place
from ops.embedded.children import StartError
from ops.embedded.jars import Say

REQUIREMENTS = Path(__file__).with_name("quix-requirements.txt")
SCRIPT = Path(__file__).with_name("quix_streams.py")
INSTALL_TIMEOUT_S = 600
_UV_OF_THE_TREE = Path(__file__).parents[3] / ".tools" / "bin" / "uv"


def program(place: Place, home: Path, say: Say) -> tuple[str, ...]:
    """The command line, in an environment of exactly the hashed requirements. Raises `StartError`."""
    return (str(environment(home, say)), "-I", str(SCRIPT), *place.arguments())


def environment(home: Path, say: Say) -> Path:
    """The interpreter of the environment under `home`, made if the requirements or our Python changed."""
    fingerprint = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    directory = home / "peers" / f"quix-{fingerprint[:12]}"
    python, complete = directory / "bin" / "python", directory / "complete"
    if not complete.exists():
        uv = _UV_OF_THE_TREE if _UV_OF_THE_TREE.exists() else shutil.which("uv")
        if uv is None:
            raise StartError("uv is not there to install Quix Streams: run `make .venv`, which brings it")
        say("Installing Quix Streams into an environment of its own, once")
        _run(str(uv), "venv", "--quiet", "--clear", "--python", sys.executable, str(directory))
        exact = ("--require-hashes", "--only-binary", ":all:")
        _run(str(uv), "pip", "sync", "--quiet", *exact, "--python", str(python), str(REQUIREMENTS))
        complete.touch()
    return python


def _run(*command: str) -> None:
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except subprocess.TimeoutExpired as error:
        raise StartError(f"{' '.join(command)} took longer than {INSTALL_TIMEOUT_S} s") from error
    if ran.returncode:
        raise StartError(f"{' '.join(command)} failed:\n{ran.stderr}")
