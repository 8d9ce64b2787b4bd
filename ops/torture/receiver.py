"""A publisher that misbehaves on demand, path by path.

``python -m ops.torture.receiver PORT SECRET_FILE RECEIVED_FILE``: the demo's receiver, which checks
signatures, bodies of repetitions and the order of each cashback. ``PUT /<path>?mood=…`` sets how it behaves
from then on towards what is sent to that path.
"""

import asyncio
import contextlib
import http.client
import json
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import cast

from aiohttp import web

from ops.demo import receiver
from ops.demo.signatures import Verifier
from ops.embedded.ports import LOOPBACK
from ops.health import HealthServer, Ready
from ops.logs import configure_logging
from ops.settings import get_settings

_ENDLESS_CHUNK = b"x" * 65_536
_ENDLESS_CHUNKS_MAX = 2_000
_HANG_S = 3_600.0


class Behaviour(StrEnum):
    """What it does with a webhook."""

    GOOD = "good"
    REFUSES = "answers 500"
    GONE = "answers 410"
    HANGS = "never answers"
    RESETS = "resets the connection"
    ENDLESS = "answers without end"
    FORGETS = "takes it and loses the answer"


class Moody(receiver.Receiver):
    """Each path has its own behaviour; good until told otherwise."""

    def __init__(self, verifier: Verifier, received: Path) -> None:
        super().__init__(verifier, received)
        self._behaviours: dict[str, Behaviour] = {}

    async def answer(self, request: web.BaseRequest) -> web.Response:
        if request.method == "PUT":
            self._behaviours[request.path] = Behaviour(request.rel_url.query["mood"])
            return web.Response(status=204)
        behaviour = Behaviour.GOOD if request.method == "GET" else self._behaviour(request.path)
        if behaviour in (Behaviour.GOOD, Behaviour.FORGETS):
            answer = await super().answer(request)
            # What it says it took it has: it may be killed with the run.
            self.flush()
            if behaviour is Behaviour.FORGETS:
                _reset(request)
            return answer
        return await self._misbehave(request, behaviour)

    async def _misbehave(self, request: web.BaseRequest, behaviour: Behaviour) -> web.Response:
        if behaviour is Behaviour.HANGS:
            for _ in range(round(_HANG_S)):  # looks up now and then: a mood that passed holds nobody
                await asyncio.sleep(1)
                if self._behaviour(request.path) is not behaviour:
                    break
        elif behaviour is Behaviour.RESETS:
            _reset(request)
        elif behaviour is Behaviour.ENDLESS:
            stream = web.StreamResponse(status=500)  # a 2xx would say that it has it
            await stream.prepare(request)
            with contextlib.suppress(ConnectionError):  # a sender reads a bounded part and hangs up
                for _ in range(_ENDLESS_CHUNKS_MAX):
                    await stream.write(_ENDLESS_CHUNK)
            return cast(web.Response, stream)
        return web.Response(status=410 if behaviour is Behaviour.GONE else 500)

    def _behaviour(self, path: str) -> Behaviour:
        return self._behaviours.get(path, Behaviour.GOOD)


def behave(port: int, path: str, behaviour: Behaviour) -> None:
    """Tell the receiver on `port` how to treat `path` from now on. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("PUT", f"{path}?mood={behaviour.value.replace(' ', '+')}")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 204:
        raise RuntimeError(f"the receiver answered {status} to its instructions")


def counts(port: int) -> Mapping[str, int]:
    """What the receiver counted, all of it in its file when this returns. Raises OSError, HTTPException."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", "/")
        said: dict[str, int] = json.loads(connection.getresponse().read())
    finally:
        connection.close()
    return said


def _reset(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _run(port: int, secret: str, received: Path) -> None:
    moody = Moody(Verifier(secret), received)
    runner = await receiver.listen(moody, port)
    settings = get_settings()
    HealthServer(settings.health_host, settings.health_port, Ready)
    try:
        while True:
            moody.flush()
            await asyncio.sleep(receiver.FLUSH_EVERY_S)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    chosen_port, secret_file, received_file = sys.argv[1:]
    configure_logging(get_settings(), "receiver")
    asyncio.run(_run(int(chosen_port), Path(secret_file).read_text().strip(), Path(received_file)))
