"""A broker that accepts connections and answers nothing holds nobody up."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import client
from aiokafka.errors import KafkaConnectionError

from streams.engine import connecting


def test_a_broker_that_only_accepts_is_given_up_and_the_next_one_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S_MAX", 0.1)
    monkeypatch.setattr(client, "create_conn", client.create_conn)  # put back afterwards
    connecting.connect_briefly()
    asked: set[str] = set()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await reader.read(1):
            asked.add("silent")
        await reader.read()  # until the client hangs up
        writer.close()

    async def refusing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.add("next")
        writer.close()

    async def scene() -> None:
        async with (
            await asyncio.start_server(silent, "127.0.0.1", 0) as first,
            await asyncio.start_server(refusing, "127.0.0.1", 0) as second,
        ):
            ports = [server.sockets[0].getsockname()[1] for server in (first, second)]
            asking = client.AIOKafkaClient(bootstrap_servers=[f"127.0.0.1:{port}" for port in ports])
            with pytest.raises(KafkaConnectionError):
                await asyncio.wait_for(asking.bootstrap(), 30)
            await asking.close()

    asyncio.run(scene())
    assert asked == {"silent", "next"}
