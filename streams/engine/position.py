"""The position record: one changelog row that says which input offset the state has reached.

It is written in the same transaction as the rows and outputs it belongs to, so it can neither run ahead of
them nor fall behind. Group offsets are committed beside it for lag displays only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

POSITION_KEY = b"\x00position"
"""The one key of a changelog partition that folds must not use."""

UNFINISHED = 0
"""Version of rows that are being written: the state is not whole, and no worker takes it."""

_FORMAT = 2
_HEAD = struct.Struct(">BqH")
_HEAD_1 = struct.Struct(">Bq")
"""Before rows had a version: they are of the first."""


class UnreadablePosition(Exception):
    """The position record has a format this version does not know."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where to read on: the first offset not in the state, and the incarnation of the topic it counts in."""

    next_offset: int
    topic_id: str
    state_version: int = 1
    """Form of the rows beside it, see EngineSettings.state_version."""

    def encode(self) -> bytes:
        return _HEAD.pack(_FORMAT, self.next_offset, self.state_version) + self.topic_id.encode()

    @classmethod
    def decode(cls, value: bytes) -> Position:
        if len(value) >= _HEAD.size and value[0] == _FORMAT:
            _, next_offset, state_version = _HEAD.unpack_from(value)
            return cls(next_offset, value[_HEAD.size :].decode(), state_version)
        if len(value) >= _HEAD_1.size and value[0] == 1:
            return cls(_HEAD_1.unpack_from(value)[1], value[_HEAD_1.size :].decode())
        raise UnreadablePosition(
            f"the position record has format {value[0] if value else 'none'}, this code knows {_FORMAT}"
        )
