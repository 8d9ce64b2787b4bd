"""The Faust app, with everything off that is not needed and everything fatal leading to the one exit."""

from __future__ import annotations

import os
from typing import Any

import faust
from faust.app.base import BootStrategy
from faust.tables.manager import TableManager
from yarl import URL

from streams.engine.exits import ExitCode, FailStop
from streams.engine.readiness import Readiness, State
from streams.engine.settings import EngineSettings


class EngineBoot(BootStrategy):
    """No Faust producer (outputs go through transactions), no web server, no sensors."""

    enable_kafka_producer = False
    enable_web = False
    enable_sensors = False


class EngineWorker(faust.Worker):
    """Leaves logging to the process main, and SIGUSR2 harmless (Faust opens a debugger on it and hangs)."""

    app: EngineApp

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, override_logging=False, redirect_stdouts=False, quiet=True, **kwargs)
        self.spinner = None

    def _on_sigusr2(self) -> None:
        pass

    def _on_sigint(self) -> None:
        self.app.readiness.become(State.STOPPING)
        super()._on_sigint()

    def _on_sigterm(self) -> None:
        self.app.readiness.become(State.STOPPING)
        super()._on_sigterm()


class NoTables(TableManager):
    """Starts at once; Faust gives tables a second to be declared, and here are none."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class EngineAgent(faust.Agent):
    """An agent that fails ends the process, whatever it did before the engine saw the batch."""

    app: EngineApp

    def __init__(self, *args: Any, app: EngineApp, **kwargs: Any) -> None:
        super().__init__(*args, app=app, **kwargs)
        self._on_error = self._end

    async def _end(self, _agent: Any, error: BaseException) -> None:
        self.app.fail_stop.end(ExitCode.APP_CRASHED, f"agent {self.name} raised", cause=error)


class EngineApp(faust.App):
    """A crash of any Faust service ends the process: Faust would restart parts of it over a torn state."""

    BootStrategy = EngineBoot

    def __init__(self, settings: EngineSettings, fail_stop: FailStop, readiness: Readiness) -> None:
        self.fail_stop = fail_stop
        self.readiness = readiness
        node = settings.instance_id or f"worker-{os.getpid()}"
        super().__init__(
            settings.app_id,
            broker=[URL(f"kafka://{broker}") for broker in settings.brokers.split(",")],
            # The assignor tells members apart by it; it must survive a restart of a static member.
            canonical_url=f"http://{node}.invalid",
            web_enabled=False,
            store="memory://",
            Worker=EngineWorker,
            Agent=EngineAgent,
            TableManager=NoTables,
            stream_wait_empty=False,
            stream_buffer_maxsize=4,
            broker_session_timeout=settings.session_timeout_ms / 1_000,
            broker_request_timeout=max(40.0, settings.session_timeout_ms / 1_000),
            broker_commit_interval=3_600.0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            reply_create_topic=False,
            table_standby_replicas=0,
            cython_optimizations=False,
        )

    async def crash(self, reason: BaseException) -> None:
        self._crash(reason)

    def _crash(self, reason: BaseException) -> None:
        self.fail_stop.end(ExitCode.APP_CRASHED, "a part of Faust crashed", cause=reason)

    def _create_directories(self) -> None:
        """None: there is no state on disk."""
