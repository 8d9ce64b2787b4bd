"""Fixtures of the end-to-end tests."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from ops.embedded.postgres import Postgres
from ops.settings import Settings


@pytest.fixture
def empty_database(postgres: Postgres) -> Iterator[Callable[[], str]]:
    """Makes a database each time it is called and returns its URL; all are dropped after the test."""
    with psycopg.connect(postgres.url, autocommit=True) as admin, ExitStack() as later:

        def make() -> str:
            name = f"t{uuid.uuid4().hex[:12]}"
            admin.execute(f"CREATE DATABASE {name}".encode())
            later.callback(admin.execute, f"DROP DATABASE {name} WITH (FORCE)".encode())
            return postgres.url_of(name)

        yield make


@pytest.fixture
def settings(broker: str, empty_database: Callable[[], str], topic_prefix: str) -> Callable[..., Settings]:
    """Makes settings over real servers, with names of this test alone and whatever else is given."""

    def make(**more: Any) -> Settings:
        return Settings(
            brokers=broker,
            database_url=empty_database(),
            topic_prefix=topic_prefix,
            webhook_allow_loopback=True,
            **more,
        )

    return make
