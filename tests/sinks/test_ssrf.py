"""Where webhooks must never connect: tried with real sockets that listen, and count who comes."""

import asyncio
import gzip
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from sinks.webhooks.packing import Packed
from sinks.webhooks.sending import KEPT_BYTES_MAX, READ_BYTES_MAX, Answer, Sender
from sinks.webhooks.signing import key_of, new_secret
from sinks.webhooks.terms import EndpointRefused, check_url
from tests.eventually import eventually
from tests.sinks.receiver import Receiver, Reply

KEY, PACKED = key_of(new_secret()), Packed("evt_1", b"{}", None)


class Trap:
    """Listens on every address of this machine and counts connections."""

    def __init__(self) -> None:
        self._sockets = [self._listening(socket.AF_INET, "0.0.0.0", 0)]
        self.port = int(self._sockets[0].getsockname()[1])
        self._sockets.append(self._listening(socket.AF_INET6, "::", self.port))
        self._connections = 0
        self._threads = [threading.Thread(target=self._accept, args=(each,)) for each in self._sockets]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _listening(family: int, address: str, port: int) -> socket.socket:
        listening = socket.socket(family)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((address, port))
        listening.listen()
        return listening

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._connections += 1
            connection.close()

    def visitors(self) -> int:
        """Who came so far. Whoever came before our own visit is accepted before it."""
        before = self._connections
        for host in ("127.0.0.1", "::1"):
            socket.create_connection((host, self.port)).close()
        eventually(lambda: self._connections >= before + 2, timeout_s=10)
        self._connections -= 2
        return self._connections

    def close(self) -> None:
        for each in self._sockets:
            each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def trap() -> Iterator[Trap]:
    opened = Trap()
    yield opened
    opened.close()


class Names(AbstractResolver):
    """A name server that says what a test wants: for each look-up the next answer, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        addresses = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        pass


def send(
    url: str, resolver: Callable[[], AbstractResolver] | None = None, *, times: int = 1, **changes: Any
) -> list[Answer]:
    """What becomes of messages to `url`, one after the other through one pool of connections."""

    async def all_of_them() -> list[Answer]:
        settings = {"timeout_s": 5, "host_connections": 4, "allow_loopback": False} | changes
        sender = Sender(**settings, resolver=resolver() if resolver else None)
        try:
            return [await sender.send(URL(url, encoded=True), [KEY], PACKED) for _ in range(times)]
        finally:
            await sender.close()

    return asyncio.run(all_of_them())


def test_the_trap_counts_whoever_comes(trap: Trap) -> None:
    for host in ("127.0.0.1", "[::1]"):
        send(f"http://{host}:{trap.port}/", allow_loopback=True)
    assert trap.visitors() == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.9.8.7", "0.0.0.0", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254",
        "[fe80::1]", "[fc00::1]", "100.64.0.1",
        # What the system's own resolver takes for an address: decimal, octal, hexadecimal, short.
        "2130706433", "0177.0.0.1", "0x7f.0.0.1", "0x7f000001", "127.1", "017700000001", "0",
        "localhost", "LOCALHOST",
    ],
)  # fmt: skip
def test_no_spelling_of_an_address_inside_is_connected_to(trap: Trap, host: str) -> None:
    with pytest.raises(EndpointRefused, match="url: "):
        check_url(f"https://{host}/", allow_loopback=False)
    # Were it in the database all the same:
    [answer] = send(f"http://{host}:{trap.port}/", ThreadedResolver)
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.endswith(("is not a public address", "is not a canonical IPv4 address"))
    assert trap.visitors() == 0


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["::ffff:0:0"], ["10.1.2.3"], ["172.31.0.1"],
        ["192.168.1.1"], ["169.254.169.254"], ["fe80::1"], ["fd00::1"], ["0.0.0.0"], ["::"],
        ["100.64.0.1"], ["198.18.0.1"], ["2002:7f00:1::"], ["64:ff9b::7f00:1"], ["::127.0.0.1"],
        ["224.0.0.1"], ["255.255.255.255"],
        ["10.0.0.1", "127.0.0.1", "::1"],
    ],
)  # fmt: skip
def test_a_public_name_that_leads_inside_is_not_connected_to(trap: Trap, addresses: list[str]) -> None:
    names = Names(addresses)
    url = f"https://hooks.example.com:{trap.port}/"
    [answer] = send(url, lambda: names)
    assert names.asked == 1
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.endswith("is not a public address")
    assert trap.visitors() == 0


def test_a_name_that_leads_elsewhere_the_second_time_is_checked_each_time_it_is_connected_to(
    trap: Trap,
) -> None:
    check_url("https://rebinds.example.com/", allow_loopback=False)
    names = Names(["192.0.2.1"], ["127.0.0.1"], ["::ffff:127.0.0.1"], ["0.0.0.0"])
    answers = send(f"https://rebinds.example.com:{trap.port}/", lambda: names, times=4)
    assert {answer.status for answer in answers} == {None}
    assert trap.visitors() == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_not_followed(trap: Trap, status: int) -> None:
    receiver = Receiver()
    receiver.always["/hook"] = Reply(status, {"Location": f"http://127.0.0.1:{trap.port}/"})
    try:
        [answer] = send(receiver.url("/hook"), allow_loopback=True)
    finally:
        receiver.close()
    assert answer.status == status
    assert trap.visitors() == 0


def test_no_proxy_of_the_environment_is_asked(trap: Trap, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{trap.port}")
    receiver = Receiver()
    try:
        [answer] = send(receiver.url("/hook"), allow_loopback=True)
    finally:
        receiver.close()
    assert (answer.status, len(receiver.received), trap.visitors()) == (200, 1, 0)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://user@example.com/", "credentials"), ("https://user:pw@example.com/", "credentials"),
        ("https://:pw@example.com/", "credentials"), ("https://example.com@127.0.0.1/", "credentials"),
        ("https://example.com:80/", "port 80 is not allowed; use 443 or 8443"),
        ("https://example.com:22/", "port 22"),
        ("https://example.com:0/", "port 0"), ("https://example.com:8444/", "port 8444"),
        ("https://127.0.0.1\\@example.com/", "read in two ways"), ("https://example.com:443:22/", "url: "),
        ("https://[::1/", "url: "), ("gopher://example.com/", "not an https address"),
        ("file:///etc/passwd", "not an https address"), ("https:///etc/passwd", "not an https address"),
    ],
)  # fmt: skip
def test_credentials_other_ports_and_other_schemes_are_refused(url: str, told: str) -> None:
    with pytest.raises(EndpointRefused, match=told):
        check_url(url, allow_loopback=False)


def test_a_compressed_answer_is_kept_as_it_came_and_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    receiver = Receiver()
    receiver.always["/bomb"] = Reply(500, {"Content-Encoding": "gzip"}, body=bomb)
    try:
        [answer] = send(receiver.url("/bomb"), allow_loopback=True)
        assert receiver.received[0].headers["Accept-Encoding"] == "identity"
    finally:
        receiver.close()
    assert len(bomb) > KEPT_BYTES_MAX
    assert answer.response == bomb[:KEPT_BYTES_MAX]


class Talker:
    """Answers every connection with bytes, again and again until it is cut off, and counts them."""

    def __init__(self, first: bytes, then: bytes, *, every_s: float = 0.0) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/"
        self.said_bytes = 0
        self.was_cut_off = threading.Event()
        self._stop = threading.Event()
        self._said = (first, then, every_s)
        self._thread = threading.Thread(target=self._talk)
        self._thread.start()

    def _talk(self) -> None:
        first, then, every_s = self._said
        connection, _ = self._listening.accept()
        with connection:
            connection.settimeout(10)
            connection.recv(65_536)
            try:
                connection.sendall(first)
                while not self._stop.wait(every_s) if every_s else not self._stop.is_set():
                    connection.sendall(then)
                    self.said_bytes += len(then)
            except OSError:
                self.was_cut_off.set()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(15)
        self._listening.close()


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
SENT_AHEAD_MAX = 16_000_000
"""What lies in the buffers of both sockets when one hangs up."""


def test_of_an_endless_answer_a_bounded_part_is_read() -> None:
    talker = Talker(HEAD + b"\r\n", b"x" * 65_536)
    try:
        [answer] = send(talker.url, allow_loopback=True)
        assert talker.was_cut_off.wait(10)
    finally:
        talker.close()
    assert answer.status == 200, "it has decided, whatever else it says"
    assert READ_BYTES_MAX < SENT_AHEAD_MAX
    assert talker.said_bytes < SENT_AHEAD_MAX


def test_endless_headers_are_cut_off() -> None:
    talker = Talker(HEAD, b"X-More: " + b"y" * 4_000 + b"\r\n")
    try:
        [answer] = send(talker.url, allow_loopback=True)
        assert talker.was_cut_off.wait(10)
    finally:
        talker.close()
    assert answer.status is None
    assert talker.said_bytes < SENT_AHEAD_MAX


@pytest.mark.parametrize("first", [HEAD, HEAD + b"\r\n"])
def test_who_trickles_is_left_when_the_time_of_the_whole_attempt_is_up(first: bytes) -> None:
    talker = Talker(first, b"X-A: b\r\n", every_s=0.05)
    try:
        [answer] = send(talker.url, allow_loopback=True, timeout_s=0.5)
        assert talker.was_cut_off.wait(10)
    finally:
        talker.close()
    assert answer.error == "no answer within 0.5 s"
    assert answer.latency_us < 5_000_000


def test_who_asks_to_be_left_alone_is_heard_though_the_rest_of_the_answer_never_comes() -> None:
    talker = Talker(
        b"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 1000000\r\n\r\n", b"x", every_s=0.05
    )
    try:
        [answer] = send(talker.url, allow_loopback=True, timeout_s=0.5)
    finally:
        talker.close()
    assert (answer.status, answer.retry_after) == (429, "7")
