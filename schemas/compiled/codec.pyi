from typing import Any

from schemas.compiled.layout import Layout
from schemas.fastavro_codec import FastavroCodec

KINDS: dict[str, int]

class Malformed(Exception): ...

class Codec:
    def __init__(
        self,
        readers: dict[int, tuple[str, Layout]],
        writers: dict[str, tuple[bytes, Layout]],
        fallback: FastavroCodec,
        size_max: int,
    ) -> None: ...
    def decode(self, value: bytes | None) -> tuple[str, dict[str, Any]]: ...
    def decode_fields(self, value: bytes | None) -> tuple[str, tuple[Any, ...], bool]: ...
    def encode(self, record: str, datum: dict[str, Any]) -> bytes: ...
