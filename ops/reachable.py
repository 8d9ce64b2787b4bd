"""Whether Kafka answers, before a command waits for it.

librdkafka takes a refused connection for a passing thing and tries on for ten seconds or more; who forgot to
start the system would look at an empty screen meanwhile.
"""

import socket

from ops.running import settings_here
from ops.settings import Settings

CONNECT_TIMEOUT_S = 2.0


class KafkaAway(Exception):
    """Every broker refuses connections; the message says what to do."""


def kafka_here(*, brokers: str | None = None, database_url: str | None = None) -> Settings:
    """As `settings_here`. Raises `KafkaAway` at once when every broker refuses the connection.

    Anything less plain (a name that is not known, no answer) is left to the client and its patience.
    """
    settings = settings_here(brokers=brokers, database_url=database_url)
    if all(_refuses(address) for address in settings.brokers.split(",")):
        raise KafkaAway(
            f"brokers: no Kafka at {settings.brokers} (connection refused); start one with `cashback up`, "
            "or set CASHBACK_BROKERS"
        )
    return settings


def _refuses(address: str) -> bool:
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_TIMEOUT_S).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False
