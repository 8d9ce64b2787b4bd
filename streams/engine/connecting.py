"""Gives up soon on a broker that accepts a connection and does not answer.

aiokafka makes one connection at a time, and waits for its first answer as long as for any: 40 s. A broker
that comes up accepts connections long before it answers; meanwhile nobody was asked which broker leads now.
"""

from __future__ import annotations

import asyncio
from typing import Any

from aiokafka import client
from aiokafka.conn import AIOKafkaConnection, create_conn

CONNECT_S_MAX = 1.5
"""Until a broker has accepted a connection, said which versions it speaks and, with SASL, let us in."""


def connect_briefly() -> None:
    """Bound every connection that an aiokafka client of this process makes by CONNECT_S_MAX."""
    client.create_conn = _create_conn


async def _create_conn(*args: Any, **kwargs: Any) -> AIOKafkaConnection:
    # aiokafka takes a TimeoutError for what it is: it asks another broker, and this one again later.
    return await asyncio.wait_for(create_conn(*args, **kwargs), CONNECT_S_MAX)
