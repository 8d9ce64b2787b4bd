"""Files of transactions (JSON Lines or Parquet) and of entitlements (JSON Lines), with their field names.

JSON Lines may be gzipped. Bad lines are values beside the good ones, so that one of them never ends a load.
The kind of a file is known by its first bytes, not by its name.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar, cast

import msgspec

from schemas import entitlements
from schemas.entitlements import Entitlement
from schemas.errors import Rejected
from schemas.times import in_range, to_iso
from schemas.transactions import FIELDS, Transaction, from_json

LINE_BYTES_MAX = 1024 * 1024
"""A longer line is bad: none needs it, and a file without line ends must not fill the memory."""

_PARQUET_ROWS_A_BATCH = 8_192
_PARQUET_MAGIC = b"PAR1"
_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MAGIC_BYTES = 16

Record = TypeVar("Record")
RecordOut = TypeVar("RecordOut", covariant=True)


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not what the file is of; `line` counts from 1 (rows in Parquet)."""

    line: int
    reason: Rejected


class RecordFile(Protocol[RecordOut]):
    """One opened file. Raises `OSError` while read when the disk does."""

    line: int
    """Where the line given last stands in the file, from 1 (rows in Parquet)."""

    def lines(self) -> Iterator[RecordOut | BadLine]:
        """Every line in file order; blank ones are left out."""

    def fraction(self) -> float:
        """How much of it is read, 0 to 1."""


class FileRefused(ValueError):
    """A file of which nothing can be read; the message names it, the problem and the remedy."""


def open_transactions(path: Path) -> RecordFile[Transaction]:
    """The reader that fits `path`. Raises `OSError` or `FileRefused`."""
    magic = _magic(path)
    with _naming(path):
        if magic.startswith(_PARQUET_MAGIC):
            return _Parquet(path)
        _refuse_array(magic)
    return _JsonLines(path, from_json, zipped=magic.startswith(_GZIP_MAGIC))


def open_entitlements(path: Path) -> RecordFile[Entitlement]:
    """The reader of a file of entitlements. Raises `OSError` or `FileRefused`."""
    magic = _magic(path)
    with _naming(path):
        if magic.startswith(_PARQUET_MAGIC):
            raise FileRefused("entitlements are not read from Parquet; write one JSON object a line")
        _refuse_array(magic)
    return _JsonLines(path, entitlements.from_json, zipped=magic.startswith(_GZIP_MAGIC))


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    try:
        yield
    except FileRefused as error:
        raise FileRefused(f"{path}: {error}") from error


def _refuse_array(magic: bytes) -> None:
    # Read line by line, each line of an array would be a fault of its own.
    if re.match(rb"\[\s*[{\n]", magic.removeprefix(_BYTE_ORDER_MARK)):
        raise FileRefused("is one JSON array; write one JSON object a line: jq -c '.[]' makes them")


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_MAGIC_BYTES)


class _JsonLines(Generic[Record]):
    def __init__(self, path: Path, parse: Callable[[object], Record], *, zipped: bool) -> None:
        self._size = max(1, path.stat().st_size)
        self._path = path
        self._parse = parse
        self._zipped = zipped
        self._read_bytes = 0
        self.line = 0

    def fraction(self) -> float:
        return min(1.0, self._read_bytes / self._size)

    def lines(self) -> Iterator[Record | BadLine]:
        with self._path.open("rb") as file:
            text = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if self._zipped else file
            number = 0
            try:
                for number, line in enumerate(_bounded(text), start=1):
                    if number % 256 == 0:
                        self._read_bytes = file.tell()
                    self.line = number
                    if isinstance(line, Rejected):
                        yield BadLine(number, line)
                    elif stripped := line.strip():
                        yield self._parsed(number, stripped)
            except (EOFError, zlib.error, gzip.BadGzipFile) as error:
                problem = f"the file is damaged from here on ({error})"
                self.line = number + 1
                yield BadLine(self.line, Rejected("line", problem, "fetch or compress it again"))
        self._read_bytes = self._size

    def _parsed(self, number: int, line: bytes) -> Record | BadLine:
        try:
            return self._parse(_decode(line))
        except Rejected as reason:
            return BadLine(number, reason)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            return BadLine(
                number, Rejected("line", f"not JSON: {error}", "write one JSON object a line, in UTF-8")
            )


def _bounded(text: BinaryIO) -> Iterator[bytes | Rejected]:
    first = text.readline(LINE_BYTES_MAX)
    line = first.removeprefix(_BYTE_ORDER_MARK)
    while line or first:
        first = b""
        if len(line) < LINE_BYTES_MAX or line.endswith(b"\n"):
            yield line
        else:
            while line and not line.endswith(b"\n"):
                line = text.readline(LINE_BYTES_MAX)
            yield Rejected("line", f"longer than {LINE_BYTES_MAX} bytes", "write one JSON object a line")
        line = text.readline(LINE_BYTES_MAX)


_decode = msgspec.json.Decoder().decode


class _Parquet:
    def __init__(self, path: Path) -> None:
        # Imported here: a load of JSON Lines should not wait half a second for it.
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._arrow = pa
        try:
            self._file = pq.ParquetFile(path)
        except pa.ArrowInvalid as error:
            raise FileRefused(f"not readable as Parquet ({error}); write it again") from error
        self._rows: int = max(1, self._file.metadata.num_rows)
        self._rows_read = 0
        self.line = 0
        self._check_columns()

    def fraction(self) -> float:
        return min(1.0, self._rows_read / self._rows)

    def lines(self) -> Iterator[Transaction | BadLine]:
        try:
            for batch in self._file.iter_batches(_PARQUET_ROWS_A_BATCH):
                columns = [self._values(name, batch.column(name)) for name in batch.schema.names]
                for number, row in enumerate(zip(*columns, strict=True), start=self._rows_read + 1):
                    self.line = number
                    yield _from_row(number, dict(zip(batch.schema.names, row, strict=True)))
                self._rows_read += batch.num_rows
        except self._arrow.ArrowException as error:
            problem = f"the file is damaged from here on ({error})"
            self.line = self._rows_read + 1
            yield BadLine(self.line, Rejected("row", problem, "write it again"))

    def _check_columns(self) -> None:
        types = self._arrow.types
        schema = self._file.schema_arrow
        for column in schema:
            if column.name not in FIELDS:
                raise FileRefused(f"{column.name}: unknown column; use only {', '.join(FIELDS)}")
        if "occurred_at" in schema.names:
            kind = schema.field("occurred_at").type
            if types.is_timestamp(kind) and kind.tz is None:
                raise FileRefused(
                    "occurred_at: the timestamps have no time zone; "
                    "write them as timestamp[us, tz=UTC] (pandas: .dt.tz_localize('UTC'))"
                )
        if "amount_minor" in schema.names and types.is_floating(schema.field("amount_minor").type):
            raise FileRefused(
                "amount_minor: the column holds floats; write minor units as int64 (pandas: .astype('Int64'))"
            )

    def _values(self, name: str, column: Any) -> list[Any]:
        if name == "occurred_at" and self._arrow.types.is_timestamp(column.type):
            micros = self._arrow.timestamp("us", tz="UTC")
            # A fraction below the microsecond is cut: no cashback depends on it.
            column = column.cast(micros, safe=False).cast(self._arrow.int64())
            return [_Micros(at) if at is not None else None for at in column.to_pylist()]
        return cast(list[Any], column.to_pylist())


class _Micros(int):
    """Microseconds that came from a timestamp column, not from an integer one."""


def _from_row(number: int, row: dict[str, Any]) -> Transaction | BadLine:
    try:
        at = row.get("occurred_at")
        if isinstance(at, _Micros):
            row["occurred_at"] = to_iso(in_range(at, "occurred_at"))
        return from_json(row)
    except Rejected as reason:
        return BadLine(number, reason)
