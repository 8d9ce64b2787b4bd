"""A server that answers what it is told, for gates to stand before."""

import socket
import socketserver
import threading
from types import TracebackType
from typing import Self

from ops.embedded.ports import LOOPBACK


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


class EchoServer:
    """A context manager; `port` is where it listens."""

    def __init__(self) -> None:
        socketserver.ThreadingTCPServer.daemon_threads = True
        self._server = socketserver.ThreadingTCPServer((LOOPBACK, 0), _Echo)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def connect(port: int) -> socket.socket:
    """A connection that waits ten seconds at most."""
    return socket.create_connection((LOOPBACK, port), timeout=10)


def exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes; fewer when the other side ended."""
    data = b""
    while len(data) < count and (more := connection.recv(count - len(data))):
        data += more
    return data
