"""A network that can be bad: TCP connections pass through gates that delay, throttle, swallow or cut them."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from enum import StrEnum
from types import TracebackType
from typing import Any, Self, cast

from ops.embedded.ports import LOOPBACK
from ops.torture.commits import Cut, Dialogue

WAITING_BYTES_MAX = 1 << 20
CALL_S_MAX = 10.0
CLOSING_S = 0.1
"""For connections that are reset to be gone."""


class Mood(StrEnum):
    """What a gate does with connections."""

    OPEN = "open"
    REFUSED = "refused"
    """Ends them all with a reset, and every new one."""
    SWALLOWED = "swallowed"
    """Keeps them and delivers nothing: half open. When it opens again they are reset."""


class Gate:
    """One address before one server. Its methods may be called from any thread."""

    def __init__(self, network: "Network", port: int, target_port: int, *, speaks_postgres: bool) -> None:
        self.port = port
        self.target_port = target_port
        self.speaks_postgres = speaks_postgres
        self.mood = Mood.OPEN
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.cut: Cut | None = None
        self.links: set[_Link] = set()
        self._network = network

    def open(self) -> None:
        """As a good network: no delay, no limit; what was swallowed is found out by a reset."""
        self._network.call(self._open())

    def refuse(self) -> None:
        """Cut everything and let nobody in."""
        self._network.call(self._refuse())

    def swallow(self) -> None:
        """Deliver nothing more, and say nothing."""
        self._network.call(self._become(Mood.SWALLOWED))

    def slow(self, *, delay_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        """Each way: everything `delay_s` later, and not more than so many bytes a second."""
        self._network.call(self._slow(delay_s, bytes_per_s))

    def cut_commit(self, cut: Cut) -> None:
        """Cut the connection over which the next COMMIT goes, as `cut` says."""
        self._network.call(self._arm(cut))

    async def _become(self, mood: Mood) -> None:
        self.mood = mood

    async def _open(self) -> None:
        self.mood, self.delay_s, self.bytes_per_s, self.cut = Mood.OPEN, 0.0, None, None
        for link in [link for link in self.links if link.has_lost]:
            link.reset()

    async def _refuse(self) -> None:
        self.mood = Mood.REFUSED
        for link in list(self.links):
            link.reset()

    async def _slow(self, delay_s: float, bytes_per_s: float | None) -> None:
        self.delay_s, self.bytes_per_s = delay_s, bytes_per_s

    async def _arm(self, cut: Cut) -> None:
        self.cut = cut


class _Link:
    """A client's connection and the one to the server behind it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.has_lost = False
        self.client: _Side | None = None
        self.server: _Side | None = None
        self.dialogue = Dialogue() if gate.speaks_postgres else None
        gate.links.add(self)

    def reset(self) -> None:
        """Both ends find out at once."""
        self.gate.links.discard(self)
        for side in (self.client, self.server):
            if side is not None:
                side.reset()

    def pass_on(self, side: "_Side", data: bytes) -> None:
        gate = self.gate
        if gate.mood is Mood.SWALLOWED:
            self.has_lost = True
            return
        is_cut = False
        if self.dialogue is not None:
            said = self.dialogue.said if side is self.client else self.dialogue.answered
            data, is_cut = said(data, gate.cut)
        to = self.server if side is self.client else self.client
        if to is not None and data:
            to.write(data)
        if is_cut:
            gate.cut = None
            self.reset()


class _Side(asyncio.Protocol):
    """One of the two connections of a link; what it is given is written when it is time."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._free_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WAITING_BYTES_MAX)
        if self._link not in self._link.gate.links:  # reset while it was being made
            self.reset()
            return
        early, self._early = self._early, []
        for data in early:
            self.write(data)

    def data_received(self, data: bytes) -> None:
        self._link.pass_on(self, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if self._link in self._link.gate.links:
            self._link.gate.links.discard(self._link)
            other = self.other
            if other is not None:
                other.end()

    def pause_writing(self) -> None:
        if (other := self.other) is not None and other._transport is not None:
            other._transport.pause_reading()

    def resume_writing(self) -> None:
        if (other := self.other) is not None and other._transport is not None:
            with contextlib.suppress(RuntimeError):
                other._transport.resume_reading()

    @property
    def other(self) -> "_Side | None":
        return self._link.server if self is self._link.client else self._link.client

    def write(self, data: bytes) -> None:
        """Write at once, or as late and as slowly as the gate is; never out of order."""
        if self._transport is None:
            self._early.append(data)
            return
        loop, gate = asyncio.get_running_loop(), self._link.gate
        now = loop.time()
        at = max(now + gate.delay_s, self._free_at)
        if gate.bytes_per_s:
            at += len(data) / gate.bytes_per_s
        if at <= now:
            self._transport.write(data)
        else:
            self._free_at = at
            loop.call_at(at, self._transport.write, data)

    def end(self) -> None:
        """Close when everything given is written."""
        if self._transport is not None:
            late_s = self._free_at - asyncio.get_running_loop().time()
            asyncio.get_running_loop().call_later(max(0.0, late_s), self._transport.close)

    def reset(self) -> None:
        if self._transport is not None:
            connection = self._transport.get_extra_info("socket")
            if connection is not None:
                with contextlib.suppress(OSError):  # closed already
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()


class Network:
    """All gates, served by one thread; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        self._gates: list[Gate] = []
        self._connecting: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def gate(self, port: int, target_port: int, *, speaks_postgres: bool = False) -> Gate:
        """Listen on `port` of loopback for the server behind `target_port`. Raises OSError."""
        gate = Gate(self, port, target_port, speaks_postgres=speaks_postgres)
        self.call(self._listen(gate))
        self._gates.append(gate)
        return gate

    def call(self, work: Coroutine[Any, Any, None]) -> None:
        """Have it done in the network's thread. Raises what it raises; TimeoutError after ten seconds."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S_MAX)

    async def _listen(self, gate: Gate) -> None:
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_server(self._accept(gate), LOOPBACK, gate.port, backlog=512))

    def _accept(self, gate: Gate) -> Callable[[], _Side]:
        def accepted() -> _Side:
            link = _Link(gate)
            link.client = _Side(link)
            task = self._loop.create_task(self._connect(link))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)
            return link.client

        return accepted

    async def _connect(self, link: _Link) -> None:
        gate = link.gate
        if gate.mood is Mood.REFUSED:
            link.reset()
            return
        link.server = side = _Side(link)
        try:
            await asyncio.get_running_loop().create_connection(lambda: side, LOOPBACK, gate.target_port)
        except OSError:
            link.reset()
            return
        if link not in gate.links:
            side.reset()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in list(self._connecting):
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)
        for gate in self._gates:
            for link in list(gate.links):
                link.reset()
        await asyncio.sleep(CLOSING_S)
