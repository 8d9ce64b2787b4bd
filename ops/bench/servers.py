"""The servers of a bench: those named, or embedded ones that end with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ops.embedded.jars import Say
from ops.embedded.kafka import Kafka
from ops.embedded.postgres import Postgres
from ops.settings import Settings


@contextmanager
def kafka_server(brokers: str | None, settings: Settings, files: Path, say: Say) -> Iterator[str]:
    """Bootstrap servers. Raises `StartError`."""
    if brokers:
        yield brokers
        return
    server = Kafka(files / "kafka", settings.home, say=say)
    server.start()
    try:
        yield server.bootstrap
    finally:
        server.stop()


@contextmanager
def postgres_server(database: str | None, files: Path, say: Say) -> Iterator[str]:
    """URL of an empty database. Raises `StartError`."""
    if database:
        yield database
        return
    server = Postgres(files / "postgres", say=say)
    server.start()
    try:
        yield server.url
    finally:
        server.stop()
