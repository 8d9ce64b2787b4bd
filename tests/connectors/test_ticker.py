"""The ticker as a process."""

import signal
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from os import environ

import pytest
from confluent_kafka import Producer
from prometheus_client.parser import text_string_to_metric_families

from connectors.quarantine import Desk, Words
from ops.embedded.ports import free_port
from ops.health import Ready, ask_readiness
from ops.settings import Settings
from schemas.codec import decode
from schemas.quarantine import Place
from streams import quarantine
from tests.connectors.conftest import ReadAll
from tests.eventually import eventually

OPEN = "cashback_quarantine_open_records conflict"
OLDEST = "cashback_quarantine_oldest_seconds"

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


def test_it_shows_how_many_quarantined_records_wait_and_since_when(
    ticker: Ticker, settings: Settings
) -> None:
    _, port = ticker
    hour_ago_ms = time.time_ns() // 1_000_000 - 3_600_000
    set_aside(settings, {Place(0, 1): hour_ago_ms, Place(2, 5): hour_ago_ms + 1_800_000})
    eventually(lambda: scraped(port)[OPEN] == 2, timeout_s=20)
    assert 3_600 <= scraped(port)[OLDEST] < 3_700
    Desk(settings).discard([Place(0, 1)], Words("ann", "a test", time.time_ns() // 1_000))
    eventually(lambda: scraped(port)[OPEN] == 1, timeout_s=20)
    assert 1_800 <= scraped(port)[OLDEST] < 1_900
    Desk(settings).discard([Place(2, 5)], Words("ann", "a test", time.time_ns() // 1_000))
    eventually(lambda: (scraped(port)[OPEN], scraped(port)[OLDEST]) == (0, 0), timeout_s=20)


def set_aside(settings: Settings, first_seen_ms: dict[Place, int]) -> None:
    """Conflicts in the quarantine, as a worker puts them there, and one record that nobody knows."""
    producer = Producer({"bootstrap.servers": settings.brokers})
    topic = settings.topic_prefix + "quarantine"
    producer.produce(topic, b"stray")
    for place, at_ms in first_seen_ms.items():
        headers = quarantine.headers(
            topic=settings.topic_prefix + "inputs",
            partition=place.partition,
            offset=place.offset,
            first_seen_ms=at_ms,
            reason="conflict",
            message="identity: other content",
            error="Conflicting",
        )
        producer.produce(topic, b"bytes", b"bank:ann", headers=list(headers))
    assert producer.flush(30) == 0


def scraped(port: int) -> dict[str, float]:
    """Every series the ticker serves; none while it does not answer."""
    found: dict[str, float] = defaultdict(lambda: -1)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return found
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[" ".join([sample.name, *sample.labels.values()])] = sample.value
    return found


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
