"""What a process says of itself can be read over HTTP."""

import http.client
import json
from collections.abc import Callable, Iterator

import pytest

from ops.health import HealthServer, NotReady, Readiness, Ready, ask_readiness

Serve = Callable[[Callable[[], Readiness]], int]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server with the given readiness and returns its port."""
    servers: list[HealthServer] = []

    def start(readiness: Callable[[], Readiness]) -> int:
        servers.append(HealthServer("127.0.0.1", 0, readiness))
        return servers[-1].port

    yield start
    for server in servers:
        server.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_a_ready_process_says_so_with_its_details(serve: Serve) -> None:
    port = serve(lambda: Ready({"partitions": [0, 1]}))

    assert get(port, "/healthz") == (200, b'{"alive": true}')
    assert get(port, "/readyz") == (200, b'{"ready": true, "partitions": [0, 1]}')
    assert ask_readiness(port) == Ready({"partitions": [0, 1]})


def test_a_process_that_is_not_ready_gives_its_reason(serve: Serve) -> None:
    port = serve(lambda: NotReady("restoring partition 3", {"rows": 12}))
    status, body = get(port, "/readyz")

    assert status == 503
    assert json.loads(body) == {"ready": False, "reason": "restoring partition 3", "rows": 12}
    assert ask_readiness(port) == NotReady("restoring partition 3", {"rows": 12})


def test_a_readiness_check_that_fails_is_not_ready(serve: Serve) -> None:
    def broken() -> Readiness:
        raise LookupError("no such partition")

    status, body = get(serve(broken), "/readyz")
    assert status == 503
    assert b"no such partition" in body


def test_metrics_are_in_prometheus_form(serve: Serve) -> None:
    status, body = get(serve(Ready), "/metrics")

    assert status == 200
    assert b"# TYPE python_info gauge" in body


def test_an_unknown_path_names_the_known_ones(serve: Serve) -> None:
    status, body = get(serve(Ready), "/")
    assert status == 404
    assert b"/readyz" in body


def test_a_port_that_is_taken_names_the_setting(serve: Serve) -> None:
    port = serve(Ready)
    with pytest.raises(OSError, match=f"health_port: cannot listen on 127.0.0.1:{port}"):
        HealthServer("127.0.0.1", port, Ready)


def test_nobody_listening_is_not_ready() -> None:
    assert ask_readiness(1) == NotReady("it does not answer")
