"""The position record: one changelog row that says which input offset the state has reached.

It is written in the same transaction as the rows and outputs it belongs to, so it can neither run ahead of
them nor fall behind. Group offsets are committed beside it for lag displays only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

POSITION_KEY = b"\x00position"
"""The one key of a changelog partition that folds must not use."""

_FORMAT = 1
_HEAD = struct.Struct(">Bq")


class UnreadablePosition(Exception):
    """The position record has a format this version does not know."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where to read on: the first offset not in the state, and the incarnation of the topic it counts in."""

    next_offset: int
    topic_id: str

    def encode(self) -> bytes:
        return _HEAD.pack(_FORMAT, self.next_offset) + self.topic_id.encode()

    @classmethod
    def decode(cls, value: bytes) -> Position:
        if len(value) < _HEAD.size or value[0] != _FORMAT:
            raise UnreadablePosition(
                f"position record: unknown format {value[:1].hex() or 'empty'}, known is {_FORMAT:02x}: "
                "run the version that wrote the state, or rebuild the state from the input log"
            )
        _, next_offset = _HEAD.unpack_from(value)
        return cls(next_offset, value[_HEAD.size :].decode())
