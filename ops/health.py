"""What a process says of itself over HTTP: `/healthz` (it runs), `/readyz` (it can do its work), `/metrics`.

Served by a thread of its own, so that a process that is busy still answers, and one whose answer depends on
a stuck event loop says so through its readiness.
"""

import http.client
import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from ops.logs import get_logger

REQUEST_TIMEOUT_S = 5


@dataclass(frozen=True)
class Ready:
    """The process does its work. `details` appear in the answer."""

    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class NotReady:
    """It does not, or not yet. `reason` is a sentence for the operator."""

    reason: str
    details: Mapping[str, object] = field(default_factory=dict)


Readiness = Ready | NotReady


def ask_readiness(port: int, *, timeout_s: float = 2.0) -> Readiness:
    """What the process behind `port` of loopback answers on `/readyz`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return NotReady("it does not answer")
    finally:
        connection.close()
    details = {name: value for name, value in said.items() if name not in ("ready", "reason")}
    if answer.status == 200:
        return Ready(details)
    return NotReady(str(said.get("reason", f"status {answer.status}")), details)


class HealthServer:
    """The running server. `port` is the real one, also when a free one was asked for."""

    def __init__(self, host: str, port: int, readiness: Callable[[], Readiness]) -> None:
        """Listen on `host`:`port` (0: any free one) and answer until `close`.

        `readiness` is called in the server's threads for every `/readyz`; an exception counts as not ready.
        Raises OSError naming the address when it is taken.
        """
        try:
            self._server = _Server((host, port), readiness)
        except OSError as error:
            raise OSError(
                error.errno,
                f"health_port: cannot listen on {host}:{port} ({error.strerror}); choose another or 0",
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], readiness: Callable[[], Readiness]) -> None:
        self.readiness = readiness
        super().__init__(address, _Answer)

    def server_bind(self) -> None:
        # HTTPServer would ask DNS for our own name here, which can take seconds.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[0:2]  # type: ignore[assignment]


class _Answer(BaseHTTPRequestHandler):
    server: _Server
    timeout = REQUEST_TIMEOUT_S

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/healthz":
                self._json(200, {"alive": True})
            case "/readyz":
                self._readiness()
            case "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest(REGISTRY))
            case _:
                self._json(404, {"error": "unknown path; there are /healthz, /readyz and /metrics"})

    def _readiness(self) -> None:
        try:
            readiness = self.server.readiness()
        except Exception as error:  # noqa: BLE001 - whatever is wrong, the process is not ready, and this says why
            get_logger().warning("readiness failed", error=repr(error))
            readiness = NotReady(f"the readiness check failed: {error!r}")
        match readiness:
            case Ready(details):
                self._json(200, {"ready": True, **details})
            case NotReady(reason, details):
                self._json(503, {"ready": False, "reason": reason, **details})

    def _json(self, status: int, body: Mapping[str, object]) -> None:
        self._send(status, "application/json", json.dumps(body, default=str).encode())

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Probes come every few seconds; nobody reads them."""
