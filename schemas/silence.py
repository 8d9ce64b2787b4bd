"""The header of a payment that is history: what it leads to is booked, and no webhook tells of it."""

from collections.abc import Iterable

SILENT_HEADER = "cashback.silent"
"""Record header; the value `1` makes the purchase that the record opens a silent one."""

_YES = b"1"


def silent_header() -> tuple[str, bytes]:
    """The header that silences."""
    return SILENT_HEADER, _YES


def is_silent(headers: Iterable[tuple[str, bytes | None]]) -> bool:
    """Whether a record with these headers is history."""
    return (SILENT_HEADER, _YES) in headers
