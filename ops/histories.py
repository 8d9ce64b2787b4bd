"""Histories in files, as `simulate` takes them: bad lines are told by file and line."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from connectors.files import BadLine, RecordFile, open_entitlements, open_transactions
from schemas.entitlements import Entitlement
from schemas.errors import Rejected
from schemas.transactions import Transaction
from streams.simulate import Bad

Record = TypeVar("Record")


@dataclass
class FileHistory:
    """Transactions and entitlements in files. Raises `OSError` or `FileRefused` when they are opened."""

    transactions_file: Path
    entitlements_file: Path | None = None
    _lines: dict[str, list[int]] = field(default_factory=dict)

    def transactions(self) -> Iterator[Transaction | Rejected]:
        """What is in the file, a bad line as its reason."""
        return self._numbered("transactions", open_transactions(self.transactions_file))

    def entitlements(self) -> Iterator[Entitlement | Rejected]:
        """What is in the file, a bad line as its reason; nothing without a file."""
        if self.entitlements_file is None:
            return iter(())
        return self._numbered("entitlements", open_entitlements(self.entitlements_file))

    def told(self, bad: Bad) -> str:
        """What `simulate` said of a line, with its file and number."""
        files = {"transactions": self.transactions_file, "entitlements": self.entitlements_file}
        return f"{files[bad.source]}:{self._lines[bad.source][bad.line - 1]}: {bad.reason}"

    def _numbered(self, name: str, source: RecordFile[Record]) -> Iterator[Record | Rejected]:
        lines = self._lines[name] = []
        return _noting(source, lines)


def _noting(source: RecordFile[Record], lines: list[int]) -> Iterator[Record | Rejected]:
    """The lines of a file; notes in `lines` where each stands."""
    for line in source.lines():
        lines.append(source.line)
        yield line.reason if isinstance(line, BadLine) else line
