"""A process for tests of the supervisor: healthy at once, ends cleanly when asked; or as its argument says.

``crash``: ends with code 3 at once. ``stubborn``: ignores SIGTERM. ``unready``: never ready.
"""

import signal
import sys
import threading

from ops.health import HealthServer, NotReady, Readiness, Ready
from ops.settings import get_settings


def main(manner: str) -> None:
    if manner == "crash":
        print("a reason to end", flush=True)
        sys.exit(3)
    stopping = threading.Event()
    ignore = manner == "stubborn"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if ignore else lambda *_: stopping.set())

    def readiness() -> Readiness:
        return NotReady("the tide is out") if manner == "unready" else Ready({"manner": manner})

    settings = get_settings()
    server = HealthServer(settings.health_host, settings.health_port, readiness)
    # With a bound: after a pause the signal may reach another thread, which does not wake this one.
    while not stopping.wait(0.1):
        continue
    server.close()


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "good")
