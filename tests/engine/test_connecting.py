"""A broker that accepts connections and answers nothing holds nobody up."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka import client

from streams.engine import connecting


def test_a_connection_nobody_answers_is_given_up_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connecting, "CONNECT_S_MAX", 0.1)
    monkeypatch.setattr(client, "create_conn", client.create_conn)  # put back afterwards
    connecting.connect_briefly()

    async def scene() -> None:
        heard = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            heard.set()
            await reader.read()  # until the client hangs up
            writer.close()

        async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.create_conn("127.0.0.1", port), 30)
            assert heard.is_set()

    asyncio.run(scene())
