"""Keys of endpoints, and what they make of a webhook: the two schemes of Standard Webhooks.

| scheme | kept | receivers get | signature |
| --- | --- | --- | --- |
| hmac-sha256 | ``whsec_`` and 24 to 64 bytes | the same | ``v1,`` |
| ed25519 | ``whsk_`` and the 64 bytes of a key pair | ``whpk_`` and its public half | ``v1a,`` |

Signed is ``id.timestamp.body``; behind each prefix stands base64.
"""

import base64
import binascii
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sinks.webhooks.terms import EndpointRefused

SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
_SHARED, _PRIVATE, _PUBLIC = "whsec_", "whsk_", "whpk_"
_SEED_BYTES = 32
_PAIR_BYTES = 64


class Scheme(StrEnum):
    """How webhooks are signed."""

    HMAC_SHA256 = "hmac-sha256"
    ED25519 = "ed25519"


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """Whoever verifies with it could sign with it."""

    key: bytes = field(repr=False)

    def signature(self, signed: bytes) -> str:
        """One of the signatures in `webhook-signature`."""
        # hmac.digest: one call into OpenSSL, a third of the time of an HMAC object.
        return "v1," + _text(hmac.digest(self.key, signed, "sha256"))


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Its private half never leaves us."""

    private: Ed25519PrivateKey

    def signature(self, signed: bytes) -> str:
        """One of the signatures in `webhook-signature`."""
        return "v1a," + _text(self.private.sign(signed))


Key: TypeAlias = SharedSecret | KeyPair


def sign(keys: Sequence[Key], *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: one of each key in order, separated by blanks."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    return " ".join(key.signature(signed) for key in keys)


def new_secret(scheme: Scheme = Scheme.HMAC_SHA256) -> str:
    """A random one, as it is kept."""
    if scheme is Scheme.HMAC_SHA256:
        return _SHARED + _text(secrets.token_bytes(32))
    private = Ed25519PrivateKey.generate()
    return _PRIVATE + _text(private.private_bytes_raw() + private.public_key().public_bytes_raw())


def scheme_of(secret: str) -> Scheme:
    """By its prefix, whether or not the rest of it is right."""
    return Scheme.ED25519 if secret.startswith(_PRIVATE) else Scheme.HMAC_SHA256


def key_of(secret: str) -> Key:
    """The key behind a ``whsec_`` or ``whsk_`` text. Raises `EndpointRefused`."""
    return KeyPair(_private_key(secret)) if secret.startswith(_PRIVATE) else SharedSecret(_shared(secret))


def public_key(secret: str) -> str | None:
    """The ``whpk_`` text of a key pair; None for a shared secret. Raises `EndpointRefused`."""
    if scheme_of(secret) is not Scheme.ED25519:
        return None
    return _PUBLIC + _text(_private_key(secret).public_key().public_bytes_raw())


def _shared(secret: str) -> bytes:
    key = _bytes_of(secret, _SHARED)
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise EndpointRefused(
            f"secret: holds {len(key)} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} random bytes"
        )
    return key


def _private_key(secret: str) -> Ed25519PrivateKey:
    pair = _bytes_of(secret, _PRIVATE)
    if len(pair) != _PAIR_BYTES:
        raise EndpointRefused(
            f"secret: holds {len(pair)} bytes; a key pair is {_PAIR_BYTES}, the seed and the public key"
        )
    private = Ed25519PrivateKey.from_private_bytes(pair[:_SEED_BYTES])
    # A half that is not its own makes signatures that nobody can verify.
    if private.public_key().public_bytes_raw() != pair[_SEED_BYTES:]:
        raise EndpointRefused(
            "secret: its last 32 bytes are not the public key of its first 32; copy it whole"
        )
    return private


def _bytes_of(secret: str, prefix: str) -> bytes:
    try:
        if not secret.startswith(prefix):
            raise ValueError("no prefix")
        return base64.b64decode(secret.removeprefix(prefix), validate=True)
    except (ValueError, binascii.Error):
        raise EndpointRefused(
            f"secret: is not {_SHARED} or {_PRIVATE} and base64; leave it out to get a random one"
        ) from None


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode()
