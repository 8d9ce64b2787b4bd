"""Standard Webhooks signatures: HMAC-SHA256 over ``id.timestamp.body``, one a secret of the endpoint."""

import hmac
from base64 import b64encode
from collections.abc import Sequence


def sign(keys: Sequence[bytes], *, message_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: ``v1,…`` for each key in order, separated by blanks."""
    signed = f"{message_id}.{timestamp_s}.".encode() + body
    # hmac.digest: one call into OpenSSL, a third of the time of an HMAC object.
    return " ".join("v1," + b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys)
