"""A publisher that costs little: checks every signature, counts ids by path, and answers at once.

``python -m ops.bench.webhook_receiver PORT SECRET_FILE``. What is sent to a path below ``/hang`` is never
answered. ``GET /`` is answered with what came so far, by path: requests, different ids, bad signatures.
"""

import asyncio
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

from ops.demo.signatures import Verifier
from ops.embedded.ports import LOOPBACK
from ops.health import HealthServer, Ready
from ops.logs import configure_logging
from ops.settings import get_settings

HANGS = "/hang"
_TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"
_HEAD_END = b"\r\n\r\n"


class Counts:
    """What came in."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._requests: defaultdict[str, int] = defaultdict(int)
        self._ids: defaultdict[str, set[str]] = defaultdict(set)
        self._bad = 0

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """Count one request."""
        event_id = headers["webhook-id"]
        stamp, signatures = headers["webhook-timestamp"], headers["webhook-signature"]
        if not self._verifier.is_valid(event_id, stamp, signatures, body, now_s=time.time()):
            self._bad += 1
        self._requests[path] += 1
        self._ids[path].add(event_id)

    def as_json(self) -> bytes:
        """All of it."""
        paths = {path: [count, len(self._ids[path])] for path, count in self._requests.items()}
        return json.dumps({"paths": paths, "bad_signatures": self._bad}).encode()


class Connection(asyncio.Protocol):
    """One connection, kept alive."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(_HEAD_END)) >= 0:
            first, *lines = self._data[:end].decode("latin-1").split("\r\n")
            headers = {
                name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)
            }
            length = int(headers.get("content-length", 0))
            begin = end + len(_HEAD_END)
            if len(self._data) < begin + length:
                return
            body, self._data = self._data[begin : begin + length], self._data[begin + length :]
            method, path, _ = first.split(" ")
            self._answer(method, path, headers, body)

    def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> None:
        if method == "GET":
            said = self._counts.as_json()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said))
            return
        self._counts.take(path, headers, body)
        if not path.startswith(HANGS):
            self._transport.write(_TAKEN)


async def _run(port: int, secret: str) -> None:
    counts = Counts(Verifier(secret))
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(counts), LOOPBACK, port, backlog=1_024
    )
    settings = get_settings()
    HealthServer(settings.health_host, settings.health_port, Ready)
    await server.serve_forever()


if __name__ == "__main__":
    configure_logging(get_settings(), "receiver")
    asyncio.run(_run(int(sys.argv[1]), Path(sys.argv[2]).read_text(encoding="utf-8").strip()))
