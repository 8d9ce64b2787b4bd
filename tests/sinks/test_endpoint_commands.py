"""`cashback endpoints` and `cashback webhooks` as people use them."""

import base64
import json
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook
from typer.testing import CliRunner

from ops.cli import build, explained
from ops.settings import Settings
from sinks.webhooks.endpoints import endpoints, rotate
from sinks.webhooks.terms import EndpointRefused, check_where_it_leads
from sinks.webhooks.trial import send_test
from tests.eventually import eventually
from tests.sinks.receiver import Reply, verifier
from tests.sinks.scene import BY, Scene
from tests.sinks.test_posting import cleared, created

WHO = ("--actor", "dora", "--reason", "asked by phone")


@pytest.fixture(autouse=True)
def loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in development: endpoints may lie on this machine."""
    from ops.settings import get_settings

    monkeypatch.setenv("CASHBACK_WEBHOOK_ALLOW_LOOPBACK", "true")
    get_settings.cache_clear()


def run(scene: Scene, *words: str, **more: Any) -> tuple[int, str]:
    answer = CliRunner().invoke(build(words[0]), [*words, "--database", scene.url], **more)
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        said = explained(answer.exception)  # type: ignore[arg-type]
        assert said is not None, answer.exception
        return 1, said
    return answer.exit_code, answer.stdout


def run_json(scene: Scene, *words: str) -> Any:
    code, said = run(scene, *words, "--json")
    assert code == 0, said
    return json.loads(said)


def add(scene: Scene, path: str, *words: str) -> Any:
    return run_json(scene, "endpoints", "add", scene.receiver.url(path), "--partner", "shop", *WHO, *words)


def acts(scene: Scene) -> list[tuple[Any, ...]]:
    return scene.sql("SELECT actor, action, subject, reason FROM audit_log ORDER BY audit_no")


def test_a_secret_is_shown_once_and_never_again(scene: Scene, tmp_path: Path) -> None:
    made = add(scene, "/hook", "--event", "cashback.cleared", "--per-second", "7", "--test")
    assert made.keys() == {"endpoint_id", "partner_id", "livemode", "url", "secret", "public_key"}
    number = str(made["endpoint_id"])
    rotated = run_json(scene, "endpoints", "rotate", number, *WHO)
    code, text = run(scene, "endpoints", "list")
    listed = run_json(scene, "endpoints", "list")
    audited = scene.sql("SELECT details::text FROM audit_log")
    for secret in (made["secret"], rotated["secret"]):
        assert secret not in text + json.dumps(listed) + str(audited)
    [row] = listed["endpoints"]
    assert code == 0
    assert (row["url"], row["event_types"], row["per_second_max"], row["livemode"]) == (
        scene.receiver.url("/hook"), ["cashback.cleared"], 7, False,
    )  # fmt: skip
    assert row["old_secret_until"] == rotated["old_until"]
    assert acts(scene) == [
        ("dora", "endpoint.add", f"endpoint {number}", "asked by phone"),
        ("dora", "endpoint.rotate", f"endpoint {number}", "asked by phone"),
    ]


def test_the_old_secret_signs_for_a_day_and_then_no_more(scene: Scene) -> None:
    made = add(scene, "/hook")
    old = verifier(made["secret"])
    now = datetime.now(UTC)
    new = verifier(scene.rotate("/hook", now=now - timedelta(hours=23, minutes=59)))
    scene.dispatch()
    scene.book.post(created())
    scene.delivered(1)
    first = scene.receiver.received[0]
    assert old(first) == new(first)
    signatures = first.headers["webhook-signature"].split(" ")
    with_one = {**first.headers, "webhook-signature": signatures[0]}
    assert len(signatures) == 2
    new(type(first)(first.path, first.message_id, first.body, with_one))  # the new one stands first
    [(until,)] = scene.sql("SELECT old_secret_until FROM webhook_endpoints")
    assert until == now + timedelta(minutes=1)
    # A minute later by the clock of the database, which is what decides.
    scene.sql(
        "UPDATE webhook_endpoints SET old_secret_until = old_secret_until - interval '1 minute 1 second'"
    )

    def signed_once() -> bool:
        scene.book.post(created(f"later-{len(scene.receiver.received)}"))
        return len(scene.receiver.received[-1].headers["webhook-signature"].split(" ")) == 1

    eventually(signed_once, timeout_s=15)
    new(scene.receiver.received[-1])
    assert endpoints(scene.url)[0].old_secret_until is None


def test_of_a_key_pair_the_public_half_is_shown_and_the_other_by_nothing(scene: Scene) -> None:
    url = scene.receiver.url("/hook")
    code, said = run(scene, "endpoints", "add", url, "--partner", "shop", "--scheme", "ed25519", *WHO)
    rotated, text = run(scene, "endpoints", "rotate", "1", *WHO)
    _, listed = run(scene, "endpoints", "list")
    in_json = run_json(scene, "endpoints", "list")
    back = run_json(scene, "endpoints", "rotate", "1", "--scheme", "hmac-sha256", "--at-once", *WHO)
    assert (code, rotated) == (0, 0)
    assert said.startswith(f"endpoint 1: {url}\npublic key: whpk_")
    assert text.startswith(f"public key: {in_json['endpoints'][0]['public_key']}\nthe old one signs until ")
    assert "ed25519" in listed
    assert "whsk_" not in said + text + listed + json.dumps(in_json) + json.dumps(back)
    assert (back["public_key"], back["secret"][:6]) == (None, "whsec_")


@pytest.mark.parametrize("name", ["nothing", "whsk_nothing"])
def test_a_secret_that_cannot_be_read_is_told_without_its_name(scene: Scene, name: str) -> None:
    url = scene.receiver.url("/hook")
    words = ("endpoints", "add", url, "--partner", "shop", "--secret-file", name, *WHO)
    told = "secret_file: No such file or directory; name a readable file that holds the secret"
    assert run(scene, *words) == (1, told)
    assert run(scene, *words[:-6], "--secret-file", "-", *WHO, input="")[1].startswith(
        "secret: must be whsec_ or"
    )


def test_a_second_rotation_waits_for_the_day_unless_the_old_one_is_to_end_at_once(scene: Scene) -> None:
    made = add(scene, "/hook")
    number = str(made["endpoint_id"])
    run_json(scene, "endpoints", "rotate", number, *WHO)
    code, said = run(scene, "endpoints", "rotate", number, *WHO)
    assert (code, said.startswith(f"endpoint_id: {number} is being rotated, two sign until ")) == (1, True)
    last = run_json(scene, "endpoints", "rotate", number, "--at-once", *WHO)
    assert last["old_until"] is None
    assert scene.sql("SELECT secrets FROM webhook_endpoints") == [([last["secret"]],)]
    with pytest.raises(EndpointRefused, match="signs already"):
        rotate(scene.url, int(number), secret=last["secret"], **BY)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("http://example.com/",), "url: is not https; use https"),
        (("https://192.168.1.1/",), "url: 192.168.1.1 is not a public address; webhooks go"),
        (
            ("https://example.com/", "--event", "cashback.paid"),
            "event_types: 'cashback.paid' is unknown;",
        ),
        (
            ("https://example.com/", "--per-second", "0"),
            "per_second_max: 0 is out of bounds; give 1",
        ),
        (("https://example.com/", "--batch", "101"), "batch_max: 101 is out of bounds; give 1 to 100"),
        (
            ("https://example.com/", "--secret-file", "-", "--scheme", "ed25519"),
            "secret: holds 20 bytes; use 24 to 64 random bytes",
        ),
        (("https://example.com/", "--partner", ""), "partner_id: is empty; name the partner"),
        (("https://example.com/", "--secret-file", "-"), "secret: holds 20 bytes; use 24 to 64 random bytes"),
        (("https://example.com/", "--actor", ""), "actor: empty;"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_field_problem_and_remedy(
    scene: Scene, words: tuple[str, ...], told: str
) -> None:
    short = "whsec_" + base64.b64encode(b"x" * 20).decode()
    code, said = run(scene, "endpoints", "add", "--partner", "shop", *WHO, *words, input=short)
    assert (code, said[: len(told)]) == (1, told)
    assert endpoints(scene.url) == []
    assert acts(scene) == []


def test_a_name_that_leads_inside_is_refused_when_it_is_registered() -> None:
    for address in ("10.0.0.7", "127.0.0.1", "::1", "169.254.169.254", "fe80::1%eth0", "::ffff:10.0.0.1"):

        def inside(_: str, found: str = address) -> list[str]:
            return [found]

        with pytest.raises(EndpointRefused, match=r"url: inside\.example leads to .*, not a public address"):
            check_where_it_leads("https://inside.example/", allow_loopback=False, look_up=inside)

    def unknown(_: str) -> list[str]:
        raise OSError("no such name")

    assert check_where_it_leads("https://a.example/", allow_loopback=False, look_up=lambda _: ["1.1.1.1"])
    assert not check_where_it_leads("https://a.example/", allow_loopback=False, look_up=unknown)


def test_a_test_event_is_signed_and_cannot_be_taken_for_a_real_one(scene: Scene) -> None:
    made = add(scene, "/hook")
    number = str(made["endpoint_id"])
    said = run_json(scene, "endpoints", "test", number, "--actor", "dora")
    assert (said["status"], said["response"], said["error"]) == (200, "ok", None)
    assert said["latency_ms"] > 0
    [got] = scene.receiver.received
    body: Any = Webhook(made["secret"]).verify(got.body, got.headers)
    assert list(body) == ["event_id", "timestamp", "type"]
    assert body["type"] == "endpoint.test"
    assert body["event_id"] == got.message_id == said["event_id"]
    assert got.message_id.startswith("test_")
    assert acts(scene)[1:] == [("dora", "endpoint.test", f"endpoint {number}", "a test event")]
    with pytest.raises(EndpointRefused, match="is unknown"):
        scene.endpoint("/wants-tests", event_types=["endpoint.test"])
    assert scene.sql("SELECT count(*) FROM webhook_attempts") == [(0,)]


def test_a_test_event_that_is_not_taken_says_what_came_back(scene: Scene) -> None:
    number = str(add(scene, "/hook")["endpoint_id"])
    run(scene, "endpoints", "disable", number, *WHO)
    scene.receiver.always["/hook"] = Reply(503, body=b"not \xff today")
    code, said = run(scene, "endpoints", "test", number, "--actor", "dora")
    assert code == 1
    assert "\nstatus 503 (after " in said
    assert "not \\xff today" in said
    scene.receiver.always["/hook"] = Reply(hang=True)
    settings = Settings(database_url=scene.url, webhook_allow_loopback=True, webhook_timeout_s=0.2)
    trial = send_test(settings, int(number), **BY)
    assert (trial.succeeded, trial.answer.error) == (False, "no answer within 0.2 s")
    strict = settings.model_copy(update={"webhook_allow_loopback": False})
    assert send_test(strict, int(number), **BY).answer.error == "127.0.0.1 is not a public address"


def test_what_a_disabled_endpoint_missed_it_gets_when_it_is_enabled_and_starts_afresh(scene: Scene) -> None:
    number = str(add(scene, "/hook")["endpoint_id"])
    assert run(scene, "endpoints", "disable", number, *WHO) == (0, f"endpoint {number} is disabled\n")
    code, said = run(scene, "endpoints", "disable", number, *WHO)
    assert (code, said.startswith(f"endpoint_id: {number} is disabled since ")) == (1, True)
    scene.book.post(created(), cleared(created()))
    scene.sql("UPDATE webhook_endpoints SET failing_since = now() - interval '6 days'")
    code, said = run(scene, "endpoints", "list")
    assert "by dora: asked by phone" in said
    assert run_json(scene, "endpoints", "enable", number, *WHO) == {"endpoint_id": int(number), "missed": 2}
    scene.receiver.script["/hook"] = deque([Reply(500)])
    scene.dispatch(webhook_retry_delays_s=(0.05,) * 9)
    scene.delivered(2)
    assert not scene.disabled(), "one failure after six days of them is not five days of failures again"
    assert [action for _, action, *_ in acts(scene)] == [
        "endpoint.add",
        "endpoint.disable",
        "endpoint.enable",
    ]


def test_to_enable_what_is_not_disabled_changes_nothing_and_says_so(scene: Scene) -> None:
    number = str(add(scene, "/hook")["endpoint_id"])
    code, said = run(scene, "endpoints", "enable", number, *WHO)
    assert (code, said) == (0, f"endpoint {number} was enabled already; nothing changed\n")
    assert [action for _, action, *_ in acts(scene)] == ["endpoint.add"]


@pytest.mark.parametrize("command", ["rotate", "disable", "enable", "test"])
def test_an_endpoint_that_is_not_there_is_named(scene: Scene, command: str) -> None:
    code, said = run(scene, "endpoints", command, "77", *WHO)
    assert (code, said) == (
        1,
        "endpoint_id: there is no endpoint 77; `cashback endpoints list` shows them",
    )
