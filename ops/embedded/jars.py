"""Kafka's jars, exactly those of `kafka-jars.lock`, verified and cached.

jgo fetches them from Maven Central without Maven. It writes straight to the final name and only warns about
a wrong checksum, so every file is checked here against the lock before it counts: an interrupted download
is repeated, a tampered one refused.

``python -m ops.embedded.jars`` resolves the dependency tree anew and rewrites the lock.
"""

import hashlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ops.embedded.children import StartError

KAFKA_VERSION = "4.1.0"
ROOTS = (
    f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
    "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3",  # without it Kafka says nothing at all
)
LOCK = Path(__file__).with_name("kafka-jars.lock")
DOWNLOADS_AT_ONCE = 4
REQUEST_TIMEOUT_S = 60

Say = Callable[[str], None]


@dataclass(frozen=True)
class Jar:
    """One locked file: Maven coordinate (group:artifact:version), SHA-256 in hex, size in bytes."""

    coordinate: str
    sha256: str
    size_bytes: int

    @property
    def path(self) -> Path:
        """Where it lies in a Maven repository, relative to its root."""
        group, artifact, version = self.coordinate.split(":")
        return Path(*group.split("."), artifact, version, f"{artifact}-{version}.jar")


def classpath(home: Path, say: Say) -> list[Path]:
    """Paths of Kafka's jars under `home`, downloading the missing ones and saying so.

    Raises `StartError` when a download fails or does not match the lock.
    """
    return locked_jars(LOCK, f"kafka-{KAFKA_VERSION}", home, say)


def locked_jars(lock: Path, name: str, home: Path, say: Say) -> list[Path]:
    """The same for any lock file; `name` is what is said to be downloaded."""
    repository = home / "maven"
    locked = read_lock(lock)
    complete = home / f"{name}.complete"
    fingerprint = hashlib.sha256(lock.read_bytes()).hexdigest()
    present = all((repository / jar.path).is_file() for jar in locked)
    if not (present and complete.is_file() and complete.read_text() == fingerprint):
        _download(repository, locked, name, say)
        complete.write_text(fingerprint)
    return [repository / jar.path for jar in locked]


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """The locked jars, in class path order."""
    fields = (line.split() for line in lock.read_text().splitlines() if line and not line.startswith("#"))
    return [Jar(coordinate, sha256, int(size)) for coordinate, sha256, size in fields]


def _download(repository: Path, jars: list[Jar], name: str, say: Say) -> None:
    missing = [jar for jar in jars if not _is_intact(repository / jar.path, jar)]
    if not missing:
        return
    total_bytes = sum(jar.size_bytes for jar in missing)
    say(f"Downloading {name}: {len(missing)} files, {total_bytes / 1e6:.0f} MB, once")
    got_bytes, next_report = 0, 0.25
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        for jar in pool.map(lambda jar: _fetch(repository, jar), missing):
            got_bytes += jar.size_bytes
            if got_bytes >= next_report * total_bytes:
                say(f"  {got_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB")
                next_report = got_bytes / total_bytes + 0.25


def _fetch(repository: Path, jar: Jar) -> Jar:
    # Fetched beside its place and moved there whole: two starts at once never see half a file.
    with tempfile.TemporaryDirectory(prefix="fetch-", dir=_made(repository)) as beside:
        fetched = _fetch_into(Path(beside), jar)
        if not _is_intact(fetched, jar):
            raise StartError(
                f"{jar.coordinate} was downloaded but is not the locked file (SHA-256 differs). "
                "Something on the way changes downloads: try another network, or remove that proxy."
            )
        place = repository / jar.path
        _made(place.parent)
        fetched.replace(place)
    return jar


def _fetch_into(directory: Path, jar: Jar) -> Path:
    from jgo.maven import MavenContext

    group, artifact, version = jar.coordinate.split(":")
    context = MavenContext(repo_cache=directory, timeout=REQUEST_TIMEOUT_S)
    try:
        return Path(context.project(group, artifact).at_version(version).artifact().resolve())
    except Exception as error:  # jgo and requests raise many kinds; the remedy is the same for all
        raise StartError(
            f"cannot download {jar.coordinate} from Maven Central: {error}. "
            "Check the network and try again, or use --brokers with a Kafka that runs already."
        ) from error


def _is_intact(path: Path, jar: Jar) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def _made(directory: Path) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def write_lock(roots: Iterable[str] = ROOTS, lock: Path = LOCK) -> int:
    """Resolve `roots` with all they need and rewrite `lock`; returns the number of jars.

    Each root is resolved alone and the first one's versions win: resolved together, the managed versions of
    a small one would replace those Kafka was tested with.
    """
    locked: dict[str, Jar] = {}
    with tempfile.TemporaryDirectory(prefix="resolve-") as scratch:
        for root in roots:
            for jar in _resolve(root, Path(scratch)):
                locked.setdefault(jar.coordinate.rpartition(":")[0], jar)
    lines = [f"{jar.coordinate} {jar.sha256} {jar.size_bytes}" for jar in locked.values()]
    lock.write_text("\n".join(["# coordinate sha256 bytes; written, not edited", *lines, ""]))
    return len(locked)


def _resolve(root: str, repository: Path) -> Iterator[Jar]:
    from jgo.maven import MavenContext
    from jgo.parse import Endpoint

    context = MavenContext(repo_cache=repository, timeout=REQUEST_TIMEOUT_S)
    wanted = context.create_dependency(replace(Endpoint.parse(root).coordinates[0], scope="compile"))
    inputs, needed = context.resolver.resolve([wanted])
    for dependency in (*inputs, *needed):
        if dependency.scope in ("compile", "runtime"):
            artifact = dependency.artifact
            content = artifact.resolve().read_bytes()
            coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"
            yield Jar(coordinate, hashlib.sha256(content).hexdigest(), len(content))


if __name__ == "__main__":
    sys.stdout.write(f"locked {write_lock()} jars\n")
