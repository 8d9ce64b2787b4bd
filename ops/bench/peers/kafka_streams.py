"""Kafka Streams as a program: its jars, and its source compiled.

Compiled by Eclipse's compiler, a jar that needs no JDK: the runtime that the embedded broker uses will do.
``python -m ops.bench.peers.kafka_streams`` resolves the jars anew and rewrites the lock.
"""

import subprocess
import sys
from pathlib import Path

from ops.bench.peers.step import Place
from ops.embedded.children import StartError
from ops.embedded.jars import KAFKA_VERSION, Say, locked_jars, write_lock
from ops.embedded.java import find_java

ROOTS = (
    f"org.apache.kafka:kafka-streams:{KAFKA_VERSION}",
    "org.apache.avro:avro:1.12.1",
    "org.slf4j:slf4j-nop:1.7.36",
    "org.eclipse.jdt:ecj:3.40.0",
)
LOCK = Path(__file__).with_name("kafka-streams-jars.lock")
SOURCE = Path(__file__).with_name("KafkaStreamsStep.java")
COMPILER = "org.eclipse.jdt.internal.compiler.batch.Main"
JAVA_RELEASE = "-17"
COMPILE_TIMEOUT_S = 120

# Measured on two cores: the parallel collector costs least, and this heap keeps its collections few.
JVM = ("-XX:+UseParallelGC", "-Xms768m", "-Xmx768m")


def program(place: Place, classes: Path, home: Path, store: str, say: Say) -> tuple[str, ...]:
    """The command line, after compiling into `classes`. Raises `StartError`."""
    jars = locked_jars(LOCK, f"kafka-streams-{KAFKA_VERSION}", home, say)
    java = str(find_java())
    _compile(java, jars, classes)
    class_path = ":".join(str(path) for path in (classes, *jars))
    avro = str(SOURCE.with_name("avro"))
    return (java, *JVM, "-cp", class_path, SOURCE.stem, *place.arguments(), avro, store)


def _compile(java: str, jars: list[Path], classes: Path) -> None:
    class_path = ":".join(str(jar) for jar in jars)
    options = [JAVA_RELEASE, "-proc:none", "-nowarn", "-d", str(classes)]
    compiler = [java, "-cp", class_path, COMPILER, *options, "-classpath", class_path, str(SOURCE)]
    compiled = subprocess.run(compiler, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S)
    if compiled.returncode:
        raise StartError(f"{SOURCE.name} does not compile:\n{compiled.stdout}{compiled.stderr}")


if __name__ == "__main__":
    sys.stdout.write(f"locked {write_lock(ROOTS, LOCK)} jars\n")
