"""Delivers the queue: claims what is due, sends it side by side, settles what came of it in batches.

One loop talks to the database (settle, then claim), tasks per endpoint talk to receivers. Endpoints share
nothing but the process, so a slow one delays itself only.
"""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
from psycopg import AsyncConnection

from ops.logs import get_logger
from ops.settings import Settings
from sinks.database import become_dispatcher, session_options
from sinks.webhooks.queue import Queue
from sinks.webhooks.rounds import Round, State
from sinks.webhooks.sending import Sender

BACK_OFF_S_MAX = 5.0
FAREWELL_S = 5.0
_BUSY_S = 0.03
_IDLE_S = 0.15
_QUIET_AFTER_S = 2.0
LOOKUPS_MAX = 64
"""Names looked up at once: a name server that hangs holds up its own endpoints only."""


class Dispatcher:
    """The running dispatcher; `run` returns after `stop`."""

    def __init__(self, settings: Settings, *, instance: str) -> None:
        self._settings = settings
        self._instance = instance
        self._stop = asyncio.Event()
        self.state = State()

    def stop(self) -> None:
        """Claim nothing more, let what is under way come to its end for a few seconds, return from `run`."""
        self._stop.set()

    async def run(self) -> None:
        """Raises `Superseded`; a database that is away is waited for."""
        failures = 0
        lookups = ThreadPoolExecutor(LOOKUPS_MAX, thread_name_prefix="lookup")
        asyncio.get_running_loop().set_default_executor(lookups)
        while not self._stop.is_set():
            try:
                async with await AsyncConnection.connect(
                    self._settings.database_url, autocommit=True, **session_options("cashback webhooks")
                ) as connection:
                    await become_dispatcher(connection)
                    queue = Queue(connection, self._instance, stale_ms=self._settings.sink_stale_ms)
                    await queue.enter()
                    failures = 0
                    await self._dispatch(queue)
            except psycopg.OperationalError as error:
                failures += 1
                wait_s = min(BACK_OFF_S_MAX, 0.1 * 2 ** min(failures, 10))
                self.state.doing = "waiting for the database"
                get_logger().warning("database away", error=str(error).strip(), retry_in_s=wait_s)
                await self._sleep(wait_s)
            finally:
                self.state.dispatching = False

    async def _dispatch(self, queue: Queue) -> None:
        sender = Sender(
            timeout_s=self._settings.webhook_timeout_s,
            host_connections=self._settings.webhook_host_connections,
            allow_loopback=self._settings.webhook_allow_loopback,
        )
        round_ = Round(self._settings, self.state, queue, sender)
        self.state.dispatching, self.state.doing = True, "dispatching"
        try:
            busy_s = time.monotonic()
            while not self._stop.is_set():
                if await round_.turn():
                    busy_s = time.monotonic()
                is_quiet = time.monotonic() - busy_s > _QUIET_AFTER_S
                await self._sleep(_IDLE_S if is_quiet else _BUSY_S)
            await round_.farewell(FAREWELL_S)
        finally:
            await round_.abandon()
            await sender.close()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            pass
