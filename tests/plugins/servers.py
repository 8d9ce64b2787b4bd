"""One real Kafka and one real PostgreSQL a test session, started by the first test that asks."""

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.embedded.children import StartError
from ops.embedded.jars import classpath
from ops.embedded.kafka import Kafka
from ops.embedded.postgres import Postgres
from ops.settings import get_settings
from tests.plugins.services import missing_service


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """With several processes (-n) this one sees no test: it downloads for them, before they all begin to."""
    if getattr(session.config.option, "numprocesses", None):
        _download(session.config)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Download Kafka before the first test, where its progress is seen and no test's time limit runs."""
    if any("kafka" in getattr(item, "fixturenames", ()) for item in session.items):
        _download(session.config)


def _download(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or config.option.collectonly:
        return
    # Without a network the fixture below finds the same again, and says which tests miss what.
    with contextlib.suppress(StartError):
        classpath(get_settings().home, reporter.write_line)


@pytest.fixture(scope="session")
def server_files() -> Iterator[Path]:
    """Where the servers of this session keep their data.

    Not pytest's own temporary directory: each new session makes that one unreadable again for the user
    PostgreSQL runs as.
    """
    with tempfile.TemporaryDirectory(prefix="cashback-tests-") as directory:
        yield Path(directory)


@pytest.fixture
def data_directory() -> Iterator[Path]:
    """An empty directory for servers of one test, for the same reason outside of pytest's own."""
    with tempfile.TemporaryDirectory(prefix="cashback-test-") as directory:
        yield Path(directory) / "data"


@pytest.fixture(scope="session")
def kafka(server_files: Path) -> Iterator[Kafka]:
    """The running broker itself, for tests that stop or inspect it."""
    server = Kafka(server_files / "kafka", get_settings().home, say=print)
    try:
        server.start()
    except StartError as error:
        missing_service(f"Kafka: {error}")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker(kafka: Kafka) -> str:
    """Bootstrap servers of a real Kafka. Shared by all tests: use `topic_prefix` for names."""
    return kafka.bootstrap


@pytest.fixture
def topic_prefix() -> str:
    """A prefix nobody else uses, for topics, groups and transactional ids of one test."""
    return f"t{uuid.uuid4().hex[:12]}-"


@pytest.fixture(scope="session")
def postgres(server_files: Path) -> Iterator[Postgres]:
    """The running PostgreSQL server itself."""
    server = Postgres(server_files / "postgres", durable=False)
    try:
        server.start()
    except StartError as error:
        missing_service(f"PostgreSQL: {error}")
    yield server
    server.stop()


@pytest.fixture
def database(postgres: Postgres) -> Iterator[str]:
    """URL of a fresh, empty database, dropped after the test."""
    name = f"t{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield postgres.url_of(name)
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
