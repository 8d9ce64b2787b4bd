"""One attempt: a signed POST with a deadline, of which nothing follows but its answer."""

import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sinks.webhooks.addresses import AddressRefused, SocketFactory
from sinks.webhooks.packing import Packed
from sinks.webhooks.signing import Key, sign

READ_BYTES_MAX = 64 * 1024
KEPT_BYTES_MAX = 20 * 1000
KEPT_BYTES_OF_SUCCESS_MAX = 1_000
ERROR_CHARS_MAX = 300
_CONNECT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `status` None: nothing, and `error` says why; `latency_us` in microseconds."""

    status: int | None
    latency_us: int
    error: str | None = None
    retry_after: str | None = None
    response: bytes | None = None


class Sender:
    """A pool of connections that may only lead to the internet (or loopback, where the settings allow it)."""

    def __init__(
        self,
        *,
        timeout_s: float,
        host_connections: int,
        allow_loopback: bool,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """To be made inside a running event loop. `timeout_s` bounds one whole attempt.

        `resolver` looks names up; none: that of the system.
        """
        self._timeout_s = timeout_s
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=0,
                limit_per_host=host_connections,
                keepalive_timeout=30,
                resolver=resolver,
                socket_factory=SocketFactory(allow_loopback=allow_loopback),
            ),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=timeout_s * _CONNECT_SHARE),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            headers={"Accept-Encoding": "identity", "User-Agent": "cashback-webhooks/1"},
            skip_auto_headers=("Accept",),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def send(self, url: URL, keys: Sequence[Key], packed: Packed) -> Answer:
        """Send once; never raises for what a receiver or the network does."""
        now_s = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "webhook-id": packed.message_id,
            "webhook-timestamp": str(now_s),
            "webhook-signature": sign(
                keys, message_id=packed.message_id, timestamp_s=now_s, body=packed.body
            ),
        }
        began_s = time.perf_counter()
        status: int | None = None
        retry_after: str | None = None
        try:
            async with self._session.post(
                url, data=packed.body, headers=headers, allow_redirects=False
            ) as answer:
                status = answer.status
                success = 200 <= status < 300
                retry_after = answer.headers.get("Retry-After") if status >= 300 else None
                content = await _bounded(answer, KEPT_BYTES_OF_SUCCESS_MAX if success else KEPT_BYTES_MAX)
            return Answer(status, _us_since(began_s), None, retry_after, content)
        except (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError, ValueError) as error:
            # Once the status is there the receiver has decided, whatever becomes of the rest of its answer.
            return Answer(status, _us_since(began_s), _said(error, self._timeout_s), retry_after)


async def _bounded(answer: aiohttp.ClientResponse, kept_max: int) -> bytes | None:
    if answer.content_length == 0:
        return None
    kept = b""
    read = 0
    async for chunk in answer.content.iter_any():
        read += len(chunk)
        if len(kept) < kept_max:
            kept += chunk[: kept_max - len(kept)]
        if read >= READ_BYTES_MAX:
            answer.close()  # the connection with it: the rest is not waited for
            break
    return kept or None


def _us_since(began_s: float) -> int:
    return int((time.perf_counter() - began_s) * 1e6)


def _said(error: BaseException, timeout_s: float) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, AddressRefused):
            return str(cause)
        cause = getattr(cause, "os_error", None) or cause.__cause__
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_s:g} s"
    return f"{type(error).__name__}: {error}"[:ERROR_CHARS_MAX]
