"""Endpoints of partners: where their webhooks go, with which secret, and for which events."""

import base64
import binascii
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import psycopg
from yarl import URL

from schemas.webhooks import EVENT_TYPES
from sinks.webhooks.addresses import is_deliverable, is_loopback

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix alone is none
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
URL_MAX = 2_048
_PORTS = (443, 8443)

_ADD = """
INSERT INTO webhook_endpoints (partner_id, livemode, url, secrets, event_types)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT (partner_id, livemode, url) DO NOTHING RETURNING endpoint_id
"""


_DISABLED_AT = "SELECT disabled_at FROM webhook_endpoints WHERE endpoint_id = %s"
_CATCH_UP = """
INSERT INTO webhook_queue (endpoint_id, cashback_no, step, entry_id)
SELECT endpoint_id, cashback_no, step, entry_id
FROM webhook_endpoints
JOIN purchases USING (partner_id, livemode)
JOIN cashbacks USING (purchase_no)
JOIN entries USING (cashback_no)
JOIN webhook_messages USING (entry_id)
WHERE endpoint_id = %(endpoint)s AND posted_at >= %(since)s - interval '1 minute'
  AND 'cashback.' || entries.transition = ANY (event_types)
  AND NOT EXISTS (
      SELECT FROM webhook_attempts AS past
      WHERE past.endpoint_id = %(endpoint)s AND past.entry_id = entries.entry_id
        AND past.outcome IN ('delivered', 'repeated'))
ON CONFLICT DO NOTHING
"""
_ENABLE = "UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL WHERE endpoint_id = %s"


class EndpointRefused(ValueError):
    """An endpoint that cannot be registered. The message names the field, the problem and the remedy."""


@dataclass(frozen=True)
class Endpoint:
    """A registered endpoint. `secret` is shown here and never again."""

    endpoint_id: int
    partner_id: str
    livemode: bool
    url: str
    secret: str


def register(
    database_url: str,
    *,
    partner_id: str,
    livemode: bool,
    url: str,
    event_types: Sequence[str] = tuple(EVENT_TYPES.values()),
    secret: str | None = None,
    allow_loopback: bool,
) -> Endpoint:
    """Add an endpoint; from now on the partner's events are queued for it. Raises `EndpointRefused`.

    `secret`: ``whsec_`` and the base64 of 24 to 64 bytes; none: a random one is made. `allow_loopback` is the
    setting `webhook_allow_loopback`.
    """
    check_url(url, allow_loopback=allow_loopback)
    _check_event_types(event_types)
    secret = secret or new_secret()
    secret_key(secret)
    if not partner_id:
        raise EndpointRefused("partner_id: is empty; name the partner whose events are sent")
    with psycopg.connect(database_url, autocommit=True) as connection:
        row = connection.execute(_ADD, (partner_id, livemode, url, [secret], list(event_types))).fetchone()
    if row is None:
        raise EndpointRefused(
            f"url: {partner_id} has an endpoint with this URL already; disable or rotate that one"
        )
    return Endpoint(row[0], partner_id, livemode, url, secret)


def enable(database_url: str, endpoint_id: int) -> int:
    """Send to a disabled endpoint again, first what was booked since it was disabled; how many those are.

    Raises `EndpointRefused` when there is no such endpoint; one that is not disabled stays as it is.
    """
    with psycopg.connect(database_url) as connection:
        # Waits for the batches that are being booked and lets none begin: what they post is queued either
        # by them or here, and nothing gets in front of what the same cashback said before.
        connection.execute("LOCK TABLE webhook_endpoints IN ACCESS EXCLUSIVE MODE")
        row = connection.execute(_DISABLED_AT, (endpoint_id,)).fetchone()
        if row is None:
            raise EndpointRefused(f"endpoint_id: there is no endpoint {endpoint_id}; register one")
        if row[0] is None:
            return 0
        missed = connection.execute(_CATCH_UP, {"endpoint": endpoint_id, "since": row[0]}).rowcount
        connection.execute(_ENABLE, (endpoint_id,))
    return missed


def new_secret() -> str:
    """A random secret of 32 bytes in the form receivers get it."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def secret_key(secret: str) -> bytes:
    """The key behind a ``whsec_`` secret. Raises `EndpointRefused`."""
    try:
        if not secret.startswith(SECRET_PREFIX):
            raise ValueError("no prefix")
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        raise EndpointRefused("secret: is not whsec_ and base64; leave it out to get a random one") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise EndpointRefused(
            f"secret: holds {len(key)} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes"
        )
    return key


def check_url(url: str, *, allow_loopback: bool) -> None:
    """Raises `EndpointRefused` unless webhooks may be sent there; names are checked again at each connect."""
    try:
        parts = urlsplit(url)
        port = parts.port
        # Whoever sends must see the same host as whoever checks.
        if "\\" in url or (URL(url, encoded=True).host or "") != (parts.hostname or ""):
            raise ValueError("the host can be read in two ways")
    except ValueError as error:
        raise EndpointRefused(f"url: {error}; write https://host/path") from None
    host = parts.hostname or ""
    if len(url) > URL_MAX or not url.isascii() or any(c.isspace() or ord(c) < 33 for c in url):
        raise EndpointRefused(f"url: must be ASCII without blanks, at most {URL_MAX} characters; encode it")
    if not host or parts.scheme not in ("https", "http"):
        raise EndpointRefused("url: is not an https address; write https://host/path")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise EndpointRefused("url: holds credentials or a fragment; leave them out, requests are signed")
    if allow_loopback and is_loopback(host):
        return
    if parts.scheme != "https":
        raise EndpointRefused("url: is not https; use https (http is for loopback in development only)")
    if port not in (None, *_PORTS):
        raise EndpointRefused(f"url: port {port} is not allowed; use 443 or 8443")
    _check_host(host)


def _check_host(host: str) -> None:
    try:
        address = ip_address(host)
    except ValueError:
        last = host.rstrip(".").rpartition(".")[2]
        # "0x7f.1" and "2130706433" are addresses to resolvers, though not to `ip_address`.
        if not last or last[0].isdigit() or is_loopback(host) or last in ("local", "internal", "localhost"):
            raise EndpointRefused(
                f"url: {host} is not a public name; use one that the internet knows"
            ) from None
        return
    if not is_deliverable(address):
        raise EndpointRefused(f"url: {host} is not a public address; webhooks go to the internet only")


def _check_event_types(event_types: Sequence[str]) -> None:
    known = EVENT_TYPES.values()
    if not event_types:
        raise EndpointRefused(f"event_types: is empty; choose of {', '.join(known)}")
    for each in event_types:
        if each not in known:
            raise EndpointRefused(f"event_types: {each!r} is unknown; choose of {', '.join(known)}")
