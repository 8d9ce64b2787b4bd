"""What we sign, and only that, is genuine to the official packages for Python and Node.js."""

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sinks.webhooks.signing import new_secret
from tests.plugins.node import Script
from tests.sinks.receiver import Received, signed
from tests.sinks.scene import Scene
from tests.sinks.test_posting import cleared, created

NPM = Path(__file__).parent / "npm"
BODIES = sorted((Path(__file__).parents[1] / "schemas" / "webhooks").glob("*.json"))
SECRET, OTHER = new_secret(), new_secret()

Verdict = tuple[bool, Any]


@pytest.fixture(params=["python", "node"])
def verdict(request: pytest.FixtureRequest) -> Callable[[str, dict[str, str], bytes], Verdict]:
    """Whether an official package takes a request for genuine, and what it says is in it."""
    if request.param == "python":
        return in_python
    script: Script = request.getfixturevalue("node")(NPM)

    def in_node(secret: str, headers: dict[str, str], body: bytes) -> Verdict:
        asked = json.dumps({"secret": secret, "headers": headers, "body": body.decode()})
        said = json.loads(script("verify.js", asked + "\n"))
        return said["genuine"], said["said"]

    return in_node


def in_python(secret: str, headers: dict[str, str], body: bytes) -> Verdict:
    try:
        return True, Webhook(secret).verify(body, headers)
    except WebhookVerificationError as error:
        return False, str(error)


@pytest.mark.parametrize("example", BODIES, ids=lambda path: path.stem)
def test_every_example_is_genuine(verdict: Any, example: Path) -> None:
    body = example.read_bytes()
    assert verdict(SECRET, signed(body, SECRET), body) == (True, json.loads(body))


@pytest.mark.parametrize("length", [24, 32, 64])
def test_secrets_of_every_length_are_accepted(verdict: Any, length: int) -> None:
    secret = "whsec_" + base64.b64encode(bytes(range(length))).decode()
    body = '{"größe":"1 €"}'.encode()
    assert verdict(secret, signed(body, secret), body) == (True, {"größe": "1 €"})


def test_while_a_secret_is_rotated_both_are_accepted(verdict: Any) -> None:
    headers = signed(b"{}", SECRET, OTHER)
    assert verdict(SECRET, headers, b"{}") == verdict(OTHER, headers, b"{}") == (True, {})


def test_what_was_changed_is_too_old_or_signed_by_others_is_not_genuine(verdict: Any) -> None:
    body, now_s = b'{"amount":500}', int(time.time())
    headers = signed(body, SECRET)
    for changed_headers, changed_body in (
        (headers, b'{"amount":900}'),
        (headers, b'{"amount": 500}'),
        (headers | {"webhook-id": "evt_2"}, body),
        (headers | {"webhook-timestamp": str(now_s - 1)}, body),
        (headers | {"webhook-signature": headers["webhook-signature"][:-4]}, body),
        (headers | {"webhook-signature": headers["webhook-signature"].replace("v1,", "v2,")}, body),
        (signed(body, OTHER), body),
        (signed(body, SECRET, at_s=now_s - 600), body),
        (signed(body, SECRET, at_s=now_s + 600), body),
    ):
        assert verdict(SECRET, changed_headers, changed_body)[0] is False, changed_headers


def test_what_the_dispatcher_sends_is_genuine(verdict: Any, scene: Scene) -> None:
    old = scene.endpoint("/hook")
    new = scene.rotate("/hook")
    scene.book.post(created(), cleared(created("größe-€")), created("größe-€"))
    scene.dispatch()
    scene.delivered(2)
    for got in scene.receiver.received:
        assert isinstance(got, Received)
        for secret in (old, new):
            is_genuine, said = verdict(secret, got.headers, got.body)
            assert (is_genuine, said) == (True, json.loads(got.body))
        assert got.headers["webhook-id"] == said["event_id"]
        assert got.headers["Content-Type"] == "application/json"
