"""Gates are a network that can be bad, and a good one afterwards."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ops.embedded.ports import lasting_ports
from ops.torture.proxy import Gate, Network
from tests.eventually import eventually
from tests.torture.echo import EchoServer, connect, exactly


@pytest.fixture
def gate() -> Iterator[Gate]:
    """A gate before an echo."""
    with EchoServer() as server, Network() as network:
        yield network.gate(lasting_ports(1)[0], server.port)


def test_what_is_large_comes_through_whole_and_in_order(gate: Gate) -> None:
    said = bytes(range(256)) * 20_000
    with connect(gate.port) as connection:
        speaker = threading.Thread(target=connection.sendall, args=(said,))
        speaker.start()
        assert exactly(connection, len(said)) == said
        speaker.join()


def test_a_slow_gate_keeps_the_order_also_when_it_turns_quick_again(gate: Gate) -> None:
    with connect(gate.port) as connection:
        gate.slow(delay_s=0.2)
        began_s = time.monotonic()
        connection.sendall(b"first ")
        assert exactly(connection, 6) == b"first "
        assert time.monotonic() - began_s >= 0.4
        connection.sendall(b"second ")
        gate.open()
        connection.sendall(b"third")
        assert exactly(connection, 12) == b"second third"


def test_a_gate_that_refuses_ends_what_is_there_and_what_comes(gate: Gate) -> None:
    with connect(gate.port) as before:
        before.sendall(b"hello")
        assert exactly(before, 5) == b"hello"
        gate.refuse()
        assert _is_ended(before.recv)
        assert _is_ended(lambda count: _ask(gate.port, count))
    gate.open()
    with connect(gate.port) as after:
        after.sendall(b"again")
        assert exactly(after, 5) == b"again"


def test_who_lost_something_in_a_half_open_connection_is_reset_when_it_heals(gate: Gate) -> None:
    with connect(gate.port) as quiet, connect(gate.port) as talking:
        for each in (quiet, talking):
            each.sendall(b"hello")
            assert exactly(each, 5) == b"hello"
        gate.swallow()
        talking.sendall(b"lost")
        eventually(lambda: any(link.has_lost for link in tuple(gate.links)))
        talking.settimeout(0.3)
        with pytest.raises(TimeoutError):
            talking.recv(1)
        talking.settimeout(10)
        gate.open()
        assert _is_ended(talking.recv)
        quiet.sendall(b"still")
        assert exactly(quiet, 5) == b"still"


def _is_ended(receive: Callable[[int], bytes]) -> bool:
    try:
        return receive(1) == b""
    except ConnectionResetError:
        return True


def _ask(port: int, count: int) -> bytes:
    with connect(port) as connection:
        return exactly(connection, count)
