"""The demo's publisher: believes only what is signed, and keeps what it believed."""

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from ops.demo.receiver import Receiver, listen
from ops.demo.signatures import Verifier
from ops.embedded.ports import free_port

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
OTHER = "whsec_" + base64.b64encode(b"another key of at least 24 bytes").decode()


def event(number: int, kind: str = "created") -> bytes:
    body = {"event_id": f"evt_{number}", "type": f"cashback.{kind}", "cashback_transaction_id": "cbtx_1"}
    return json.dumps(body).encode()


def headers(event_id: str, body: bytes, *, secret: str = SECRET, age_s: int = 0) -> dict[str, str]:
    stamp = int(time.time()) - age_s
    signature = Webhook(secret).sign(event_id, datetime.fromtimestamp(stamp, UTC), body.decode())
    return {"webhook-id": event_id, "webhook-timestamp": str(stamp), "webhook-signature": signature}


@contextlib.asynccontextmanager
async def receiving(path: Path) -> AsyncIterator[tuple[aiohttp.ClientSession, str, Receiver]]:
    receiver, port = Receiver(Verifier(SECRET), path), free_port()
    runner = await listen(receiver, port)
    async with aiohttp.ClientSession() as client:
        yield client, f"http://127.0.0.1:{port}/", receiver
    await runner.cleanup()
    receiver.close()


def test_signed_webhooks_are_taken_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    async def deliver() -> None:
        async with receiving(tmp_path / "received") as (client, url, _):
            for number, kind in ((1, "created"), (1, "created"), (2, "cleared")):
                body = event(number, kind)
                async with client.post(url, data=body, headers=headers(f"evt_{number}", body)) as answer:
                    assert answer.status == 204
            async with client.get(url + "stats") as answer:
                stats = await answer.json()
            assert (stats["delivered"], stats["repeated"], stats["misordered"]) == (2, 1, 0)
            assert (tmp_path / "received").read_bytes().count(b"\n") == 2

    async def after_a_restart() -> None:
        async with receiving(tmp_path / "received") as (client, url, receiver):
            other = event(1, "cleared")
            async with client.post(url, data=other, headers=headers("evt_1", other)) as answer:
                assert answer.status == 409
            assert (receiver.stats.delivered, receiver.stats.conflicting) == (2, 1)

    asyncio.run(deliver())
    asyncio.run(after_a_restart())


def test_what_is_not_signed_by_us_now_is_refused(tmp_path: Path) -> None:
    body = event(1)
    good = headers("evt_1", body)
    wrong = [
        {},
        headers("evt_1", body, secret=OTHER),
        headers("evt_1", body, age_s=301),
        headers("evt_1", event(2)),
        good | {"webhook-id": "evt_2"},
        good | {"webhook-signature": good["webhook-signature"].replace("v1,", "v2,")},
        headers("evt_2", body),  # signed, but the body speaks of another event
    ]

    async def deliver() -> None:
        async with receiving(tmp_path / "received") as (client, url, receiver):
            for case in wrong:
                async with client.post(url, data=body, headers=case) as answer:
                    assert answer.status == 401, case
            twice = [*good.items(), ("webhook-id", "evt_1")]
            async with client.post(url, data=body, headers=twice) as answer:
                assert answer.status == 401
            assert (receiver.stats.refused, receiver.stats.delivered) == (len(wrong) + 1, 0)

    asyncio.run(deliver())


def test_a_cleared_before_its_created_is_counted(tmp_path: Path) -> None:
    async def deliver() -> None:
        async with receiving(tmp_path / "received") as (client, url, receiver):
            body = event(1, "cleared")
            async with client.post(url, data=body, headers=headers("evt_1", body)) as answer:
                assert answer.status == 204
            assert receiver.stats.misordered == 1

    asyncio.run(deliver())


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)


@given(
    event_id=TEXT,
    body=TEXT.map(json.dumps),
    signed_body=TEXT.map(json.dumps) | st.none(),
    age_s=st.integers(-290, 290) | st.integers(310, 400) | st.integers(-400, -310),
    signers=st.lists(st.sampled_from([SECRET, OTHER, ""]), min_size=1, max_size=4),
)
def test_verdicts_equal_those_of_the_official_package(
    event_id: str, body: str, signed_body: str | None, age_s: int, signers: list[str]
) -> None:
    stamp = int(time.time()) - age_s
    at = datetime.fromtimestamp(stamp, UTC)
    listed = " ".join(
        Webhook(secret).sign(event_id, at, signed_body or body) if secret else "v1a,bm8="
        for secret in signers
    )
    ours = Verifier(SECRET).is_valid(event_id, str(stamp), listed, body.encode(), now_s=time.time())
    sent = {"webhook-id": event_id, "webhook-timestamp": str(stamp), "webhook-signature": listed}
    try:
        Webhook(SECRET).verify(body, sent)
        theirs = True
    except WebhookVerificationError:
        theirs = False
    assert ours == theirs


@pytest.mark.parametrize("secret", ["whsec_###", "whsec_abc"])
def test_a_malformed_secret_is_refused_with_the_remedy(secret: str) -> None:
    with pytest.raises(ValueError, match="secret: not base64; copy it whole"):
        Verifier(secret)
