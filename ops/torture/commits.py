"""Reads along a PostgreSQL dialogue, to cut it exactly at a COMMIT."""

from dataclasses import dataclass, field
from enum import StrEnum
from threading import Event

_HEADER = 5
_STARTUP_HEADER = 8
_ASKS_FOR_ENCRYPTION = (80_877_103, 80_877_104)
"""Codes of SSLRequest and GSSENCRequest, after which the true startup message follows."""
_QUERY, _PARSE = ord("Q"), ord("P")
_HEAD_BYTES = 64
_COMMITTED = b"COMMIT\0"


class When(StrEnum):
    """Where the connection is cut."""

    BEFORE = "before it reaches the server"
    AFTER = "after the server committed, before its answer arrives"


@dataclass
class Cut:
    """Cut at the COMMIT after `spared` others; `done` is set when it happened."""

    when: When
    spared: int = 0
    done: Event = field(default_factory=Event)


class Dialogue:
    """One connection, followed from its first byte. Not encrypted: the embedded server does not offer it."""

    def __init__(self) -> None:
        self._begun = False
        self._header = b""
        self._left = 0
        self._type = 0
        self._head = b""
        self._awaits_answer = False

    def said(self, data: bytes, cut: Cut | None) -> tuple[bytes, bool]:
        """What of the client's bytes may pass, and whether to cut then."""
        commits = self._follow(data)
        if cut is None or cut.done.is_set():
            return data, False
        for at in commits:
            if cut.spared:
                cut.spared -= 1
            elif cut.when is When.BEFORE:
                cut.done.set()
                return data[:at], True
            else:
                self._awaits_answer = True
        return data, False

    def answered(self, data: bytes, cut: Cut | None) -> tuple[bytes, bool]:
        """What of the server's bytes may pass, and whether to cut then."""
        if self._awaits_answer and cut is not None and _COMMITTED in data and not cut.done.is_set():
            cut.done.set()
            return b"", True
        return data, False

    def _follow(self, data: bytes) -> list[int]:
        """Where in `data` a message with COMMIT begins (0: before it)."""
        found: list[int] = []
        at, began = 0, 0
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                if len(self._head) < _HEAD_BYTES:
                    self._head += data[at : at + min(taken, _HEAD_BYTES)]
                at, self._left = at + taken, self._left - taken
            else:
                wanted = (_HEADER if self._begun else _STARTUP_HEADER) - len(self._header)
                if not self._header:
                    began = at
                self._header += data[at : at + wanted]
                at += wanted
                if len(self._header) < (_HEADER if self._begun else _STARTUP_HEADER):
                    break
                self._begin_message()
            if not self._left and self._type and self._is_commit():
                found.append(began)
                self._type = 0
        return found

    def _begin_message(self) -> None:
        header, self._header, self._head = self._header, b"", b""
        if self._begun:
            self._type, self._left = header[0], int.from_bytes(header[1:], "big") - 4
            return
        length, code = int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
        self._begun = code not in _ASKS_FOR_ENCRYPTION
        self._type, self._left = 0, length - _STARTUP_HEADER

    def _is_commit(self) -> bool:
        if self._type == _QUERY:
            return self._head.upper().startswith(b"COMMIT")
        if self._type == _PARSE:
            return self._head.partition(b"\0")[2].upper().startswith(b"COMMIT")
        return False
