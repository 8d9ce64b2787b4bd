"""A publisher that is no better than most: it loses answers and refuses now and then.

``python -m tests.e2e.receiver PORT SECRET_FILE RECEIVED_FILE``: the demo's receiver, which checks signatures,
bodies of repetitions and the order of each cashback, behind a bad day.
"""

import asyncio
import sys
from pathlib import Path
from random import Random

from aiohttp import web

from ops.demo import receiver
from ops.demo.signatures import Verifier
from ops.health import HealthServer, Ready
from ops.settings import get_settings

REFUSED = 0.01
"""Share of the requests answered 503 unread."""
FORGOTTEN = 0.01
"""Share of the requests taken and then answered 500: the sender must repeat them."""


class Moody(receiver.Receiver):
    """Deterministic in the order of its requests."""

    def __init__(self, verifier: Verifier, received: Path) -> None:
        super().__init__(verifier, received)
        self._rng = Random(0)

    async def answer(self, request: web.BaseRequest) -> web.Response:
        """As a receiver does, mostly."""
        mood = self._rng.random() if request.method == "POST" else 1.0
        if mood < REFUSED:
            return web.Response(status=503)
        answer = await super().answer(request)
        if mood < REFUSED + FORGOTTEN and answer.status == 204:
            return web.Response(status=500)
        return answer


async def _run(port: int, secret: str, received: Path) -> None:
    moody = Moody(Verifier(secret), received)
    runner = await receiver.listen(moody, port)
    HealthServer("127.0.0.1", get_settings().health_port, Ready)
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    chosen_port, secret_file, received_file = sys.argv[1:]
    asyncio.run(_run(int(chosen_port), Path(secret_file).read_text().strip(), Path(received_file)))
