"""Free TCP ports on loopback."""

import socket
from random import sample

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` of the loopback address now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def free_port(preferred: int | None = None) -> int:
    """`preferred` if nobody listens there, else any free port."""
    if preferred is not None and is_free(preferred):
        return preferred
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


LASTING = range(20_000, 32_000)
"""Below what Linux hands out to outgoing connections: a port of a server that is down stays free."""


def lasting_ports(count: int) -> list[int]:
    """Free ports that nobody takes by chance while their server is down."""
    return sample([port for port in LASTING if is_free(port)], count)
