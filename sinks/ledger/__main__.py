"""The ledger sink as a process: `python -m sinks.ledger`."""

import os
import signal
import socket
import sys
import uuid

from ops.health import HealthServer
from ops.logs import get_logger
from ops.process import begin
from sinks.ledger.consumer import LedgerSink
from sinks.migrations import check


def main() -> int:
    """Post until told to stop. Exit code 0 after a signal, 1 with one log line on anything unsound."""
    try:
        settings = begin("ledger")
        check(settings.database_url)
        sink = LedgerSink(settings, instance=f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}")
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: sink.stop())
        health = HealthServer(settings.health_host, settings.health_port, sink.state.readiness)
        get_logger().info("started", health_port=health.port)
        sink.run()
    except Exception as error:  # noqa: BLE001 - whatever it is, the process ends and its supervisor decides
        get_logger().error("stopped", kind=type(error).__name__, error=str(error).strip())
        return 1
    get_logger().info("stopped on request", entries=sink.state.entries)
    return 0


if __name__ == "__main__":
    sys.stdout.flush()
    # Threads of the drivers must not hold up the end of a process whose work is in the database.
    os._exit(main())
