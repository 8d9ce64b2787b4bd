"""A ledger, a receiver, and dispatchers between them."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from ops.settings import Settings
from sinks.webhooks.dispatcher import Dispatcher
from sinks.webhooks.endpoints import Endpoint, Rotated, register, rotate
from sinks.webhooks.figures import figures
from sinks.webhooks.trial import Trial, send_test
from tests.eventually import eventually
from tests.sinks.receiver import Receiver
from tests.sinks.test_posting import Book

Sql = Callable[..., list[tuple[Any, ...]]]
BY: dict[str, Any] = {"actor": "dora", "reason": "a test"}


class Scene:
    """A ledger, a receiver, and dispatchers that run in threads of this process."""

    def __init__(self, url: str, sql: Sql) -> None:
        self.url = url
        self.sql = sql
        self.book = Book(url)
        self.receiver = Receiver()
        self._stops: list[Callable[[], None]] = []

    def endpoint(self, path: str, **changes: Any) -> str:
        """Registers an endpoint at `path` of the receiver; returns its secret, or else its public key."""
        known: dict[str, Any] = {"partner_id": "shop", "livemode": True, "allow_loopback": True, **BY}
        return _shown(register(self.url, url=self.receiver.url(path), **(known | changes)))

    def rotate(self, path: str, **changes: Any) -> str:
        """Gives the endpoint at `path` a new secret or key pair; returns as `endpoint` does."""
        return _shown(rotate(self.url, self.endpoint_id(path), **(BY | changes)))

    def dispatch(self, **changes: Any) -> None:
        """Starts a dispatcher with settings changed as given."""
        values: dict[str, Any] = {"database_url": self.url, "webhook_allow_loopback": True}
        loop = asyncio.new_event_loop()
        dispatcher = Dispatcher(Settings(**(values | changes)), instance="test")
        thread = threading.Thread(target=lambda: loop.run_until_complete(dispatcher.run()))
        thread.start()

        def stop() -> None:
            loop.call_soon_threadsafe(dispatcher.stop)
            thread.join(20)
            assert not thread.is_alive()
            loop.close()

        self._stops.append(stop)

    def endpoint_id(self, path: str) -> int:
        """Number of the endpoint at `path`."""
        return int(self.sql("SELECT endpoint_id FROM webhook_endpoints WHERE url LIKE %s", f"%{path}")[0][0])

    def try_out(self, path: str) -> Trial:
        """Sends a test event to the endpoint at `path`."""
        settings = Settings(database_url=self.url, webhook_allow_loopback=True)
        return send_test(settings, self.endpoint_id(path), **BY)

    def delivered(self, count: int) -> None:
        """Waits until so many messages are delivered."""
        eventually(lambda: figures(self.url)["delivered"] == count, timeout_s=30)

    def disabled(self) -> bool:
        """Whether an endpoint is disabled."""
        return bool(self.sql("SELECT 1 FROM webhook_endpoints WHERE disabled_at IS NOT NULL"))

    def close(self) -> None:
        """Ends the receiver first, so that no attempt under way holds up the dispatchers."""
        self.receiver.close()
        for stop in self._stops:
            stop()
        self.book.connection.close()


def _shown(made: Endpoint | Rotated) -> str:
    shown = made.secret or made.public_key
    assert shown is not None
    return shown
