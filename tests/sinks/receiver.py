"""A receiver of webhooks that behaves as a test tells it to."""

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from aiohttp import web
from standardwebhooks import Webhook

from sinks.webhooks.signing import key_of, sign


@dataclass(frozen=True)
class Received:
    """One request as it came, in the order of arrival."""

    path: str
    message_id: str
    body: bytes
    headers: dict[str, str]


@dataclass(frozen=True)
class Reply:
    """What to answer.

    `hang` leaves the request open, `endless` never ends the body, `reset` cuts the connection instead of an
    answer, `lost` in the middle of its first line.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"ok"
    hang: bool = False
    endless: bool = False
    reset: bool = False
    lost: bool = False


class Receiver:
    """An HTTP server on loopback in a thread.

    `script`: replies for the next requests of a path; `each`: for the first requests with each id there;
    `always`: for all others. `refused`: requests with these bytes are answered 500 before all that.
    `most_open`: requests that were open at the same time, at most.
    """

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: dict[str, deque[Reply]] = {}
        self.each: dict[str, deque[Reply]] = {}
        self.always: dict[str, Reply] = {}
        self.refused: bytes | None = None
        self.most_open = 0
        self._open = 0
        self._times: Counter[tuple[str, str]] = Counter()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def ids(self, path: str) -> list[str]:
        return [each.message_id for each in self.received if each.path == path]

    def times_received(self) -> Counter[str]:
        return Counter(each.message_id for each in self.received)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._closing = asyncio.Event()
        app = web.Application()
        app.router.add_route("*", "/{rest:.*}", self._answer)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port: int = runner.addresses[0][1]
        self._ready.set()
        await self._closing.wait()
        await runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._open += 1
        self.most_open = max(self.most_open, self._open)
        try:
            return await self._answered(request)
        finally:
            self._open -= 1

    async def _answered(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.received.append(
            Received(request.path, request.headers["webhook-id"], body, dict(request.headers.items()))
        )
        reply = Reply(500) if self.refused and self.refused in body else self._reply(request)
        if reply.hang:
            await self._closing.wait()
        if request.transport is not None and (reply.reset or reply.lost):
            if reply.lost:
                request.transport.write(b"HTTP/1.1 2")
                await asyncio.sleep(0.01)
            request.transport.abort()
        if reply.endless:
            stream = web.StreamResponse(status=reply.status)
            await stream.prepare(request)
            with suppress(ConnectionResetError):  # the sender reads a bounded part and hangs up
                while not self._closing.is_set():
                    await stream.write(b"x" * 65_536)
            return stream
        return web.Response(status=reply.status, headers=reply.headers, body=reply.body)

    def _reply(self, request: web.Request) -> Reply:
        if waiting := self.script.get(request.path):
            return waiting.popleft()
        so_often = request.path, request.headers["webhook-id"]
        self._times[so_often] += 1
        for_each = self.each.get(request.path, ())
        if self._times[so_often] <= len(for_each):
            return for_each[self._times[so_often] - 1]
        return self.always.get(request.path, Reply())


def verifier(secret: str) -> Callable[[Received], object]:
    """Checks a request with the official package and returns the parsed body; raises if it is not genuine."""
    webhook = Webhook(secret)
    return lambda received: webhook.verify(received.body, received.headers)


def signed(body: bytes, *secrets: str, at_s: int | None = None, message_id: str = "evt_1") -> dict[str, str]:
    """The headers of a webhook signed with these secrets or key pairs, at a time (Unix seconds; now)."""
    at_s = int(time.time()) if at_s is None else at_s
    keys = [key_of(each) for each in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(keys, message_id=message_id, timestamp_s=at_s, body=body),
    }
