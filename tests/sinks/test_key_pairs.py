"""Webhooks that are verified with a public key: verifiers of the page, deliveries, what stays here."""

import base64
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sinks.webhooks.endpoints import endpoints, rotate
from sinks.webhooks.signing import KeyPair, Scheme, key_of, new_secret
from sinks.webhooks.terms import EndpointRefused
from tests.contract.pages import GUIDES, blocks
from tests.plugins.node import run_node
from tests.sinks.receiver import signed, verifier
from tests.sinks.scene import BY, Scene
from tests.sinks.test_posting import cleared, created

PAGE = next(page for page in GUIDES if page.stem == "webhooks")
PAIR, OTHER = new_secret(Scheme.ED25519), new_secret(Scheme.ED25519)

# RFC 8032, section 7.1, test 2: the key pair, and its signature of the one byte 72.
SEED = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE_OF_72 = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)

Verify = Callable[[bytes, dict[str, str], str], Any]
"""What is in a request; None: it is not genuine."""


@pytest.fixture(params=["python", "node"])
def verify(request: pytest.FixtureRequest, tmp_path: Path) -> Verify:
    """A verifier of the page as it stands there."""
    code = {each.name: each.text for each in blocks(PAGE)}
    if request.param == "python":
        names: dict[str, Any] = {}
        exec(code["verify.py"], names)

        def in_python(body: bytes, headers: dict[str, str], key: str) -> Any:
            try:
                return names["verify"](body, headers, key)
            except ValueError:
                return None

        return in_python
    (tmp_path / "verify.js").write_text(code["verify.js"], encoding="utf-8")
    asking = tmp_path / "ask.js"
    asking.write_text("""
const { body, headers, key } = JSON.parse(require("node:fs").readFileSync(0));
let said = null;
try {
  said = require("./verify.js")(Buffer.from(body, "hex"), headers, key);
} catch (error) {
  if (!error.message.startsWith("not from us")) throw error;
}
console.log(JSON.stringify(said));
""")

    def in_node(body: bytes, headers: dict[str, str], key: str) -> Any:
        return json.loads(run_node(asking, json.dumps({"body": body.hex(), "headers": headers, "key": key})))

    return in_node


def public(secret: str) -> str:
    key = key_of(secret)
    assert isinstance(key, KeyPair)
    return key.public_key


def test_keys_and_signatures_are_those_of_the_standard() -> None:
    secret = "whsk_" + base64.b64encode(bytes.fromhex(SEED + PUBLIC)).decode()
    assert public(secret) == "whpk_" + base64.b64encode(bytes.fromhex(PUBLIC)).decode()
    assert (
        key_of(secret).signature(b"\x72")
        == "v1a," + base64.b64encode(bytes.fromhex(SIGNATURE_OF_72)).decode()
    )


def test_what_we_sign_and_only_that_is_genuine_to_the_verifiers_of_the_page(verify: Verify) -> None:
    body, now_s = '{"größe":"1 €"}'.encode(), int(time.time())
    headers = signed(body, PAIR)
    as_secret = headers["webhook-signature"].replace("v1a,", "v1,")
    assert verify(body, headers, public(PAIR)) == {"größe": "1 €"}
    assert verify(body, {}, public(PAIR)) is None
    for wrong_headers, wrong_body, key in (
        (headers, body + b" ", public(PAIR)),
        (headers, body, public(OTHER)),
        (headers | {"webhook-id": "evt_2"}, body, public(PAIR)),
        (headers | {"webhook-timestamp": str(now_s - 1)}, body, public(PAIR)),
        (headers | {"webhook-signature": as_secret}, body, public(PAIR)),
        (signed(body, new_secret()), body, public(PAIR)),
        (signed(body, PAIR, at_s=now_s - 600), body, public(PAIR)),
        (signed(body, PAIR, at_s=now_s + 600), body, public(PAIR)),
    ):
        assert verify(wrong_body, wrong_headers, key) is None, wrong_headers


def test_while_keys_are_rotated_each_is_enough_also_from_a_secret_to_a_pair(verify: Verify) -> None:
    headers = signed(b"{}", PAIR, OTHER, new_secret())
    schemes = [each.partition(",")[0] for each in headers["webhook-signature"].split(" ")]
    assert schemes == ["v1a", "v1a", "v1"]
    assert verify(b"{}", headers, public(PAIR)) == verify(b"{}", headers, public(OTHER)) == {}


def test_what_the_dispatcher_and_a_test_event_send_is_genuine(verify: Verify, scene: Scene) -> None:
    key = scene.endpoint("/hook", scheme=Scheme.ED25519)
    scene.endpoint("/batches", scheme=Scheme.ED25519, secret=PAIR, batch_max=10)
    scene.book.post(created("größe-€"), cleared(created("größe-€")))
    scene.dispatch()
    scene.delivered(4)
    scene.try_out("/hook")
    for got in scene.receiver.received:
        said = verify(got.body, got.headers, key if got.path == "/hook" else public(PAIR))
        assert said == json.loads(got.body)


def test_the_private_half_is_nowhere_but_in_its_row(scene: Scene) -> None:
    key = scene.endpoint("/hook", scheme=Scheme.ED25519)
    [(secrets,)] = scene.sql("SELECT secrets FROM webhook_endpoints")
    assert key == public(secrets[0]) == endpoints(scene.url)[0].public_key
    rotated = rotate(scene.url, scene.endpoint_id("/hook"), **BY)
    assert (rotated.secret, rotated.public_key) == (None, endpoints(scene.url)[0].public_key)
    assert rotated.public_key != key, "a pair follows a pair"
    [(kept,)] = scene.sql("SELECT secrets FROM webhook_endpoints")
    told = str(endpoints(scene.url)) + str(rotated) + str(scene.sql("SELECT * FROM audit_log"))
    assert all(each.startswith("whsk_") and each not in told for each in kept)
    for shown in (repr(key_of(kept[0])), repr(key_of(new_secret()))):
        assert re.fullmatch(r"(KeyPair|SharedSecret)\(\)", shown), "no bytes of a key"


def test_a_secret_is_followed_by_a_pair_while_both_sign_and_the_official_package_takes_the_old_one(
    scene: Scene, verify: Verify
) -> None:
    old = verifier(scene.endpoint("/hook"))
    new = scene.rotate("/hook", scheme=Scheme.ED25519)
    scene.book.post(created())
    scene.dispatch()
    scene.delivered(1)
    [got] = scene.receiver.received
    assert old(got) == verify(got.body, got.headers, new)
    scene.rotate("/hook", scheme=Scheme.HMAC_SHA256, at_once=True)
    assert endpoints(scene.url)[0].public_key is None


def test_a_damaged_key_is_not_kept_beside_the_new_one_and_a_pair_follows_a_pair(scene: Scene) -> None:
    scene.endpoint("/hook", scheme=Scheme.ED25519)
    scene.sql("UPDATE webhook_endpoints SET secrets = ARRAY['damaged']")
    new = scene.rotate("/hook")
    assert new.startswith("whpk_")
    [(secrets, until)] = scene.sql("SELECT secrets, old_secret_until FROM webhook_endpoints")
    assert (len(secrets), until) == (1, None)
    assert public(secrets[0]) == new
    scene.book.post(created())
    scene.dispatch()
    scene.delivered(1)


def test_the_old_key_that_still_signs_is_kept_when_the_new_one_was_damaged(scene: Scene) -> None:
    old = scene.endpoint("/hook", secret=PAIR)
    scene.rotate("/hook")
    scene.sql("UPDATE webhook_endpoints SET secrets[1] = 'damaged'")
    newest = scene.rotate("/hook")
    [(secrets,)] = scene.sql("SELECT secrets FROM webhook_endpoints")
    assert [public(each) for each in secrets] == [newest, old]


def test_two_partners_never_verify_with_the_same_pair(scene: Scene) -> None:
    scene.endpoint("/hook", secret=PAIR)
    scene.endpoint("/second", secret=PAIR)
    with pytest.raises(EndpointRefused, match="secret: another partner verifies with this key pair"):
        scene.endpoint("/other", partner_id="other", secret=PAIR)
    scene.rotate("/hook")  # it signs for a day more
    scene.endpoint("/other", partner_id="other")
    with pytest.raises(EndpointRefused, match="secret: another partner verifies with this key pair"):
        scene.rotate("/other", secret=PAIR)


def test_a_scheme_and_a_secret_that_contradict_each_other_are_refused(scene: Scene) -> None:
    with pytest.raises(EndpointRefused, match=r"scheme: is hmac-sha256, but the secret is one of ed25519"):
        scene.endpoint("/hook", scheme=Scheme.HMAC_SHA256, secret=PAIR)
    scene.endpoint("/hook", secret=PAIR)
    with pytest.raises(EndpointRefused, match="signs already"):
        scene.rotate("/hook", secret=PAIR)
