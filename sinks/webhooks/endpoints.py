"""Endpoints of partners: where their webhooks go, with which signature, and for which events.

Each act is one transaction with its line in the audit log. A shared secret is returned when it is made, and
by nothing else; the private half of a key pair never is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from schemas.times import from_datetime, to_iso
from schemas.webhooks import EVENT_TYPES
from sinks import audit
from sinks.database import READER_ROLE, session
from sinks.webhooks.signing import KeyPair, Scheme, key_of, new_secret, scheme_of
from sinks.webhooks.terms import EndpointRefused, check_batch, check_event_types, check_rate, check_url

NAME = "cashback endpoints"
OLD_SECRET_FOR = timedelta(hours=24)
"""How long the secret or key pair before the newest signs as well."""
EVENT_TYPE = (
    "'cashback.' || CASE entries.transition WHEN 'reversed' THEN 'reverted' ELSE entries.transition::text END"
)
"""SQL: the type under which publishers are told of an entry."""

_ADD = """
INSERT INTO webhook_endpoints
    (partner_id, livemode, url, secrets, public_key, event_types, per_second_max, batch_max)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (partner_id, livemode, url) DO NOTHING RETURNING endpoint_id
"""
_FOUND = """
SELECT partner_id, public_key, secrets, old_secret_until, disabled_at FROM webhook_endpoints
WHERE endpoint_id = %s FOR UPDATE
"""
_CATCH_UP = f"""
INSERT INTO webhook_queue (endpoint_id, cashback_no, step, entry_id)
SELECT endpoint_id, cashback_no, step, entry_id
FROM webhook_endpoints
JOIN purchases USING (partner_id, livemode)
JOIN cashbacks USING (purchase_no)
JOIN entries USING (cashback_no)
JOIN webhook_messages USING (entry_id)
WHERE endpoint_id = %(endpoint)s AND posted_at >= %(since)s - interval '1 minute'
  AND {EVENT_TYPE} = ANY (event_types)
  AND NOT EXISTS (
      SELECT FROM webhook_attempts AS past
      WHERE past.endpoint_id = %(endpoint)s AND past.entry_id = entries.entry_id
        AND past.outcome IN ('delivered', 'repeated'))
ON CONFLICT DO NOTHING
"""  # noqa: S608 - put together from constants
# What it failed at before counts no longer: it has its five days again, and no pause.
_ENABLE = """
UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL, failing_since = NULL,
    paused_until = NULL
WHERE endpoint_id = %s
"""
_DISABLE = """
UPDATE webhook_endpoints SET disabled_at = clock_timestamp(), disabled_reason = %s WHERE endpoint_id = %s
"""
_ROTATE = """
UPDATE webhook_endpoints SET secrets = %s, public_key = %s, old_secret_until = %s WHERE endpoint_id = %s
"""
_PAIR_OF_OTHERS = "SELECT FROM webhook_endpoints WHERE %s = ANY (secrets) AND partner_id <> %s LIMIT 1"
_LIST = """
SELECT endpoint_id, partner_id, livemode, url, event_types, per_second_max, batch_max, public_key, created_at,
       CASE WHEN old_secret_until > clock_timestamp() THEN old_secret_until END,
       failing_since, disabled_at, disabled_reason,
       (SELECT count(*) FROM webhook_queue WHERE webhook_queue.endpoint_id = webhook_endpoints.endpoint_id)
FROM webhook_endpoints WHERE %(partner)s::text IS NULL OR partner_id = %(partner)s
ORDER BY endpoint_id
"""


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that was just registered.

    What its receiver verifies with: `secret`, shown here and never again, or else `public_key`.
    """

    endpoint_id: int
    partner_id: str
    livemode: bool
    url: str
    secret: str | None
    public_key: str | None


@dataclass(frozen=True)
class Rotated:
    """The new `secret`, shown here and never again, or else the new `public_key`.

    The old one signs until `old_until`; None: no more.
    """

    endpoint_id: int
    secret: str | None
    public_key: str | None
    old_until: datetime | None


@dataclass(frozen=True)
class Listed:
    """An endpoint as it stands.

    `public_key`: its receiver verifies with it; None: with a secret. `old_secret_until`: so long two sign.
    `batch_max`: events a request at most; None: one, as it is. `queued`: what waits.
    """

    endpoint_id: int
    partner_id: str
    livemode: bool
    url: str
    event_types: list[str]
    per_second_max: int | None
    batch_max: int | None
    public_key: str | None
    created_at: datetime
    old_secret_until: datetime | None
    failing_since: datetime | None
    disabled_at: datetime | None
    disabled_reason: str | None
    queued: int


def register(
    database_url: str,
    *,
    partner_id: str,
    livemode: bool,
    url: str,
    event_types: Sequence[str] = tuple(EVENT_TYPES.values()),
    scheme: Scheme | None = None,
    secret: str | None = None,
    per_second_max: int | None = None,
    batch_max: int | None = None,
    allow_loopback: bool,
    actor: str,
    reason: str,
) -> Endpoint:
    """Add an endpoint; from now on the partner's events are queued for it. Raises `EndpointRefused`.

    `secret`: in a form of `sinks.webhooks.signing`; none: a random one of `scheme`, else of hmac-sha256.
    `per_second_max`: requests a second. `allow_loopback` is the setting `webhook_allow_loopback`.
    """
    check_url(url, allow_loopback=allow_loopback)
    check_event_types(event_types)
    check_rate(per_second_max)
    check_batch(batch_max)
    secret, public_key = _secret(secret, scheme)
    if not partner_id:
        raise EndpointRefused("partner_id: is empty; name the partner whose events are sent")
    types = list(dict.fromkeys(event_types))
    with session(database_url, NAME) as connection, connection.transaction():
        _check_pair(connection, secret, partner_id)
        values = (partner_id, livemode, url, [secret], public_key, types, per_second_max, batch_max)
        row = connection.execute(_ADD, values).fetchone()
        if row is None:
            raise EndpointRefused(
                f"url: {partner_id} has an endpoint with this URL already; enable or rotate that one"
            )
        details = {
            "partner_id": partner_id,
            "livemode": livemode,
            "url": url,
            "event_types": types,
            "per_second_max": per_second_max,
            "batch_max": batch_max,
            "scheme": scheme_of(secret),
        }
        _audit(connection, "endpoint.add", row[0], actor, reason, details)
    return Endpoint(row[0], partner_id, livemode, url, None if public_key else secret, public_key)


def rotate(
    database_url: str,
    endpoint_id: int,
    *,
    scheme: Scheme | None = None,
    secret: str | None = None,
    at_once: bool = False,
    now: datetime | None = None,
    actor: str,
    reason: str,
) -> Rotated:
    """Give an endpoint a new secret or key pair; for a day both sign, the new one first.

    `secret`, `scheme`: as in `register`; neither: of its scheme. `at_once`: the old one signs no more, being
    known to others. `now` is the present unless given. Raises `EndpointRefused`.
    """
    now = now or datetime.now(UTC)
    with session(database_url, NAME) as connection, connection.transaction():
        partner_id, old_public_key, secrets, old_until, _ = _found(connection, endpoint_id)
        if secret is None and scheme is None:
            scheme = Scheme.ED25519 if old_public_key else Scheme.HMAC_SHA256
        secret, public_key = _secret(secret, scheme)
        is_rotating = old_until is not None and old_until > now
        # One that was damaged in its row is not kept: it would make the endpoint unusable.
        signing = [each for each in secrets[: 1 + is_rotating] if _signs(each)]
        if secret in signing:
            raise EndpointRefused("secret: is one that signs already; leave it out to get a random one")
        if len(signing) > 1 and not at_once:
            raise EndpointRefused(
                f"endpoint_id: {endpoint_id} is being rotated, two sign until {_text(old_until)} and a third "
                "cannot; wait until then, or rotate at once: then neither signs any more, the new one alone"
            )
        _check_pair(connection, secret, partner_id)
        keeps_one = signing and not at_once
        kept, until = ([secret, signing[0]], now + OLD_SECRET_FOR) if keeps_one else ([secret], None)
        connection.execute(_ROTATE, (kept, public_key, until, endpoint_id))
        _audit(
            connection,
            "endpoint.rotate",
            endpoint_id,
            actor,
            reason,
            {"at_once": at_once, "scheme": scheme_of(secret)},
        )
    return Rotated(endpoint_id, None if public_key else secret, public_key, until)


def disable(database_url: str, endpoint_id: int, *, actor: str, reason: str) -> None:
    """Send nothing more there, after a second; what is queued waits. Raises `EndpointRefused`."""
    with session(database_url, NAME) as connection, connection.transaction():
        *_, disabled_at = _found(connection, endpoint_id)
        if disabled_at is not None:
            raise EndpointRefused(
                f"endpoint_id: {endpoint_id} is disabled since {_text(disabled_at)}; there is nothing to do"
            )
        connection.execute(_DISABLE, (f"by {actor}: {reason}", endpoint_id))
        _audit(connection, "endpoint.disable", endpoint_id, actor, reason, {})


def enable(database_url: str, endpoint_id: int, *, actor: str, reason: str) -> int | None:
    """Send to a disabled endpoint again, first what was booked since it was disabled; how many those are.

    None: it was not disabled, and stays as it is. Raises `EndpointRefused` when there is no such endpoint.
    """
    with session(database_url, NAME) as connection, connection.transaction():
        # Waits for the batches that are being booked and lets none begin: what they post is queued either
        # by them or here, and nothing gets in front of what the same cashback said before.
        connection.execute("LOCK TABLE webhook_endpoints IN ACCESS EXCLUSIVE MODE")
        *_, disabled_at = _found(connection, endpoint_id)
        if disabled_at is None:
            return None
        missed = connection.execute(_CATCH_UP, {"endpoint": endpoint_id, "since": disabled_at}).rowcount
        connection.execute(_ENABLE, (endpoint_id,))
        _audit(connection, "endpoint.enable", endpoint_id, actor, reason, {"missed": missed})
    return missed


def endpoints(database_url: str, *, partner_id: str | None = None) -> list[Listed]:
    """All endpoints, or those of a partner, by number. No secret is among what is said of them."""
    with session(database_url, NAME, role=READER_ROLE) as connection:
        return [Listed(*row) for row in connection.execute(_LIST, {"partner": partner_id})]


def _found(connection: psycopg.Connection, endpoint_id: int) -> tuple[Any, ...]:
    row = connection.execute(_FOUND, (endpoint_id,)).fetchone()
    if row is None:
        raise EndpointRefused(
            f"endpoint_id: there is no endpoint {endpoint_id}; `cashback endpoints list` shows them"
        )
    return row


def _check_pair(connection: psycopg.Connection, secret: str, partner_id: str) -> None:
    """Bodies do not say whom they are for: with one pair a partner could pass its webhooks on to another."""
    is_pair = scheme_of(secret) is Scheme.ED25519
    if is_pair and connection.execute(_PAIR_OF_OTHERS, (secret, partner_id)).rowcount:
        raise EndpointRefused(
            "secret: another partner verifies with this key pair; leave it out to get a random one"
        )


def _signs(secret: str) -> bool:
    """Whether it is usable."""
    try:
        key_of(secret)
    except EndpointRefused:
        return False
    return True


def _secret(given: str | None, scheme: Scheme | None) -> tuple[str, str | None]:
    """The text to store, and the public key if it is a pair."""
    secret = new_secret(scheme or Scheme.HMAC_SHA256) if given is None else given
    key = key_of(secret)
    if scheme is not None and scheme_of(secret) is not scheme:
        raise EndpointRefused(
            f"scheme: is {scheme}, but the secret is one of {scheme_of(secret)}; leave one of the two out"
        )
    return secret, key.public_key if isinstance(key, KeyPair) else None


def _text(moment: datetime) -> str:
    return to_iso(from_datetime(moment))


def _audit(
    connection: psycopg.Connection,
    action: str,
    endpoint_id: int,
    actor: str,
    reason: str,
    details: dict[str, object],
) -> None:
    subject = f"endpoint {endpoint_id}"
    audit.record(connection, actor=actor, action=action, subject=subject, reason=reason, details=details)
