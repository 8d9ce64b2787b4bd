"""A test event: sent once, at once, signed and packed like any other, and never to be taken for a real one.

Body: ``{"event_id":"test_…","timestamp":"2026-01-01T00:00:00Z","type":"endpoint.test"}``. Its id begins with
`test_` where those of cashbacks begin with `evt_`, no endpoint can subscribe to its type, it names no
cashback and no amount, and it is not part of the delivery log.
"""

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from aiohttp.abc import AbstractResolver
from yarl import URL

from ops.settings import Settings
from sinks import audit
from sinks.database import session
from sinks.webhooks.packing import Packed, pack
from sinks.webhooks.queue import SECRETS_NOW
from sinks.webhooks.sending import Answer, Sender
from sinks.webhooks.signing import Key, key_of
from sinks.webhooks.terms import EndpointRefused

TYPE = "endpoint.test"
ID_PREFIX = "test_"

_WHERE = f"SELECT url, {SECRETS_NOW}, batch_max FROM webhook_endpoints WHERE endpoint_id = %s"  # noqa: S608 - constants


@dataclass(frozen=True)
class Trial:
    """What was sent and what came back."""

    event_id: str
    body: bytes
    answer: Answer

    @property
    def succeeded(self) -> bool:
        """Whether the receiver took it."""
        return self.answer.status is not None and 200 <= self.answer.status < 300


def send_test(
    settings: Settings,
    endpoint_id: int,
    *,
    actor: str,
    reason: str,
    resolver: AbstractResolver | None = None,
) -> Trial:
    """Send one to an endpoint, also to a disabled one. Raises `EndpointRefused` when there is none."""
    event_id = ID_PREFIX + secrets.token_hex(12)
    body = trial_body(event_id, datetime.now(UTC))
    with session(settings.database_url, "cashback endpoints test") as connection, connection.transaction():
        row = connection.execute(_WHERE, (endpoint_id,)).fetchone()
        if row is None:
            raise EndpointRefused(
                f"endpoint_id: there is no endpoint {endpoint_id}; `cashback endpoints list` shows them"
            )
        url, signing, batch_max = row
        audit.record(
            connection,
            actor=actor,
            action="endpoint.test",
            subject=f"endpoint {endpoint_id}",
            reason=reason,
            details={"event_id": event_id},
        )
    keys = [key_of(each) for each in signing]
    packed = pack([(event_id, body)], is_batch=batch_max is not None)
    return Trial(event_id, packed.body, asyncio.run(_send(settings, url, keys, packed, resolver)))


def trial_body(event_id: str, at: datetime) -> bytes:
    """UTF-8 JSON of a test event."""
    timestamp = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return msgspec.json.encode({"event_id": event_id, "timestamp": timestamp, "type": TYPE})


async def _send(
    settings: Settings,
    url: str,
    keys: Sequence[Key],
    packed: Packed,
    resolver: AbstractResolver | None,
) -> Answer:
    sender = Sender(
        timeout_s=settings.webhook_timeout_s,
        host_connections=1,
        allow_loopback=settings.webhook_allow_loopback,
        resolver=resolver,
    )
    try:
        return await sender.send(URL(url, encoded=True), keys, packed)
    finally:
        await sender.close()
