"""Confluent wire format: a zero byte, the schema's id in four bytes, the Avro datum.

Two codecs do this and decide alike: the compiled one, where the package was built with a C compiler, and
fastavro. The compiled one knows the newest version of each record and hands what is older to fastavro.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from schemas.fastavro_codec import SIZE_MAX, Datum, FastavroCodec, head, known_layout
from schemas.registry import LockedSchema, locked_schemas


class Codec(Protocol):
    """What both codecs do; see `encode` and `decode` below."""

    @property
    def encode(self) -> Callable[[str, Datum], bytes]: ...
    @property
    def decode(self) -> Callable[[bytes | None], tuple[str, Datum]]: ...
    @property
    def decode_fields(self) -> Callable[[bytes | None], tuple[str, tuple[Any, ...], bool]]: ...


def codecs_of(schemas: Sequence[LockedSchema]) -> dict[str, Codec]:
    """The codecs there are here by name, the one to use first."""
    fallback = FastavroCodec(schemas)
    try:
        from schemas.compiled import codec as compiled
    except ImportError:
        return {"fastavro": fallback}
    newest = {schema.record: schema for schema in sorted(schemas, key=lambda schema: schema.version)}
    layouts = [(schema, layout) for schema in newest.values() if (layout := known_layout(schema))]
    readers = {
        schema_id: (schema.record, layout)
        for schema, layout in layouts
        for schema_id in (schema.schema_id, *schema.former_ids)
    }
    writers = {schema.record: (head(schema.schema_id), layout) for schema, layout in layouts}
    return {"compiled": compiled.Codec(readers, writers, fallback, SIZE_MAX), "fastavro": fallback}


CODECS = codecs_of(locked_schemas())
"""The codecs there are here by name, the one in use first."""

CODEC = next(iter(CODECS))
"""Which codec is in use: compiled or fastavro."""

encode = CODECS[CODEC].encode
"""`encode(record, datum)`: framed bytes of `datum` by the newest version of `record`; times in microseconds.

Raises `KeyError` for an unknown record, `ValueError` or `TypeError` when the datum does not fit: a fault of
ours.
"""

decode = CODECS[CODEC].decode
"""`decode(value)`: record name and datum, as its newest version. Raises `Undecodable` and nothing else."""

decode_fields = CODECS[CODEC].decode_fields
"""`decode_fields(value)`: as `decode`, but the values alone, in the order of the schema's fields, and whether
every string among them is known to be 1 to 128 printable ASCII characters.
"""
