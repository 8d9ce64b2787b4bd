"""The ticker as a process."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from os import environ

import pytest

from ops.embedded.ports import free_port
from ops.health import Ready, ask_readiness
from ops.settings import Settings
from schemas.codec import decode
from tests.connectors.conftest import ReadAll
from tests.eventually import eventually

Ticker = tuple[subprocess.Popen[bytes], int]


@pytest.fixture
def ticker(settings: Settings) -> Iterator[Ticker]:
    port = free_port()
    variables = {
        **environ,
        "CASHBACK_BROKERS": settings.brokers,
        "CASHBACK_TOPIC_PREFIX": settings.topic_prefix,
        "CASHBACK_HEALTH_PORT": str(port),
    }
    process = subprocess.Popen([sys.executable, "-m", "connectors.ticker"], env=variables)
    yield process, port
    process.kill()
    process.wait()


def test_it_ticks_in_every_partition_says_it_is_ready_and_ends_cleanly(
    ticker: Ticker, read_all: ReadAll
) -> None:
    process, port = ticker
    eventually(lambda: isinstance(ask_readiness(port), Ready), timeout_s=20)
    eventually(lambda: len(read_all("inputs")) >= 6, timeout_s=20)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    ticks = read_all("inputs")
    assert {record.partition() for record in ticks} == {0, 1, 2}
    assert {decode(record.value())[0] for record in ticks} == {"Tick"}


def test_it_waits_for_a_broker_that_is_away() -> None:
    port = free_port()
    variables = {**environ, "CASHBACK_BROKERS": "127.0.0.1:1", "CASHBACK_HEALTH_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "connectors.ticker"], env=variables, stderr=subprocess.PIPE
    )
    try:
        eventually(lambda: "no tick" in getattr(ask_readiness(port), "reason", ""), timeout_s=20)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
    assert b"stopped" in said
