"""A command says at once that nothing listens, and waits for what it cannot tell."""

import socket
from time import monotonic

import pytest

from ops.reachable import KafkaAway, kafka_here


@pytest.fixture
def refusing_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port: int = held.getsockname()[1]
    return port


def test_brokers_that_refuse_are_named_at_once(refusing_port: int) -> None:
    brokers = f"127.0.0.1:{refusing_port},localhost:{refusing_port}"
    began_s = monotonic()
    with pytest.raises(KafkaAway, match=f"^brokers: no Kafka at {brokers} .*CASHBACK_BROKERS$"):
        kafka_here(brokers=brokers)
    assert monotonic() - began_s < 1


def test_one_broker_that_listens_is_enough(refusing_port: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listening = server.getsockname()[1]
        brokers = f"127.0.0.1:{refusing_port},127.0.0.1:{listening}"
        assert kafka_here(brokers=brokers).brokers == brokers


def test_a_name_that_is_not_known_is_left_to_the_client() -> None:
    assert kafka_here(brokers="no-such-host.invalid:9092").brokers == "no-such-host.invalid:9092"
