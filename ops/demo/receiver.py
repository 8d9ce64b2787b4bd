"""A publisher of the demo: takes webhooks, believes none whose signature is wrong, keeps what it got.

``python -m ops.demo.receiver PORT SECRET_FILE RECEIVED_FILE`` listens on loopback. Each accepted webhook is
one line ``event_id<TAB>body`` of RECEIVED_FILE; a receiver started again on it remembers them. A GET is
answered with the counts, once everything counted is in the file.
"""

import asyncio
import contextlib
import hashlib
import signal
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

import msgspec
from aiohttp import web

from ops.demo.signatures import Verifier
from ops.health import HealthServer, Ready
from ops.logs import configure_logging, get_logger
from ops.settings import get_settings

FLUSH_EVERY_S = 0.25
HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


@dataclass
class Stats:
    """What came in. `delivered` counts different events, `repeated` further deliveries of the same."""

    requests: int = 0
    delivered: int = 0
    repeated: int = 0
    refused: int = 0
    """Signature, timestamp or body wrong."""
    conflicting: int = 0
    """The id of an event that came before with another body."""
    misordered: int = 0
    """Cleared or reverted before its created."""


class _Event(msgspec.Struct, gc=False):
    event_id: str
    type: str
    cashback_transaction_id: str


_read_event = msgspec.json.Decoder(_Event).decode


class Receiver:
    """Takes one request after the other; the file is written behind."""

    def __init__(self, verifier: Verifier, received: Path) -> None:
        self.stats = Stats()
        self._verifier = verifier
        self._bodies: dict[str, bytes] = {}
        self._created: set[str] = set()
        if received.exists():
            self._remember(received)
        self._file: IO[bytes] = received.open("ab", buffering=1 << 18)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """204 for a webhook taken, 401 for a wrong signature, 409 for a known id with another body."""
        if request.method == "GET":
            self.flush()
            return web.json_response(asdict(self.stats))
        self.stats.requests += 1
        body = await request.read()
        named = [value for name in HEADERS for value in request.headers.getall(name, ())]
        if len(named) != len(HEADERS):
            return self._refuse()
        event_id, stamp, signatures = named
        if not self._verifier.is_valid(event_id, stamp, signatures, body, now_s=time.time()):
            return self._refuse()
        return self._take(event_id, body)

    def flush(self) -> None:
        """Everything taken is in the file."""
        self._file.flush()

    def close(self) -> None:
        """The last act: everything taken is in the file, and the file is closed."""
        self._file.close()

    def _take(self, event_id: str, body: bytes) -> web.Response:
        digest = hashlib.blake2b(body, digest_size=16).digest()
        known = self._bodies.get(event_id)
        if known is not None:
            if known != digest:
                self.stats.conflicting += 1
                return web.Response(status=409)
            self.stats.repeated += 1
            return web.Response(status=204)
        try:
            event = _read_event(body)
        except msgspec.DecodeError:
            return self._refuse()
        if event.event_id != event_id or b"\n" in body:
            return self._refuse()
        self._bodies[event_id] = digest
        self._note_order(event)
        self.stats.delivered += 1
        self._file.write(b"%b\t%b\n" % (event_id.encode(), body))
        return web.Response(status=204)

    def _note_order(self, event: _Event) -> None:
        if event.type == "cashback.created":
            self._created.add(event.cashback_transaction_id)
        elif event.cashback_transaction_id not in self._created:
            self.stats.misordered += 1

    def _refuse(self) -> web.Response:
        self.stats.refused += 1
        return web.Response(status=401)

    def _remember(self, received: Path) -> None:
        whole = received.read_bytes()
        complete = whole[: whole.rfind(b"\n") + 1]
        if len(complete) < len(whole):
            received.write_bytes(complete)
        for line in complete.splitlines():
            event_id, _, body = line.partition(b"\t")
            self._bodies[event_id.decode()] = hashlib.blake2b(body, digest_size=16).digest()
            self._note_order(_read_event(body))
            self.stats.delivered += 1


async def listen(receiver: Receiver, port: int) -> web.ServerRunner:
    """Take requests on `port` of loopback until the runner's `cleanup`. Raises `OSError` when it is taken."""
    runner = web.ServerRunner(web.Server(receiver.answer, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1_024).start()
    return runner


async def _run(port: int, secret: str, received: Path) -> None:
    settings = get_settings()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    receiver = Receiver(Verifier(secret), received)
    runner = await listen(receiver, port)
    health = HealthServer(settings.health_host, settings.health_port, Ready)
    get_logger().info("receiving", port=port, remembered=receiver.stats.delivered)
    while not stop.is_set():
        receiver.flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), FLUSH_EVERY_S)
    await runner.cleanup()
    receiver.close()
    health.close()
    get_logger().info("stopped", **asdict(receiver.stats))


def main(arguments: list[str]) -> None:
    """The process."""
    port, secret_file, received = arguments
    configure_logging(get_settings(), "receiver")
    asyncio.run(_run(int(port), Path(secret_file).read_text().strip(), Path(received)))


if __name__ == "__main__":
    main(sys.argv[1:])
