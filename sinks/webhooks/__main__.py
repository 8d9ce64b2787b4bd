"""The webhook dispatcher as a process: `python -m sinks.webhooks`."""

import asyncio
import os
import signal
import socket
import sys
import uuid

from ops.health import HealthServer
from ops.logs import get_logger
from ops.process import begin
from ops.settings import Settings
from sinks.migrations import check
from sinks.webhooks.dispatcher import Dispatcher


def main() -> int:
    """Deliver until told to stop. Exit code 0 after a signal, 1 with one log line on anything unsound."""
    try:
        settings = begin("webhooks")
        check(settings.database_url)
        asyncio.run(_run(settings))
    except Exception as error:  # noqa: BLE001 - whatever it is, the process ends and its supervisor decides
        get_logger().error("stopped", kind=type(error).__name__, error=str(error).strip())
        return 1
    get_logger().info("stopped on request")
    return 0


async def _run(settings: Settings) -> None:
    instance = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
    dispatcher = Dispatcher(settings, instance=instance)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, dispatcher.stop)
    health = HealthServer(settings.health_host, settings.health_port, dispatcher.state.readiness)
    get_logger().info("started", health_port=health.port)
    await dispatcher.run()


if __name__ == "__main__":
    sys.exit(main())
