"""How every sink that follows topics runs as a process."""

import os
import signal
import socket
import uuid
from collections.abc import Callable
from typing import Any

from ops.health import HealthServer
from ops.logs import get_logger
from ops.process import begin
from ops.settings import Settings
from sinks.following import Follower
from sinks.lanes import Work
from sinks.migrations import check


def serve(
    name: str,
    work: Callable[[Settings], Work[Any, Any]],
    beside: Callable[[Settings, Callable[[], bool]], object] | None = None,
) -> int:
    """The process: follows until told to stop. 0 after a signal, 1 with one log line on anything unsound.

    `beside` starts what runs beside it, and is given how to ask whether this instance is the one that works.
    """
    try:
        settings = begin(name)
        check(settings.database_url)
        instance = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        follower = Follower(settings, work(settings), instance=instance)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: follower.stop())
        health = HealthServer(settings.health_host, settings.health_port, follower.state.readiness)
        get_logger().info("started", health_port=health.port)
        if beside is not None:
            beside(settings, lambda: follower.state.working)
        follower.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process ends and its supervisor decides
        get_logger().error("stopped", kind=type(error).__name__, error=str(error).strip())
        return 1
    get_logger().info("stopped on request", **follower.state.counts)
    return 0
