"""What is said of inputs that cannot be accepted: reason and origin, in the words of `schemas.quarantine`."""

from collections import deque
from collections.abc import Sequence

from schemas import quarantine as said
from schemas.errors import Undecodable

Headers = list[tuple[str, bytes]]

KEY_BYTES_MAX = 64 * 1024
VALUE_BYTES_MAX = 2 * 1024 * 1024
HEADER_BYTES_MAX = 64 * 1024


def headers(
    *, topic: str, partition: int, offset: int, first_seen_ms: int, reason: str, message: str, error: str
) -> Headers:
    """Headers of a quarantined record.

    `reason` is undecodable, rejected, conflict, parked_too_long or discarded; `message` is for people.
    """
    return [
        (said.ORIGIN_TOPIC, topic.encode()),
        (said.ORIGIN_PARTITION, str(partition).encode()),
        (said.ORIGIN_OFFSET, str(offset).encode()),
        (said.STAGE, b"VALUE_CONVERTER" if reason == "undecodable" else b"TRANSFORMATION"),
        (said.ERROR, error.encode()),
        (said.MESSAGE, message.encode("utf-8", "backslashreplace")),
        (said.REASON, reason.encode()),
        (said.FIRST_SEEN, str(first_seen_ms).encode()),
    ]


def bounded(key: bytes, value: bytes, given: Sequence[tuple[str, bytes]]) -> tuple[bytes, bytes, Headers]:
    """Key, value and headers of a record as far as they are kept; what is cut stays in the input log.

    A record may be larger than any topic takes: compressed, or with huge headers.
    """
    kept = [(_spelt(name), content) for name, content in given]
    if sum(len(name) + len(content or b"") for name, content in kept) > HEADER_BYTES_MAX:
        kept = [(said.HEADERS_DROPPED, str(len(kept)).encode())]
    if len(key) > KEY_BYTES_MAX:
        kept.append((said.KEY_BYTES, str(len(key)).encode()))
    if len(value) > VALUE_BYTES_MAX:
        kept.append((said.VALUE_BYTES, str(len(value)).encode()))
    return key[:KEY_BYTES_MAX], value[:VALUE_BYTES_MAX], kept


def require_readable(given: Sequence[tuple[str, bytes]]) -> None:
    """Raises `Undecodable` for a header key that is not UTF-8: the engine hands it on with surrogates."""
    for name, _ in given:
        if not name.isascii():
            try:
                name.encode()
            except UnicodeEncodeError:
                raise Undecodable(
                    "headers", f"the key {name!a} is not UTF-8", "name headers in UTF-8"
                ) from None


def _spelt(name: str) -> str:
    """A header key as text; bytes that are none become `\\xff`."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class BadRun:
    """Counts inputs that were bad one after another.

    When the last `limit` inputs of a worker, of at least two partners, were all bad, the fault is more likely
    ours than theirs. 0: never.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._partners: deque[str] = deque(maxlen=limit or 1)

    def good(self) -> None:
        """An input was accepted."""
        if self._partners:
            self._partners.clear()

    def bad(self, partner: str) -> bool:
        """An input of `partner` was refused; True when that is too many in a row."""
        if not self._limit:
            return False
        self._partners.append(partner)
        return len(self._partners) == self._limit and len(set(self._partners)) > 1
