"""The whole system comes up in order, comes back after accidents and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from pydantic import SecretStr

from ops import topics
from ops.embedded.children import StartError
from ops.running import find_running
from ops.settings import Settings
from ops.up import Stack, environment_of, programs
from schemas.topics import TOPICS
from sinks import migrations
from tests.eventually import eventually


def test_servers_from_outside_get_topics_and_tables(
    tmp_path: Path, broker: str, database: str, topic_prefix: str
) -> None:
    said: list[str] = []
    settings = Settings(topic_prefix=topic_prefix)
    stack = Stack(settings, tmp_path, brokers=broker, database=database, say=said.append)
    try:
        stack.start_servers()
        topics.check(stack.settings)
        migrations.check(database)
        assert said == [f"Topics: {len(TOPICS)} created", "Tables: up to date"]
        running = find_running(tmp_path)
        assert running is not None
        assert (running.brokers, running.database_url) == (broker, database)
    finally:
        stack.stop()
    assert find_running(tmp_path) is None


def test_an_outside_server_that_does_not_answer_is_named_before_anything_starts(tmp_path: Path) -> None:
    stack = Stack(Settings(), tmp_path, database="postgresql://127.0.0.1:1/nothing")
    with pytest.raises(StartError, match="--database: no PostgreSQL answers"), stack:
        pass
    assert not (tmp_path / "kafka").exists()


def test_data_of_one_clock_is_not_continued_with_the_other(tmp_path: Path) -> None:
    (tmp_path / "clock").write_text("event")
    stack = Stack(Settings(clock="broker"), tmp_path)
    with pytest.raises(StartError, match=r"made with clock=event.*Use --clock event"), stack:
        pass


def test_a_server_that_died_is_started_again_with_its_data(
    data_directory: Path, broker: str, topic_prefix: str
) -> None:
    stack = Stack(Settings(topic_prefix=topic_prefix), data_directory, brokers=broker)
    try:
        stack.start_servers()
        before = kill_postgres(stack)
        stack.look_after_servers()
        assert stack.settings.database_url == before
        migrations.check(before)
        for _ in range(2):
            kill_postgres(stack)
            stack.look_after_servers()
        kill_postgres(stack)
        with pytest.raises(StartError, match="ends again and again"):
            stack.look_after_servers()
    finally:
        stack.stop()


def kill_postgres(stack: Stack) -> str:
    """End the embedded server as an accident would; returns its URL."""
    postgres = stack.postgres
    assert postgres is not None
    os.kill(postgres.pid, signal.SIGKILL)
    eventually(postgres.has_ended)
    return postgres.url


def test_a_ticker_runs_only_where_the_broker_is_the_clock() -> None:
    assert list(programs(Settings(clock="broker"), workers=2)) == [
        *("worker-1", "worker-2", "ledger", "webhooks", "budgets", "places", "ticker")
    ]
    assert list(programs(Settings(clock="event"), workers=1)) == [
        *("worker-1", "ledger", "webhooks", "budgets", "places")
    ]


def test_workers_are_told_apart_by_their_instance() -> None:
    named = programs(Settings(), workers=2)
    instances = {named[name].environment["CASHBACK_INSTANCE_ID"] for name in ("worker-1", "worker-2")}
    assert len(instances) == 2


def test_children_get_every_setting_that_is_not_a_default() -> None:
    settings = Settings(partitions=2, database_url="postgresql://c:pw@h/c")
    given = environment_of(settings.model_copy(update={"registry_url": SecretStr("open sesame")}))

    assert given["CASHBACK_PARTITIONS"] == "2"
    assert given["CASHBACK_DATABASE_URL"] == "postgresql://c:pw@h/c"
    assert given["CASHBACK_REGISTRY_URL"] == "open sesame"
    assert "CASHBACK_COMMISSION_BPS" not in given


def test_a_child_reads_every_kind_of_setting_as_it_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(webhook_retry_delays_s=(0.5, 2), webhook_allow_loopback=True, max_age_days=40)
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


class Up:
    """A real `cashback up` in a process of its own."""

    def __init__(self, data: Path) -> None:
        self.out = data.with_suffix(".out")
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ops.cli", "up", "--data", str(data)], stdout=out, stderr=out
            )

    def wait_ready(self) -> list[psutil.Process]:
        """All processes below it, once it says that it is ready."""
        eventually(lambda: re.search(r"^Ready in", self.said(), re.MULTILINE), timeout_s=100, every_s=0.2)
        return psutil.Process(self.process.pid).children(recursive=True)

    def said(self) -> str:
        """What it printed; fails at once when it has ended."""
        said = self.out.read_text()
        if self.process.poll() is not None and "Ready in" not in said:
            pytest.fail(said)
        return said


@pytest.fixture
def data(data_directory: Path) -> Iterator[Path]:
    """A data directory; whatever still runs on it afterwards is ended."""
    yield data_directory
    for process in psutil.process_iter(["cmdline"]):
        if str(data_directory) in " ".join(process.info["cmdline"] or []):
            process.kill()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_up_survives_kill_9_goes_on_with_its_data_and_stops_clean(data: Path) -> None:
    first = Up(data)
    below = first.wait_ready()
    running = find_running(data)
    assert running is not None
    assert {"java", "postgres"} <= {process.name() for process in below}
    second = Up(data)
    assert second.process.wait(60) == 1
    assert f"already running on {data} (process {first.process.pid})" in second.out.read_text()
    with psycopg.connect(running.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept ()")

    first.process.kill()
    first.process.wait()
    eventually(lambda: not any(alive(process) for process in below), timeout_s=10)

    third = Up(data)
    below = third.wait_ready()
    assert find_running(data) is not None
    with psycopg.connect(running.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    third.process.send_signal(signal.SIGINT)
    assert third.process.wait(40) == 0
    assert not any(alive(process) for process in below)
    assert "killed" not in third.out.read_text()


def alive(process: psutil.Process) -> bool:
    """Whether it still runs; one that nobody has reaped yet does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
