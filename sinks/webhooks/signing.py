"""Keys of endpoints, and what they make of a webhook: the two schemes of Standard Webhooks.

| scheme | stored | receivers get | signature |
| --- | --- | --- | --- |
| hmac-sha256 | ``whsec_``, 24 to 64 random bytes | the same | ``v1,`` |
| ed25519 | ``whsk_``, seed and public key, 32 bytes each | ``whpk_``, the public key | ``v1a,`` |

Signed is ``id.timestamp.body``; behind each prefix stands base64. Source: Standard Webhooks 1.0.0, "Signature
scheme"; RFC 8032.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias, assert_never

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sinks.webhooks.terms import EndpointRefused

SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
_SECRET_PREFIX, _PRIVATE_PREFIX, _PUBLIC_PREFIX = "whsec_", "whsk_", "whpk_"
_SEED_BYTES = 32
_PAIR_BYTES = 64


class Scheme(StrEnum):
    """The two signature schemes of Standard Webhooks: symmetric (``v1``) and asymmetric (``v1a``)."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Whoever verifies with it could sign with it."""

    key: bytes = field(repr=False)

    def signature(self, signed: bytes) -> str:
        """One of the signatures in `webhook-signature`."""
        # hmac.digest: one call into OpenSSL, a third of the time of an HMAC object.
        return "v1," + _base64(hmac.digest(self.key, signed, "sha256"))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Receivers get the public half, and can forge nothing with it."""

    private: Ed25519PrivateKey = field(repr=False)

    @property
    def public_key(self) -> str:
        """As receivers get it."""
        return _PUBLIC_PREFIX + _base64(self.private.public_key().public_bytes_raw())

    def signature(self, signed: bytes) -> str:
        """One of the signatures in `webhook-signature`."""
        return "v1a," + _base64(self.private.sign(signed))


Key: TypeAlias = SharedSecret | KeyPair


def sign(keys: Sequence[Key], *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one of each key in order, separated by blanks."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(key.signature(signed) for key in keys)


def new_secret(scheme: Scheme = Scheme.HMAC_SHA256) -> str:
    """A random secret of 32 bytes or a random key pair, in the form that is stored."""
    match scheme:
        case Scheme.HMAC_SHA256:
            return _SECRET_PREFIX + _base64(secrets.token_bytes(32))
        case Scheme.ED25519:
            private = Ed25519PrivateKey.generate()
            pair = private.private_bytes_raw() + private.public_key().public_bytes_raw()
            return _PRIVATE_PREFIX + _base64(pair)
        case _:
            assert_never(scheme)


def scheme_of(secret: str) -> Scheme:
    """By its prefix alone, whatever follows it."""
    return Scheme.ED25519 if secret.startswith(_PRIVATE_PREFIX) else Scheme.HMAC_SHA256


def key_of(secret: str) -> Key:
    """The key behind a stored text. Raises `EndpointRefused`."""
    scheme = scheme_of(secret)
    match scheme:
        case Scheme.HMAC_SHA256:
            return SharedSecret(_shared_secret(secret))
        case Scheme.ED25519:
            return KeyPair(_private_key(secret))
        case _:
            assert_never(scheme)


def _shared_secret(secret: str) -> bytes:
    if secret.startswith(_PUBLIC_PREFIX):
        raise EndpointRefused("secret: is a public key, which cannot sign; give the whsk_ one")
    key = _decoded(secret, _SECRET_PREFIX)
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise EndpointRefused(
            f"secret: holds {len(key)} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes"
        )
    return key


def _private_key(secret: str) -> Ed25519PrivateKey:
    pair = _decoded(secret, _PRIVATE_PREFIX)
    if len(pair) != _PAIR_BYTES:
        raise EndpointRefused(
            f"secret: holds {len(pair)} bytes; a key pair is {_PAIR_BYTES}, the seed and the public key"
        )
    private = Ed25519PrivateKey.from_private_bytes(pair[:_SEED_BYTES])
    # A half that is not its own makes signatures that nobody can verify.
    if private.public_key().public_bytes_raw() != pair[_SEED_BYTES:]:
        raise EndpointRefused(
            f"secret: its last {_SEED_BYTES} bytes are not the public key of its first; copy it whole"
        )
    return private


def _decoded(secret: str, prefix: str) -> bytes:
    if secret.startswith(prefix):
        with suppress(ValueError):
            return base64.b64decode(secret.removeprefix(prefix), validate=True)
    raise EndpointRefused(
        f"secret: must be {_SECRET_PREFIX} or {_PRIVATE_PREFIX}, then base64; leave it out for a random one"
    )


def _base64(value: bytes) -> str:
    return base64.b64encode(value).decode()
