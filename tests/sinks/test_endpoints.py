"""Which endpoints may be registered, and where a webhook may connect to."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime
from ipaddress import ip_address

import pytest
from standardwebhooks import Webhook

from sinks.webhooks.addresses import AddressRefused, SocketFactory, is_deliverable
from sinks.webhooks.endpoints import register
from sinks.webhooks.outcomes import Delivered, GiveUp, Gone, Retry, judge
from sinks.webhooks.signing import key_of, new_secret, sign
from sinks.webhooks.terms import EndpointRefused, check_url

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/", "ftp://example.com/", "example.com", "https://", "https://user:pw@example.com/",
        "https://example.com:8080/", "https://example.com/#part", "https://exa mple.com/", "https://127.0.0.1/",
        "https://10.0.0.1/", "https://169.254.169.254/latest", "https://[::1]/", "https://[::ffff:10.0.0.1]/",
        "https://2130706433/", "https://0x7f.1/", "https://0177.0.0.1/", "https://localhost/", "https://a.localhost/",
        "https://printer.local/", "https://example.com:99999/", "https://" + "a" * 2_050, "https://exämple.com/",
        "https://[2606:4700::1111%25eth0]/", "https://[fe80::1%25eth0]/",
        "https://a..b/", "https://.example.com/", "https://localhost%2e/", "https://127.0.0.1%00.example.com/",
        "https://metadata/", "https://" + "a" * 64 + ".com/", "https://" + "a." * 127 + "com/",
    ],
)  # fmt: skip
def test_a_url_webhooks_must_not_go_to_is_refused_with_the_reason(url: str) -> None:
    with pytest.raises(EndpointRefused, match="url: "):
        check_url(url, allow_loopback=False)


def test_loopback_is_allowed_by_the_setting_alone() -> None:
    for url in ("http://127.0.0.1:9000/hook", "http://localhost/hook", "http://[::1]:80/"):
        check_url(url, allow_loopback=True)
    for url in ("http://10.0.0.1/", "http://example.com/"):
        with pytest.raises(EndpointRefused):
            check_url(url, allow_loopback=True)
    check_url("https://hooks.example.com:8443/a?b=c", allow_loopback=False)


def test_a_name_in_another_script_is_taken_in_its_ascii_form() -> None:
    check_url("https://xn--bcher-kva.example/hook", allow_loopback=False)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "ff02::1",
        "::ffff:127.0.0.1",
        "::127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "198.51.100.1", "3fff::1",
        "192.0.0.8", "192.88.99.1",
    ],
)  # fmt: skip
def test_an_address_inside_is_refused_when_the_socket_is_made(address: str) -> None:
    assert not is_deliverable(ip_address(address))
    with pytest.raises(AddressRefused):
        SocketFactory(allow_loopback=False)((2, 1, 6, "", (address, 443)))


def test_an_address_of_the_internet_is_reached() -> None:
    for address in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"):
        assert is_deliverable(ip_address(address))


@pytest.mark.parametrize(
    "secret",
    [
        "abc", "whsec_!!", "whsec_" + "A" * 28, "whsec_" + "A" * 200, "whsk_!!", "whsk_" + "A" * 44,
        "whsk_" + "A" * 86 + "==", "whpk_" + "A" * 43 + "=",
    ],
)  # fmt: skip
def test_a_secret_of_the_wrong_form_or_length_is_refused(secret: str) -> None:
    with pytest.raises(EndpointRefused, match="secret: "):
        key_of(secret)


def test_an_endpoint_is_registered_once_with_a_secret_of_its_own(ledger_url: str) -> None:
    def add(event_types: tuple[str, ...] = ("cashback.created",)) -> str | None:
        url = "https://hooks.example.com/a"
        return register(
            ledger_url,
            partner_id="shop",
            livemode=True,
            url=url,
            event_types=event_types,
            allow_loopback=False,
            actor="dora",
            reason="a test",
        ).secret

    secret = add()
    assert secret is not None
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    with pytest.raises(EndpointRefused, match="already"):
        add()
    with pytest.raises(EndpointRefused, match="event_types: 'x'"):
        add(("x",))


def test_our_signature_is_the_official_one() -> None:
    secret, body = new_secret(), '{"größe": 1}'.encode()
    signature = sign([key_of(secret)], message_id="evt_1", timestamp_s=1_700_000_000, body=body)
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    assert signature == Webhook(secret).sign(msg_id="evt_1", timestamp=moment, data=body.decode())
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = hmac.new(key, b"evt_1.1700000000." + body, hashlib.sha256).digest()
    assert signature == "v1," + base64.b64encode(expected).decode()


def test_what_follows_from_an_answer() -> None:
    delays = (5.0, 300.0)

    def outcome(status: int | None, header: str | None = None, attempt: int = 1) -> object:
        return judge(status, header, attempt=attempt, delays_s=delays, now=NOW)

    assert outcome(200) == outcome(299) == Delivered()
    assert outcome(410) == Gone()
    assert outcome(500, attempt=3) == GiveUp()
    for status in (None, 199, 301, 400, 500):
        retry = outcome(status, "60")
        assert isinstance(retry, Retry)
        assert 5 <= retry.delay_s <= 6
        assert retry.pause_s == 0
    for status in (429, 502, 503, 504):
        assert outcome(status, "60") == Retry(60.0, 60.0)
        assert outcome(status, "Thu, 01 Jan 2026 00:10:00 GMT") == Retry(600.0, 600.0)
        for nonsense in ("soon", "-5", "", "Thu, 99 Jan 2026 00:10:00 GMT"):
            retry = outcome(status, nonsense)
            assert isinstance(retry, Retry)
            assert retry.pause_s == 0
    assert outcome(503, "99999999999") == Retry(86_400.0, 86_400.0)
